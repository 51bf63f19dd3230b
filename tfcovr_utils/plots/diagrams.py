"""The paper's two diagrams: how a benchmark is generated, with a run's counts, and how the method is built."""

import textwrap

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from .base import PAGE, styled

# Fill, edge, kind of line and its width: what is trained is darker and thicker too, for a grey print.
FROZEN, TRAINED, PLAIN = (
    ("#f1f6fa", "#0072B2", "-", 0.8),
    ("#f6c7a3", "#D55E00", "-", 1.6),
    ("#ffffff", "#666666", "--", 0.8),
)


def _box(
    ax, x: float, y: float, width: float, height: float, title: str, body: str = "", look=FROZEN
) -> None:
    """A box with its lower left corner at x, y; a bold title, and a line or more below it."""
    fill, edge, line, line_width = look
    ax.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=.06",
            facecolor=fill,
            edgecolor=edge,
            ls=line,
            lw=line_width,
        )
    )
    ax.text(
        x + width / 2,
        y + (height * 0.72 if body else height / 2),
        title,
        ha="center",
        va="center",
        fontsize=7.5,
        weight="bold",
    )
    ax.text(x + width / 2, y + height * 0.32, body, ha="center", va="center", fontsize=6.5)


def _arrow(ax, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "lw": 0.9, "shrinkA": 0, "shrinkB": 0})


@styled
def pipeline(boxes: list[tuple[str, str]], example: dict[str, str] | None = None) -> Figure:
    """Steps from left to right, each a title and a line or two below it (Figure 2 of the paper, with this run's counts).

    `example`: a pair's "query label", "target label" and "modification", shown below as what goes in and what comes out.
    """
    figure, ax = plt.subplots(figsize=(PAGE, 2.2 if example else 1.1))
    for place, (title, body) in enumerate(boxes):
        _box(ax, place, 0, 0.84, 1, title, body)
        if place:
            _arrow(ax, (place - 0.16, 0.5), (place, 0.5))
    if example:
        width = (len(boxes) - 0.16 - 0.3) / 3
        for place, (name, text) in enumerate(example.items()):
            x = place * (width + 0.15)
            _box(ax, x, -1.15, width, 0.9, "", look=TRAINED if place == len(example) - 1 else PLAIN)
            ax.text(x + 0.06, -0.36, name, fontsize=6.5, weight="bold", va="center")
            ax.text(x + width / 2, -0.76, textwrap.fill(text, 36), fontsize=7, ha="center", va="center")
            if place:
                ax.text(x - 0.075, -0.7, "+→"[place - 1], fontsize=10, ha="center", va="center")
    ax.set(xlim=(-0.02, len(boxes) - 0.14), ylim=(-1.18 if example else -0.03, 1.03))
    ax.axis("off")
    return figure


@styled
def architecture(facts: dict[str, str]) -> Figure:
    """Both stages and the search (Figure 3 of the paper).

    `facts`: lines under "clip", "text", "stage 1", "fusion" and "gallery", and whether the "text encoder" is frozen or trained.
    """
    figure, ax = plt.subplots(figsize=(PAGE, 3.5))
    ax.set(xlim=(-0.05, 10.05), ylim=(-0.1, 5.1))
    ax.axis("off")
    for x, width, title in ((0, 3.05, "Stage 1: label"), (3.35, 6.65, "Stage 2: contrast, and the search")):
        ax.add_patch(
            FancyBboxPatch(
                (x, 0),
                width,
                4.65,
                boxstyle="round,pad=0,rounding_size=.1",
                facecolor="none",
                edgecolor="#999999",
                lw=0.7,
            )
        )
        ax.text(x + width / 2, 4.85, title, ha="center", va="center", fontsize=8.5, weight="bold")
    _box(ax, 0.45, 3.6, 2.15, 0.8, "training clip", facts["clip"], PLAIN)
    _box(ax, 0.45, 2.25, 2.15, 1.0, "AIM encoder", "CLIP frozen,\nadapters trained", TRAINED)
    _box(ax, 0.45, 1.4, 2.15, 0.6, "mean over frames", "", PLAIN)
    _box(ax, 0.45, 0.15, 2.15, 0.95, "classes", facts["stage 1"], TRAINED)
    for start, end in ((3.6, 3.25), (2.25, 2.0), (1.4, 1.1)):
        _arrow(ax, (1.52, start), (1.52, end))
    for y, name, says, encoder, state in (
        (3.5, "query clip", facts["clip"], "AIM encoder", "frozen"),
        (2.05, "modification", facts["text"], "text encoder", facts["text encoder"]),
        (0.4, "target clips", facts["gallery"], "AIM encoder", "frozen"),
    ):
        _box(ax, 3.5, y, 1.55, 0.85, name, says, PLAIN)
        _box(ax, 5.3, y, 1.6, 0.85, encoder, state, FROZEN if state == "frozen" else TRAINED)
        _arrow(ax, (5.05, y + 0.425), (5.3, y + 0.425))
    _box(ax, 7.15, 2.05, 1.2, 0.85, "projection", "trained", TRAINED)
    _arrow(ax, (6.9, 2.475), (7.15, 2.475))
    _box(ax, 8.6, 2.75, 1.25, 0.9, "MLP", facts["fusion"], TRAINED)
    ax.plot([6.9, 9.2], [3.925, 3.925], color="black", lw=0.9)
    _arrow(ax, (9.2, 3.925), (9.2, 3.65))
    _arrow(ax, (8.35, 2.475), (8.65, 2.75))
    _box(ax, 7.45, 0.4, 2.4, 1.0, "cosine", "trained by contrast,\nranks the gallery", PLAIN)
    _arrow(ax, (9.2, 2.75), (9.2, 1.4))
    _arrow(ax, (6.9, 0.825), (7.45, 0.825))
    for x, look, name in ((3.6, TRAINED, "trained"), (4.75, FROZEN, "frozen in stage 2")):
        ax.add_patch(
            FancyBboxPatch(
                (x, 0.1),
                0.18,
                0.14,
                boxstyle="round,pad=0,rounding_size=.03",
                facecolor=look[0],
                edgecolor=look[1],
                lw=look[3],
            )
        )
        ax.text(x + 0.26, 0.17, name, fontsize=6.5, va="center")
    return figure
