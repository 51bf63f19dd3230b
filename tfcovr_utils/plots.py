"""Figures from tables: a tidy DataFrame in, a `Figure` out. Nothing here computes a result, shows or saves by itself."""
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .files import replacing

STYLE = Path(__file__).parent / "tfcovr.mplstyle"
COLUMN, PAGE = 3.4, 7.0  # widths in inches of one column and of the page
# An apparatus keeps its colour and its name in every figure.
APPARATUS_COLOURS = {"FX": "#0072B2", "BB": "#E69F00", "UB": "#009E73", "VT": "#CC79A7", "DV": "#56B4E9"}
APPARATUS_NAMES = {"FX": "floor", "BB": "beam", "UB": "bars", "VT": "vault", "DV": "diving"}


def styled(function):
    """Apply the style file around a plot function, so that import order cannot change a figure."""
    def wrapped(*args, **kwargs):
        with plt.style.context(STYLE):
            figure = function(*args, **kwargs)
        plt.close(figure)  # a notebook shows what a cell returns, and not once more what is still open
        return figure
    wrapped.__doc__, wrapped.__name__ = function.__doc__, function.__name__
    return wrapped


def save_figure(figure: Figure, name: str, table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write PDF, SVG and PNG and the CSV the figure was drawn from; return the paths."""
    undated = {"pdf": {"CreationDate": None, "ModDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    paths = [Path(folder) / f"{name}.{kind}" for kind in (*undated, "csv")]
    for path, metadata in zip(paths, undated.values()):
        with replacing(path) as temporary, plt.style.context(STYLE):
            figure.savefig(temporary, metadata=metadata)
    with replacing(paths[-1]) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return paths


@styled
def contact_sheet(rows: dict[str, np.ndarray], frames: int = 12) -> Figure:
    """Clips as rows of square frames: name -> uint8 (T, H, W, 3), `frames` of each evenly over time. One picture in all."""
    pictures = [clip[((np.arange(frames) + .5) * len(clip) / frames).astype(int)] for clip in rows.values()]
    sheet = np.concatenate([np.concatenate(list(clip), 1) for clip in pictures], 0)
    figure, ax = plt.subplots(figsize=(.8 * PAGE, .8 * PAGE / frames * len(rows)))
    ax.imshow(sheet, interpolation="lanczos", aspect="equal")
    side = len(sheet) / len(rows)
    ax.set_yticks((np.arange(len(rows)) + .5) * side, list(rows))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


@styled
def label_tree(labels: pd.DataFrame) -> Figure:
    """Labels as a tree from left to right: event, family, label. Columns event, family, text, clips."""
    ordered = labels.sort_values(["event", "family", "text"], ignore_index=True)
    figure, ax = plt.subplots(figsize=(PAGE, .125 * len(ordered) + .3))
    y = -np.arange(len(ordered), dtype=float)
    for event, in_event in ordered.groupby("event"):
        colour, centre = APPARATUS_COLOURS[event], y[in_event.index].mean()
        ax.text(0, centre, APPARATUS_NAMES[event], ha="right", va="center", fontsize=8, weight="bold", color=colour)
        for family, in_family in in_event.groupby("family"):
            branch = y[in_family.index].mean()
            ax.plot([.02, .16], [centre, branch], color=colour, lw=.8)
            ax.text(.18, branch, family, va="center", fontsize=7)
            for row in in_family.itertuples():
                ax.plot([.30, .40], [branch, y[row.Index]], color=colour, lw=.5)
                ax.text(.41, y[row.Index], row.text, va="center", fontsize=6)
    ax.set(xlim=(-.12, 1.3), ylim=(y.min() - 1, 1))
    ax.axis("off")
    return figure


@styled
def label_counts(counts: pd.DataFrame, ax=None) -> Figure:
    """Clips a label from most to fewest, on a log scale. Columns dataset, label_id, clips."""
    figure, ax = (ax.figure, ax) if ax else plt.subplots(figsize=(PAGE, 1.9))
    for marker, (dataset, part) in zip("os^", counts.groupby("dataset")):
        values = np.sort(part.clips)[::-1]
        ax.plot(np.arange(1, len(values) + 1), values, marker=marker, ms=2.5, lw=.8, label=f"{dataset} ({len(values)} labels)")
    ax.set(yscale="log", xlabel="label, from most to fewest clips", ylabel="clips")
    ax.grid(axis="y")
    ax.legend()
    return figure


@styled
def durations(clips: pd.DataFrame, ax=None) -> Figure:
    """Histogram of clip durations in seconds. Columns dataset, seconds."""
    figure, ax = (ax.figure, ax) if ax else plt.subplots(figsize=(COLUMN, 1.9))
    sns.histplot(clips, x="seconds", hue="dataset", bins=30, element="step", fill=False, ax=ax)
    ax.set(xlabel="duration in seconds", ylabel="clips")
    return figure


@styled
def factor_table(factors: pd.DataFrame, row: str, column: str) -> Figure:
    """How many clips have each pair of two factors, as a heat map with the numbers written in."""
    counts = pd.crosstab(factors[row], factors[column])
    figure, ax = plt.subplots(figsize=(.55 * counts.shape[1] + 1.2, .28 * counts.shape[0] + .6))
    sns.heatmap(counts.where(counts > 0), annot=True, fmt=".0f", cbar=False, linewidths=.5, ax=ax, cmap="cividis")
    ax.tick_params(length=0)
    return figure


@styled
def probe_accuracy(probes: pd.DataFrame) -> Figure:
    """What each probe reads, beside chance. Columns probe, count, accuracy, chance, clips (in per cent from 0 to 1)."""
    counts = list(dict.fromkeys(probes["count"]))
    figure, axes = plt.subplots(1, len(counts), figsize=(PAGE, .30 * probes.probe.nunique() + .8), sharey=True, squeeze=False)
    for ax, count in zip(axes[0], counts):
        part = probes[probes["count"] == count].iloc[::-1]
        error = 1.96 * np.sqrt(part.accuracy * (1 - part.accuracy) / part.clips)
        ax.barh(part.probe, 100 * part.accuracy, xerr=100 * error, height=.6, color="#56B4E9", error_kw={"lw": .8})
        ax.scatter(100 * part.chance, part.probe, marker="|", s=160, color="black", zorder=3, label="chance")
        ax.set(title=count, xlabel="accuracy in per cent, 95 % interval", xlim=(0, 103))
        ax.grid(axis="x")
    axes[0][0].legend(loc="lower right")
    return figure
