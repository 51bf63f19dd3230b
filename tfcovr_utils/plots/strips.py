"""Clips as strips of frames in a grid, each with its caption, its outline and its mark."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..video import VideoError, read_clip
from .base import PAGE, styled, thumbnail

# Right and wrong are told by outline colour, line and mark together, so that each reads in grey too.
VERDICTS = {
    "right": dict(color="#009E73", ls="-", mark="✓"),
    "wrong": dict(color="#D55E00", ls=(0, (3, 1.5)), mark="✗"),
}
CELL_COLUMNS = ["row", "column", "above", "heading", "caption", "verdict", "clip_id"]
LINE = 0.125  # inches that a line of text takes
GAP = 0.06  # inches between a strip and its text


@styled
def strips(table: pd.DataFrame, frames: dict[str, np.ndarray], n_frames: int = 8) -> Figure:
    """A grid of clips, each a strip of frames over time. Columns of `table`, one row a cell:

    row (a number; rows are drawn in this order), column (a number), above (a line over the whole row, "" for none; taken from
    the row's first cell), heading (before the caption, in bold), caption, verdict ("right", "wrong" or ""), clip_id ("" is
    a cell of text). `frames`: uint8 (T, H, W, 3) by clip_id; a clip that is not there leaves an empty strip that says so.
    """
    columns = int(table["column"].max()) + 1
    width = (PAGE - 0.15 * (columns - 1)) / columns
    strip, wrap = width / n_frames, int(width * 20)
    lines = (
        table.assign(lines=[len(_wrapped(row, wrap)) for row in table.itertuples()])
        .groupby("row")["lines"]
        .max()
    )
    above = table.sort_values("column").groupby("row")["above"].first()
    heights = [(0.26 if above[row] else 0) + strip + GAP + LINE * lines[row] + 0.07 for row in lines.index]
    figure = plt.figure(figsize=(PAGE, sum(heights)))
    top = figure.get_figheight()
    for row, height in zip(lines.index, heights):
        y = top - (0.26 if above[row] else 0)
        if above[row]:
            figure.text(
                0, (top - 0.15) / figure.get_figheight(), above[row], fontsize=8.5, weight="bold", va="center"
            )
        for cell in table[table["row"] == row].itertuples():
            x = cell.column * (width + 0.15)
            box = [
                x / PAGE,
                (y - strip) / figure.get_figheight(),
                width / PAGE,
                strip / figure.get_figheight(),
            ]
            _draw_cell(figure.add_axes(box), cell, frames, n_frames)
            below = strip + GAP if cell.clip_id else 0
            for number, line in enumerate(_wrapped(cell, wrap)):
                figure.text(
                    x / PAGE,
                    (y - below - LINE * (number + 0.5)) / figure.get_figheight(),
                    line,
                    fontsize=6.5,
                    va="center",
                    weight="bold" if not number and cell.heading else "normal",
                )
        top -= height
    return figure


def _wrapped(cell, width: int) -> list[str]:
    mark = VERDICTS[cell.verdict]["mark"] + " " if cell.verdict else ""
    return [line for line in (mark + cell.heading, *textwrap.wrap(cell.caption, width)) if line]


def _draw_cell(ax, cell, frames: dict[str, np.ndarray], n_frames: int) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if not cell.clip_id:
        return
    if cell.clip_id not in frames:
        ax.text(
            0.5,
            0.5,
            f"{cell.clip_id} cannot be read",
            ha="center",
            va="center",
            fontsize=6.5,
            transform=ax.transAxes,
        )
    else:
        clip = frames[cell.clip_id]
        shown = clip[((np.arange(n_frames) + 0.5) * len(clip) / n_frames).astype(int)]
        ax.imshow(
            np.concatenate([thumbnail(frame) for frame in shown], 1),
            aspect="auto",
            interpolation="antialiased",
        )
    if cell.verdict:
        look = VERDICTS[cell.verdict]
        ax.add_patch(
            Rectangle(
                (0, 0),
                1,
                1,
                transform=ax.transAxes,
                fill=False,
                lw=2,
                edgecolor=look["color"],
                ls=look["ls"],
                clip_on=False,
            )
        )


def retrieved_cells(chosen: pd.DataFrame, ranked: pd.DataFrame, texts: dict[str, str]) -> pd.DataFrame:
    """Cells for `strips`, as the paper's Figure 4 with two methods side by side: per query its modification, its clip, the rule
    that chose it, then what each method ranks first. Of `qualitative.choose_queries`, `top_ranked`, and texts by query_id."""
    rows, number = [], 0
    for query in chosen.to_dict("records"):
        part = ranked[ranked["query_id"] == query["query_id"]]
        methods = [name for name in part["method"].unique() if name]
        (clip,) = part[part["rank"] == 0].itertuples()
        rows += [
            [number, 0, f"“{texts[query['query_id']]}”", "query", clip.label, "", clip.clip_id],
            [
                number,
                1,
                "",
                query["rule"],
                f"{query['kind']} change; AP@50: "
                + ", ".join(f"{name} {query[name]:.2f}" for name in methods),
                "",
                "",
            ],
        ]
        for rank in range(1, part["rank"].max() + 1):
            number += 1
            rows += [
                [
                    number,
                    methods.index(found.method),
                    "",
                    f"{found.method}, rank {rank}",
                    f"{found.label} ({found.score:.3f})",
                    "right" if found.right else "wrong",
                    found.clip_id,
                ]
                for found in part[part["rank"] == rank].itertuples()
            ]
        number += 1
    return pd.DataFrame(rows, columns=CELL_COLUMNS).merge(
        ranked[["clip_id", "path"]].drop_duplicates(), how="left"
    )


def failure_cells(examples: pd.DataFrame, clips: pd.DataFrame, label_text: dict[str, str]) -> pd.DataFrame:
    """Cells for `strips`: a row an example of `qualitative.typical_failures`, its query, a right clip, and the wrong one ranked first."""
    label = dict(zip(clips["clip_id"], clips["label_id"].map(label_text)))
    rows = []
    for number, example in enumerate(examples.to_dict("records")):
        shown = [
            ("query", example["query_clip"], ""),
            (f"right, rank {example['first_rank']:.0f}", example["right_clip"], "right"),
            (
                f"rank 1: {example['factor']} {example['got']}, not {example['wanted']}",
                example["clip_id"],
                "wrong",
            ),
        ]
        rows += [
            [
                number,
                column,
                "" if column else f"“{example['text']}”",
                heading,
                label[clip_id],
                verdict,
                clip_id,
            ]
            for column, (heading, clip_id, verdict) in enumerate(shown)
        ]
    return pd.DataFrame(rows, columns=CELL_COLUMNS).merge(clips[["clip_id", "path"]], how="left")


def triplet_cells(triplets: pd.DataFrame, clips: pd.DataFrame, label_text: dict[str, str]) -> pd.DataFrame:
    """Cells for `strips`, as the paper's Figure 1 (c): a row a triplet, query and target. Columns kind, text, query_clip, target_clip."""
    label = dict(zip(clips["clip_id"], clips["label_id"].map(label_text)))
    rows = [
        [
            number,
            column,
            "" if column else f"{triplet['kind']} change: “{triplet['text']}”",
            end,
            label[triplet[f"{end}_clip"]],
            "",
            triplet[f"{end}_clip"],
        ]
        for number, triplet in enumerate(triplets.to_dict("records"))
        for column, end in enumerate(("query", "target"))
    ]
    return pd.DataFrame(rows, columns=CELL_COLUMNS).merge(clips[["clip_id", "path"]], how="left")


def read_strips(cells: pd.DataFrame, clips_dir: Path, n_frames: int = 8) -> dict[str, np.ndarray]:
    """Frames by clip_id, uint8 (T, H, W, 3), of the cells' clips; one that cannot be read is left out, none at all is an error."""
    frames = {}
    for clip in cells[cells["clip_id"] != ""].drop_duplicates("clip_id").itertuples():
        try:
            frames[clip.clip_id] = read_clip(Path(clips_dir) / clip.path, "centre", n_frames)
        except VideoError:
            continue  # the strip says so
    if not frames:
        raise FileNotFoundError(
            f"none of the clips of this figure can be read below {clips_dir}; run notebook 01, which renders them."
        )
    return frames
