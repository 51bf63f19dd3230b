"""Figures of training and of results: curves, scores with intervals, what goes wrong where."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .base import COLUMN, PAGE, styled

# A family of methods, and a kind of change, keeps its colour in every figure.
FAMILY_COLOURS = {"control": "#999999", "zero-shot": "#56B4E9", "fine-tuned": "#0072B2", "beyond the paper": "#D55E00"}
LINES = [dict(color=colour, ls=ls, marker=marker) for colour, ls, marker in zip(
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"), ("-", "--", "-.", ":", "-", "--", "-."), "osD^vPX")]


@styled
def curves(table: pd.DataFrame, x: str, panels: dict[str, str], by: str | None = None) -> Figure:
    """Lines over `x`, a panel a column: `panels` maps columns to labels. `by` names the column that tells lines apart, seven at most."""
    figure, axes = plt.subplots(1, len(panels), figsize=(PAGE if len(panels) > 1 else COLUMN, 1.9), squeeze=False)
    for ax, (column, label) in zip(axes[0], panels.items()):
        for look, (name, part) in zip(LINES, table.groupby(by, sort=False) if by else [("", table)]):
            part = part[part[column].notna()]
            ax.plot(part[x], part[column], label=name or None, ms=2.5, lw=1, **look)
        ax.set(xlabel=x, ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(axis="y")
    figure.tight_layout()
    if by:  # beside the panels, where it hides no line
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1., .55))
    return figure


@styled
def scores(table: pd.DataFrame, metric: str = "mAP@50") -> Figure:
    """One bar a method with its interval over queries. Columns method, family, the metric, and it with " low" and " high"."""
    table = table[table[metric].notna()].iloc[::-1]
    figure, ax = plt.subplots(figsize=(.75 * PAGE, .19 * len(table) + .7))
    error = np.abs(table[[f"{metric} low", f"{metric} high"]].to_numpy().T - table[metric].to_numpy())
    ax.barh(table["method"], table[metric], xerr=error, height=.65, color=table["family"].map(FAMILY_COLOURS), error_kw={"lw": .8})
    for place, (value, high) in enumerate(zip(table[metric], table[f"{metric} high"])):
        ax.text(high + 1, place, f"{value:.2f}", va="center", fontsize=6.5)
    for family in dict.fromkeys(table["family"][::-1]):
        ax.barh([0], [0], color=FAMILY_COLOURS[family], label=family)
    ax.set(xlabel=f"{metric} in per cent, 95 % interval over queries", xlim=(0, min(112, table[f"{metric} high"].max() * 1.15 + 4)))
    ax.grid(axis="x")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, .5))
    return figure


@styled
def factor_scores(table: pd.DataFrame, value: str, label: str) -> Figure:
    """Heat map of a value by method and factor, numbers written in. Columns method, factor, and the value."""
    grid = table.pivot(index="method", columns="factor", values=value).loc[list(dict.fromkeys(table["method"]))]
    figure, ax = plt.subplots(figsize=(min(PAGE, .62 * grid.shape[1] + 1.9), .24 * grid.shape[0] + 1.1))
    sns.heatmap(grid, annot=True, fmt=".0f", cmap="cividis", linewidths=.5, ax=ax, cbar_kws={"label": label}, annot_kws={"fontsize": 6.5})
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right")
    return figure


@styled
def attribute_accuracy(table: pd.DataFrame) -> Figure:
    """Accuracy by attribute for several encoders, beside guessing the commonest value. Columns encoder, attribute, accuracy, commonest."""
    attributes, encoders = list(dict.fromkeys(table["attribute"])), list(dict.fromkeys(table["encoder"]))
    figure, ax = plt.subplots(figsize=(PAGE, 2.2))
    at, width = np.arange(len(attributes)), .8 / len(encoders)
    for place, (look, encoder) in enumerate(zip(LINES, encoders)):
        part = table[table["encoder"] == encoder].set_index("attribute").loc[attributes]
        ax.bar(at + (place - (len(encoders) - 1) / 2) * width, part["accuracy"], width * .92, color=look["color"], label=encoder)
    commonest = table.drop_duplicates("attribute").set_index("attribute")["commonest"]
    ax.hlines(commonest, at - .42, at + .42, color="black", lw=1, label="always the commonest")
    ax.set_xticks(at, attributes)
    ax.set(ylabel="accuracy in per cent", ylim=(0, 104))
    ax.grid(axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(.5, -.12), ncols=len(encoders) + 1)
    return figure


@styled
def embedding_map(points: pd.DataFrame) -> Figure:
    """Clips in the plane, a panel an encoder, coloured and marked by `group` in its sorted order. Columns encoder, x, y, group."""
    encoders, groups = list(dict.fromkeys(points["encoder"])), sorted(points["group"].unique())
    figure, axes = plt.subplots(1, len(encoders), figsize=(PAGE, PAGE / max(len(encoders), 3) + .5), squeeze=False)
    colours = plt.get_cmap("viridis")(np.linspace(0, .95, len(groups)))
    for ax, encoder in zip(axes[0], encoders):
        part = points[points["encoder"] == encoder]
        for marker, colour, group in zip("os^DvP*X", colours, groups):
            inside = part[part["group"] == group]
            ax.scatter(inside["x"], inside["y"], s=9, marker=marker, color=colour, linewidths=0, label=group)
        ax.set_title(encoder, fontsize=7)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="lower center", ncols=len(groups), frameon=False)
    figure.subplots_adjust(bottom=.14, wspace=.06)
    return figure
