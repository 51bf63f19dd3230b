"""Clips as strips of frames in a grid, each with its caption, its outline and its mark."""

import textwrap
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..video import VideoError, read_clip
from .base import CENTRED, PAGE, film_strip, styled

# Right and wrong differ in colour, line and mark, so that they differ in grey too.
VERDICTS = {"right": ("#009E73", "-", "✓"), "wrong": ("#D55E00", (0, (3, 1.5)), "✗")}
CELL_COLUMNS = ["row", "column", "above", "heading", "caption", "verdict", "clip_id"]
# Inches: a line of text, the line above a row, between a strip and its text, between columns.
LINE, ABOVE, GAP, MARGIN = 0.125, 0.26, 0.06, 0.15
FRAMES = 8  # of a strip


@styled
def strips(table: pd.DataFrame, frames: dict[str, np.ndarray], n_frames: int = FRAMES) -> Figure:
    """Draw a grid of clips, each a strip of frames over time; a clip that `frames` lacks is named instead.

    A row of `table` is a cell, see CELL_COLUMNS: `above` is a line over the whole row, read from its first
    cell; `heading` is bold; `verdict` is "right", "wrong" or ""; without a clip_id, the cell is text alone.
    """
    columns = int(table["column"].max()) + 1
    width = (PAGE - MARGIN * (columns - 1)) / columns
    strip, wrap = width / n_frames, int(width * 20)
    lines = table.assign(lines=[len(_wrap(cell, wrap)) for cell in table.itertuples()])
    lines = lines.groupby("row")["lines"].max()
    above = table.sort_values("column").groupby("row")["above"].first()
    heights = [(ABOVE if above[row] else 0) + strip + GAP + LINE * lines[row] + 0.07 for row in lines.index]
    figure = plt.figure(figsize=(PAGE, sum(heights)))
    page_height = top = figure.get_figheight()
    for row, height in zip(lines.index, heights):
        y = top - (ABOVE if above[row] else 0)
        if above[row]:
            at = 0, (top - 0.15) / page_height
            figure.text(*at, above[row], fontsize=8.5, weight="bold", va="center")
        for cell in table[table["row"] == row].itertuples():
            x = cell.column * (width + MARGIN)
            box = [x / PAGE, (y - strip) / page_height, width / PAGE, strip / page_height]
            _draw_strip(figure.add_axes(box), cell, frames, n_frames)
            below = strip + GAP if cell.clip_id else 0
            for number, line in enumerate(_wrap(cell, wrap)):
                at = x / PAGE, (y - below - LINE * (number + 0.5)) / page_height
                weight = "bold" if not number and cell.heading else "normal"
                figure.text(*at, line, fontsize=6.5, va="center", weight=weight)
        top -= height
    return figure


def _wrap(cell, width: int) -> list[str]:
    mark = VERDICTS[cell.verdict][2] + " " if cell.verdict else ""
    return [line for line in (mark + cell.heading, *textwrap.wrap(cell.caption, width)) if line]


def _draw_strip(ax: Axes, cell, frames: dict[str, np.ndarray], n_frames: int) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if cell.clip_id in frames:
        ax.imshow(film_strip(frames[cell.clip_id], n_frames), aspect="auto", interpolation="antialiased")
    elif cell.clip_id:
        said = f"{cell.clip_id} cannot be read"
        ax.text(0.5, 0.5, said, fontsize=6.5, transform=ax.transAxes, **CENTRED)
    if cell.clip_id and cell.verdict:
        colour, line, _ = VERDICTS[cell.verdict]
        look = {"fill": False, "lw": 2, "edgecolor": colour, "ls": line, "clip_on": False}
        ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, **look))


def retrieved_cells(chosen: pd.DataFrame, ranked: pd.DataFrame, texts: dict[str, str]) -> pd.DataFrame:
    """Build cells for `strips` with two methods side by side, as in the paper's Figure 4.

    For each query: its modification, clip and the rule that chose it, then what each method ranks first.
    """
    rows, number = [], 0
    for query in chosen.to_dict("records"):
        part = ranked[ranked["query_id"] == query["query_id"]]
        methods = [name for name in part["method"].unique() if name]
        (clip,) = part[part["rank"] == 0].itertuples()
        precision = ", ".join(f"{name} {query[name]:.2f}" for name in methods)
        caption = f"{query['kind']} change; AP@50: {precision}"
        rows.append([number, 0, f"“{texts[query['query_id']]}”", "query", clip.label, "", clip.clip_id])
        rows.append([number, 1, "", query["rule"], caption, "", ""])
        for rank in range(1, part["rank"].max() + 1):
            number += 1
            for found in part[part["rank"] == rank].itertuples():
                column, heading = methods.index(found.method), f"{found.method}, rank {rank}"
                caption, verdict = f"{found.label} ({found.score:.3f})", "right" if found.right else "wrong"
                rows.append([number, column, "", heading, caption, verdict, found.clip_id])
        number += 1
    return _make_cells(rows, ranked)


def failure_cells(examples: pd.DataFrame, clips: pd.DataFrame, label_text: dict[str, str]) -> pd.DataFrame:
    """Build cells for `strips` of `qualitative.typical_failures`: query, right clip, wrong first clip."""
    label = dict(zip(clips["clip_id"], clips["label_id"].map(label_text)))
    rows = []
    for number, example in enumerate(examples.to_dict("records")):
        wrong = f"rank 1: {example['factor']} {example['got']}, not {example['wanted']}"
        for column, (heading, clip_id, verdict) in enumerate(
            (
                ("query", example["query_clip"], ""),
                (f"right, rank {example['first_rank']:.0f}", example["right_clip"], "right"),
                (wrong, example["clip_id"], "wrong"),
            )
        ):
            above = "" if column else f"“{example['text']}”"
            rows.append([number, column, above, heading, label[clip_id], verdict, clip_id])
    return _make_cells(rows, clips)


def triplet_cells(triplets: pd.DataFrame, clips: pd.DataFrame, label_text: dict[str, str]) -> pd.DataFrame:
    """Build cells for `strips`, as in Figure 1 (c), of triplets: kind, text, query_clip, target_clip."""
    label = dict(zip(clips["clip_id"], clips["label_id"].map(label_text)))
    rows = []
    for number, triplet in enumerate(triplets.to_dict("records")):
        above = f"{triplet['kind']} change: “{triplet['text']}”"
        query, target = triplet["query_clip"], triplet["target_clip"]
        rows.append([number, 0, above, "query", label[query], "", query])
        rows.append([number, 1, "", "target", label[target], "", target])
    return _make_cells(rows, clips)


def _make_cells(rows: list[list], clips: pd.DataFrame) -> pd.DataFrame:
    paths = clips[["clip_id", "path"]].drop_duplicates()
    return pd.DataFrame(rows, columns=CELL_COLUMNS).merge(paths, how="left")


def read_strips(cells: pd.DataFrame, clips_dir: Path) -> dict[str, np.ndarray]:
    """Read the cells' clips, uint8 (T, H, W, 3) by clip_id; leave unreadable ones out, unless all are."""
    frames = {}
    for clip in cells[cells["clip_id"] != ""].drop_duplicates("clip_id").itertuples():
        with suppress(VideoError):  # `strips` names it
            frames[clip.clip_id] = read_clip(Path(clips_dir) / clip.path, "centre", FRAMES)
    if not frames:
        raise FileNotFoundError(f"no clip of this figure can be read below {clips_dir}; run notebook 01.")
    return frames
