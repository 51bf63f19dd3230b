"""Figures of training and of results: curves, scores with intervals, accuracies, costs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .base import COLUMN, PAGE, legend_of_panels, make_panels, styled, unique
from .colours import GROUP_COLOURS, GROUP_HATCHES, LINES, method_look

HATCHES = ["", "////", "....", "xxxx", "", "\\\\\\\\", "++++"]
BAR = {"edgecolor": "white", "linewidth": 0.3}
NAME_HEIGHT = 0.11  # inches that a method's name takes in a column of names


def _errors(table: pd.DataFrame, metric: str) -> np.ndarray:
    """Return the distances (2, rows) from a metric to its lower and upper bound."""
    return np.abs(table[[f"{metric} low", f"{metric} high"]].to_numpy().T - table[metric].to_numpy())


@styled
def curves(table: pd.DataFrame, x: str, panels: dict[str, str], by: str | None = None) -> Figure:
    """Draw a panel for each column -> label of `panels`, a line for each value of `by`, seven at most."""
    figure, axes = make_panels(len(panels), PAGE if len(panels) > 1 else COLUMN)
    for ax, (column, label) in zip(axes, panels.items()):
        for look, (name, part) in zip(LINES, table.groupby(by, sort=False) if by else [("", table)]):
            part = part[part[column].notna()]
            ax.plot(part[x], part[column], label=name or None, ms=2.5, lw=1, **look)
        ax.set(xlabel=x, ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(axis="y")
    figure.tight_layout()
    if by:
        legend_of_panels(figure, axes[0])
    return figure


@styled
def scores(table: pd.DataFrame, metric: str = "mAP@50") -> Figure:
    """Draw a bar for each method (of a group) with its interval, " low" to " high" of the metric."""
    table = table[table[metric].notna()].iloc[::-1]
    figure, ax = plt.subplots(figsize=(0.75 * PAGE, 0.19 * len(table) + 0.7))
    look = {"height": 0.65, "color": table["group"].map(GROUP_COLOURS), "error_kw": {"lw": 0.8}}
    bars = ax.barh(table["method"], table[metric], xerr=_errors(table, metric), **look)
    for bar, group in zip(bars, table["group"]):
        bar.set(hatch=GROUP_HATCHES[group], **BAR)
    for place, (value, high) in enumerate(zip(table[metric], table[f"{metric} high"])):
        ax.text(high + 1, place, f"{value:.2f}", va="center", fontsize=6.5)
    for group in unique(table["group"][::-1]):  # empty bars, for the legend
        ax.barh([0], [0], color=GROUP_COLOURS[group], hatch=GROUP_HATCHES[group], label=group, **BAR)
    right = min(112, table[f"{metric} high"].max() * 1.15 + 4)
    ax.set(xlabel=f"{metric} in per cent, 95 % interval over answer sets and seeds", xlim=(0, right))
    ax.grid(axis="x")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


@styled
def factor_scores(table: pd.DataFrame, value: str, label: str) -> Figure:
    """Draw a value by method and factor as a heat map with the numbers in it."""
    grid = table.pivot(index="method", columns="factor", values=value).loc[unique(table["method"])]
    figure, ax = plt.subplots(figsize=(min(PAGE, 0.62 * grid.shape[1] + 1.9), 0.24 * grid.shape[0] + 1.1))
    numbers = {"annot": True, "fmt": ".0f", "annot_kws": {"fontsize": 6.5}}
    sns.heatmap(grid, cmap="cividis", linewidths=0.5, ax=ax, cbar_kws={"label": label}, **numbers)
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right")
    return figure


@styled
def attribute_accuracy(table: pd.DataFrame) -> Figure:
    """Draw the accuracy by encoder and attribute, beside always guessing the `commonest` value."""
    attributes, encoders = unique(table["attribute"]), unique(table["encoder"])
    figure, ax = plt.subplots(figsize=(PAGE, 2.2))
    at, width = np.arange(len(attributes)), 0.8 / len(encoders)
    for place, (look, hatch, encoder) in enumerate(zip(LINES, HATCHES, encoders)):
        accuracy = table[table["encoder"] == encoder].set_index("attribute").loc[attributes, "accuracy"]
        bars = {"color": look["color"], "hatch": hatch, "label": encoder, **BAR}
        ax.bar(at + (place - (len(encoders) - 1) / 2) * width, accuracy, width * 0.92, **bars)
    commonest = table.drop_duplicates("attribute").set_index("attribute")["commonest"]
    ax.hlines(commonest, at - 0.42, at + 0.42, color="black", lw=1, label="always the commonest")
    ax.set_xticks(at, attributes)
    ax.set(ylabel="accuracy in per cent", ylim=(0, 104))
    ax.grid(axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(encoders) + 1)
    return figure


@styled
def embedding_map(points: pd.DataFrame) -> Figure:
    """Draw clips (x, y) in the plane, a panel for each encoder, coloured by group in sorted order."""
    encoders, groups = unique(points["encoder"]), sorted(points["group"].unique())
    figure, axes = make_panels(len(encoders), height=PAGE / max(len(encoders), 3) + 0.5)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(groups)))
    for ax, encoder in zip(axes, encoders):
        part = points[points["encoder"] == encoder]
        for marker, colour, group in zip("os^DvP*X", colours, groups):
            at = part[part["group"] == group]
            ax.scatter(at["x"], at["y"], s=9, marker=marker, color=colour, linewidths=0, label=group)
        ax.set_title(encoder, fontsize=7)
        ax.set(xticks=[], yticks=[])
    legend_of_panels(
        figure, axes[0], loc="lower center", bbox_to_anchor=None, ncols=len(groups), frameon=False
    )
    figure.subplots_adjust(bottom=0.14, wspace=0.06)
    return figure


@styled
def open_world(table: pd.DataFrame) -> Figure:
    """Draw mAP@50 of rows (down) for each thing that is asked, the second level of the columns."""
    figure, ax = plt.subplots(figsize=(0.75 * PAGE, 0.3 * len(table) + 0.9))
    for look, (column, values) in zip(LINES, table.items()):
        ax.plot(values, range(len(table)), label=column[1], **look | {"ls": ""})
    ax.set(xlabel="mAP@50 in per cent", xlim=(0, 100), ylim=(len(table) - 0.5, -0.5))
    ax.set_yticks(range(len(table)), table.index)
    ax.grid()
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


@styled
def cost_against_quality(table: pd.DataFrame) -> Figure:
    """Draw seconds of training against mAP@50 (with low and high), each method (of a group) named."""
    axes_height = max(2.9, NAME_HEIGHT * (len(table) + 1))
    figure, ax = plt.subplots(figsize=(PAGE, axes_height + 0.7))
    table = table.sort_values("mAP@50", ignore_index=True)
    look = {"ls": "", "ms": 6, "elinewidth": 0.6, "markeredgecolor": "white", "markeredgewidth": 0.4}
    for row, error in zip(table.to_dict("records"), _errors(table, "mAP@50").T):
        at = row["seconds"], row["mAP@50"]
        ax.errorbar(*at, yerr=error[:, None], **look, **method_look(row["method"]))
    right = table["seconds"].max() * 1.6
    _name_points(ax, table, right, axes_height)
    ax.set(xscale="symlog", xlim=(-0.3, right / 1.15), xlabel="seconds of training, all stages (0: none)")
    ax.set_ylabel("mAP@50 in per cent, 95 % interval over answer sets and seeds")
    ax.grid()
    for group in unique(table["group"]):
        ax.scatter([], [], s=24, color=GROUP_COLOURS[group], label=group)
    ax.legend(loc="upper left")
    return figure


def _name_points(ax: Axes, table: pd.DataFrame, right: float, axes_height: float) -> None:
    """Write the names in a column, pushed up where they overlap, then down where they leave the axes."""
    low, high = ax.get_ylim()
    line = NAME_HEIGHT / axes_height * (high - low)
    y = table["mAP@50"].to_numpy().copy()
    for place in range(1, len(y)):
        y[place] = max(y[place], y[place - 1] + line)
    for place in reversed(range(len(y))):
        y[place] = min(y[place], high - line * (len(y) - place - 0.5))
    thin = {"arrowstyle": "-", "lw": 0.35, "color": "#999999", "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
    look = {"fontsize": 6.5, "va": "center", "annotation_clip": False, "arrowprops": thin}
    for row, name_y in zip(table.to_dict("records"), y):
        name, point = f"{row['method']}  {row['mAP@50']:.2f}", (row["seconds"], row["mAP@50"])
        ax.annotate(name, point, (right, name_y), **look)


@styled
def shuffle_control(table: pd.DataFrame) -> Figure:
    """Draw mAP@50 (with low and high) of methods by frames: in order, shuffled in search, throughout."""
    stages, methods = unique(table["frames"]), unique(table["method"])
    figure, ax = plt.subplots(figsize=(COLUMN * 1.25, 2.1))
    for place, method in enumerate(methods):
        part = table[table["method"] == method].set_index("frames").reindex(stages)
        at = np.arange(len(stages)) + (place - (len(methods) - 1) / 2) * 0.12
        ran = part["mAP@50"].notna().to_numpy()
        look = {"lw": 1, "ls": ("-", "--", ":")[place % 3], "elinewidth": 0.8, "ms": 5, **method_look(method)}
        ax.errorbar(at[ran], part["mAP@50"][ran], yerr=_errors(part, "mAP@50")[:, ran], label=method, **look)
    ax.set_xticks(np.arange(len(stages)), stages)
    ax.set(ylabel="mAP@50 in per cent", ylim=(0, None))
    ax.grid(axis="y")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
