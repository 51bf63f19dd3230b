"""Figures of training and of results: curves, scores with intervals, what goes wrong where."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .base import COLUMN, PAGE, styled
from .colours import GROUP_COLOURS, GROUP_HATCHES, method_look

LINES = [
    dict(color=colour, ls=ls, marker=marker)
    for colour, ls, marker in zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
        ("-", "--", "-.", ":", "-", "--", "-."),
        "osD^vPX",
    )
]
HATCHES = ["", "////", "....", "xxxx", "", "\\\\\\\\", "++++"]


@styled
def curves(table: pd.DataFrame, x: str, panels: dict[str, str], by: str | None = None) -> Figure:
    """Lines over `x`, a panel a column: `panels` maps columns to labels. `by` names the column that tells lines apart, seven at most."""
    figure, axes = plt.subplots(
        1, len(panels), figsize=(PAGE if len(panels) > 1 else COLUMN, 1.9), squeeze=False
    )
    for ax, (column, label) in zip(axes[0], panels.items()):
        for look, (name, part) in zip(LINES, table.groupby(by, sort=False) if by else [("", table)]):
            part = part[part[column].notna()]
            ax.plot(part[x], part[column], label=name or None, ms=2.5, lw=1, **look)
        ax.set(xlabel=x, ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(axis="y")
    figure.tight_layout()
    if by:  # beside the panels, where it hides no line
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.0, 0.55))
    return figure


@styled
def scores(table: pd.DataFrame, metric: str = "mAP@50") -> Figure:
    """One bar a method with its interval over queries. Columns method, group, the metric, and it with " low" and " high"."""
    table = table[table[metric].notna()].iloc[::-1]
    figure, ax = plt.subplots(figsize=(0.75 * PAGE, 0.19 * len(table) + 0.7))
    error = np.abs(table[[f"{metric} low", f"{metric} high"]].to_numpy().T - table[metric].to_numpy())
    bars = ax.barh(
        table["method"],
        table[metric],
        xerr=error,
        height=0.65,
        color=table["group"].map(GROUP_COLOURS),
        error_kw={"lw": 0.8},
    )
    for bar, group in zip(bars, table["group"]):
        bar.set(hatch=GROUP_HATCHES[group], edgecolor="white", linewidth=0.3)
    for place, (value, high) in enumerate(zip(table[metric], table[f"{metric} high"])):
        ax.text(high + 1, place, f"{value:.2f}", va="center", fontsize=6.5)
    for group in dict.fromkeys(table["group"][::-1]):
        ax.barh(
            [0],
            [0],
            color=GROUP_COLOURS[group],
            hatch=GROUP_HATCHES[group],
            edgecolor="white",
            linewidth=0.3,
            label=group,
        )
    ax.set(
        xlabel=f"{metric} in per cent, 95 % interval over queries",
        xlim=(0, min(112, table[f"{metric} high"].max() * 1.15 + 4)),
    )
    ax.grid(axis="x")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


@styled
def factor_scores(table: pd.DataFrame, value: str, label: str) -> Figure:
    """Heat map of a value by method and factor, numbers written in. Columns method, factor, and the value."""
    grid = table.pivot(index="method", columns="factor", values=value).loc[
        list(dict.fromkeys(table["method"]))
    ]
    figure, ax = plt.subplots(figsize=(min(PAGE, 0.62 * grid.shape[1] + 1.9), 0.24 * grid.shape[0] + 1.1))
    sns.heatmap(
        grid,
        annot=True,
        fmt=".0f",
        cmap="cividis",
        linewidths=0.5,
        ax=ax,
        cbar_kws={"label": label},
        annot_kws={"fontsize": 6.5},
    )
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right")
    return figure


@styled
def attribute_accuracy(table: pd.DataFrame) -> Figure:
    """Accuracy by attribute for several encoders, beside guessing the commonest value. Columns encoder, attribute, accuracy, commonest."""
    attributes, encoders = list(dict.fromkeys(table["attribute"])), list(dict.fromkeys(table["encoder"]))
    figure, ax = plt.subplots(figsize=(PAGE, 2.2))
    at, width = np.arange(len(attributes)), 0.8 / len(encoders)
    for place, (look, hatch, encoder) in enumerate(zip(LINES, HATCHES, encoders)):
        part = table[table["encoder"] == encoder].set_index("attribute").loc[attributes]
        ax.bar(
            at + (place - (len(encoders) - 1) / 2) * width,
            part["accuracy"],
            width * 0.92,
            color=look["color"],
            hatch=hatch,
            edgecolor="white",
            linewidth=0.3,
            label=encoder,
        )
    commonest = table.drop_duplicates("attribute").set_index("attribute")["commonest"]
    ax.hlines(commonest, at - 0.42, at + 0.42, color="black", lw=1, label="always the commonest")
    ax.set_xticks(at, attributes)
    ax.set(ylabel="accuracy in per cent", ylim=(0, 104))
    ax.grid(axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(encoders) + 1)
    return figure


@styled
def embedding_map(points: pd.DataFrame) -> Figure:
    """Clips in the plane, a panel an encoder, coloured and marked by `group` in its sorted order. Columns encoder, x, y, group."""
    encoders, groups = list(dict.fromkeys(points["encoder"])), sorted(points["group"].unique())
    figure, axes = plt.subplots(
        1, len(encoders), figsize=(PAGE, PAGE / max(len(encoders), 3) + 0.5), squeeze=False
    )
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(groups)))
    for ax, encoder in zip(axes[0], encoders):
        part = points[points["encoder"] == encoder]
        for marker, colour, group in zip("os^DvP*X", colours, groups):
            inside = part[part["group"] == group]
            ax.scatter(inside["x"], inside["y"], s=9, marker=marker, color=colour, linewidths=0, label=group)
        ax.set_title(encoder, fontsize=7)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="lower center", ncols=len(groups), frameon=False
    )
    figure.subplots_adjust(bottom=0.14, wspace=0.06)
    return figure


@styled
def cost_against_quality(table: pd.DataFrame) -> Figure:
    """What a row takes to train against what it finds, each point named.

    Columns method, group, seconds, mAP@50 and it with " low" and " high".
    """
    axes_height = max(2.9, 0.11 * (len(table) + 1))  # inches: a line for each name
    figure, ax = plt.subplots(figsize=(PAGE, axes_height + 0.7))
    table = table.sort_values("mAP@50", ignore_index=True)
    for row in table.to_dict("records"):
        error = [[row["mAP@50"] - row["mAP@50 low"]], [row["mAP@50 high"] - row["mAP@50"]]]
        ax.errorbar(
            row["seconds"],
            row["mAP@50"],
            yerr=error,
            ls="",
            ms=6,
            elinewidth=0.6,
            markeredgecolor="white",
            markeredgewidth=0.4,
            **method_look(row["method"]),
        )
    right = table["seconds"].max() * 1.6
    low, high = ax.get_ylim()
    line = 0.11 / axes_height * (high - low)
    beside = table["mAP@50"].to_numpy().copy()
    # Names stand in a column of their own, pushed up where they would overlap, and down again where they would leave the frame.
    for place in range(1, len(beside)):
        beside[place] = max(beside[place], beside[place - 1] + line)
    for place in reversed(range(len(beside))):
        beside[place] = min(beside[place], high - line * (len(beside) - place - 0.5))
    for name, y, seconds, score in zip(table["method"], beside, table["seconds"], table["mAP@50"]):
        ax.annotate(
            f"{name}  {score:.2f}",
            (seconds, score),
            (right, y),
            fontsize=6.5,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "lw": 0.35,
                "color": "#999999",
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )
    ax.set(
        xscale="symlog",
        xlim=(-0.3, right / 1.15),
        xlabel="seconds of training, all stages (0: none)",
        ylabel="mAP@50 in per cent, 95 % interval",
    )
    ax.grid()
    for group in dict.fromkeys(table["group"]):
        ax.scatter([], [], s=24, color=GROUP_COLOURS[group], label=group)
    ax.legend(loc="upper left")
    return figure


@styled
def shuffle_control(table: pd.DataFrame) -> Figure:
    """mAP@50 with frames in order, shuffled when searching, and shuffled throughout. Columns method, frames, mAP@50 and it with
    " low" and " high"; `method` is the row that is shuffled."""
    stages, methods = list(dict.fromkeys(table["frames"])), list(dict.fromkeys(table["method"]))
    figure, ax = plt.subplots(figsize=(COLUMN * 1.25, 2.1))
    for place, method in enumerate(methods):
        part = table[table["method"] == method].set_index("frames").reindex(stages)
        at = np.arange(len(stages)) + (place - (len(methods) - 1) / 2) * 0.12
        error = np.abs(part[["mAP@50 low", "mAP@50 high"]].to_numpy().T - part["mAP@50"].to_numpy())
        shown = part["mAP@50"].notna().to_numpy()
        ax.errorbar(
            at[shown],
            part["mAP@50"][shown],
            yerr=error[:, shown],
            lw=1,
            ls=("-", "--", ":")[place % 3],
            elinewidth=0.8,
            ms=5,
            label=method,
            **method_look(method),
        )
    ax.set_xticks(np.arange(len(stages)), stages)
    ax.set(ylabel="mAP@50 in per cent", ylim=(0, None))
    ax.grid(axis="y")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
