"""The paper's two diagrams: how a benchmark is generated, and how the method is built."""

import textwrap
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from .base import CENTRED, PAGE, styled


class _Look(NamedTuple):
    facecolor: str
    edgecolor: str
    ls: str
    lw: float


# Trained parts are darker and have a thicker edge, so that they differ in grey too.
FROZEN = _Look("#f1f6fa", "#0072B2", "-", 0.8)
TRAINED = _Look("#f6c7a3", "#D55E00", "-", 1.6)
PLAIN = _Look("#ffffff", "#666666", "--", 0.8)
FRAME = _Look("none", "#999999", "-", 0.7)


def _rectangle(ax: Axes, place: tuple[float, float, float, float], look: _Look, rounding: float) -> None:
    """Draw a rounded rectangle; `place` is x and y of the lower left corner, width and height."""
    x, y, *size = place
    style = f"round,pad=0,rounding_size={rounding}"
    ax.add_patch(FancyBboxPatch((x, y), *size, boxstyle=style, **look._asdict()))


def _box(ax: Axes, place: tuple[float, float, float, float], title: str, body: str = "", look=FROZEN) -> None:
    """Draw a box with a bold title, and its body below that."""
    _rectangle(ax, place, look, 0.06)
    x, y, width, height = place
    at = y + height * (0.72 if body else 0.5)
    ax.text(x + width / 2, at, title, fontsize=7.5, weight="bold", **CENTRED)
    ax.text(x + width / 2, y + height * 0.32, body, fontsize=6.5, **CENTRED)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "lw": 0.9, "shrinkA": 0, "shrinkB": 0})


@styled
def pipeline(boxes: list[tuple[str, str]], example: dict[str, str] | None = None) -> Figure:
    """Draw steps left to right, titles and bodies (Figure 2); of `example`, two inputs and an output."""
    figure, ax = plt.subplots(figsize=(PAGE, 2.2 if example else 1.1))
    for place, (title, body) in enumerate(boxes):
        _box(ax, (place, 0, 0.84, 1), title, body)
        if place:
            _arrow(ax, (place - 0.16, 0.5), (place, 0.5))
    if example:
        width = (len(boxes) - 0.16 - 0.3) / 3
        for place, (name, text) in enumerate(example.items()):
            x = place * (width + 0.15)
            _box(ax, (x, -1.15, width, 0.9), "", look=TRAINED if place == len(example) - 1 else PLAIN)
            ax.text(x + 0.06, -0.36, name, fontsize=6.5, weight="bold", va="center")
            ax.text(x + width / 2, -0.76, textwrap.fill(text, 36), fontsize=7, **CENTRED)
            if place:
                ax.text(x - 0.075, -0.7, "+→"[place - 1], fontsize=10, **CENTRED)
    ax.set(xlim=(-0.02, len(boxes) - 0.14), ylim=(-1.18 if example else -0.03, 1.03))
    ax.axis("off")
    return figure


@styled
def architecture(facts: dict[str, str]) -> Figure:
    """Draw both stages and the search (Figure 3) with `facts` as in `paper_figures.draw_architecture`."""
    figure, ax = plt.subplots(figsize=(PAGE, 3.5))
    ax.set(xlim=(-0.05, 10.05), ylim=(-0.1, 5.1))
    ax.axis("off")
    for x, width, title in ((0, 3.05, "Stage 1: label"), (3.35, 6.65, "Stage 2: contrast, and the search")):
        _rectangle(ax, (x, 0, width, 4.65), FRAME, 0.1)
        ax.text(x + width / 2, 4.85, title, fontsize=8.5, weight="bold", **CENTRED)
    _box(ax, (0.45, 3.6, 2.15, 0.8), "training clip", facts["clip"], PLAIN)
    _box(ax, (0.45, 2.25, 2.15, 1.0), "AIM encoder", "CLIP frozen,\nadapters trained", TRAINED)
    _box(ax, (0.45, 1.4, 2.15, 0.6), "mean over frames", "", PLAIN)
    _box(ax, (0.45, 0.15, 2.15, 0.95), "classes", facts["stage 1"], TRAINED)
    for above, below in ((3.6, 3.25), (2.25, 2.0), (1.4, 1.1)):
        _arrow(ax, (1.52, above), (1.52, below))
    for y, name, body, encoder, state in (
        (3.5, "query clip", facts["clip"], "AIM encoder", "frozen"),
        (2.05, "modification", facts["text"], "text encoder", facts["text encoder"]),
        (0.4, "target clips", facts["gallery"], "AIM encoder", "frozen"),
    ):
        _box(ax, (3.5, y, 1.55, 0.85), name, body, PLAIN)
        _box(ax, (5.3, y, 1.6, 0.85), encoder, state, FROZEN if state == "frozen" else TRAINED)
        _arrow(ax, (5.05, y + 0.425), (5.3, y + 0.425))
    _box(ax, (7.15, 2.05, 1.2, 0.85), "projection", "trained", TRAINED)
    _arrow(ax, (6.9, 2.475), (7.15, 2.475))
    _box(ax, (8.6, 2.75, 1.25, 0.9), "MLP", facts["fusion"], TRAINED)
    ax.plot([6.9, 9.2], [3.925, 3.925], color="black", lw=0.9)
    _arrow(ax, (9.2, 3.925), (9.2, 3.65))
    _arrow(ax, (8.35, 2.475), (8.65, 2.75))
    _box(ax, (7.45, 0.4, 2.4, 1.0), "cosine", "trained by contrast,\nranks the gallery", PLAIN)
    _arrow(ax, (9.2, 2.75), (9.2, 1.4))
    _arrow(ax, (6.9, 0.825), (7.45, 0.825))
    for x, look, name in ((3.6, TRAINED, "trained"), (4.75, FROZEN, "frozen in stage 2")):
        _rectangle(ax, (x, 0.1, 0.18, 0.14), look, 0.03)
        ax.text(x + 0.26, 0.17, name, fontsize=6.5, va="center")
    return figure


def pipeline_steps(counted: dict, written: int, complaints: int) -> list[tuple[str, str]]:
    """The steps of `pipeline` with a benchmark's counts (`statistics.count`), a step and what it says."""
    targets = counted["targets_per_query"].get("test capped", {}).get("mean", 0)
    return [
        ("clips", f"{sum(counted['clips'].values()):,} clips\n{counted['labels']} labels"),
        ("pairs", f"{counted['pairs_directed']:,} directed\n{counted['labels_paired']} labels"),
        ("texts", f"{written:,} written\n{complaints} complaints"),
        ("triplets", f"{counted['triplets']:,}\nfor training"),
        ("queries", f"{counted['queries'].get('test', 0)} test\n{targets:.2f} targets each"),
    ]
