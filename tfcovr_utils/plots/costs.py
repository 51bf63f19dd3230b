"""Costs against size: the rows of the benchmarks as curves."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter, NullLocator

from .base import PAGE, styled, unique
from .colours import LINES

PLAIN_LOOK = {"color": "black", "ls": (0, (1, 1)), "marker": "x"}
COSTS = {"seconds": 0.0, "peak MiB": 0.1}  # cost -> smallest value drawn, since a log axis has no zero


def curves_of(table: pd.DataFrame) -> list[str]:
    """List the `what`s that were measured at more than one size."""
    sizes = table.groupby("what", sort=False)["size"].nunique()
    return list(sizes.index[sizes > 1])


@styled
def cost_against_size(table: pd.DataFrame) -> Figure:
    """Draw seconds and peak MiB over size, a column for each of `curves_of`; the plain design is black."""
    whats = curves_of(table)
    figure, axes = plt.subplots(len(COSTS), len(whats), figsize=(PAGE, 3.9), sharex="col", squeeze=False)
    for column, what in zip(axes.T, whats):
        part = table[table["what"] == what]
        for ax, (cost, least) in zip(column, COSTS.items()):
            _draw_cost(ax, part, cost, least)
        column[0].set_title(textwrap.fill(what, 90 // len(whats)), fontsize=7.5)
        column[-1].set_xlabel(part["of"].iloc[0])
        column[-1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.38), fontsize=6.5, handlelength=2.6)
    for ax, cost in zip(axes[:, 0], COSTS):
        ax.set_ylabel(cost)
    figure.tight_layout(w_pad=0.6)
    return figure


def _draw_cost(ax: Axes, part: pd.DataFrame, cost: str, least: float) -> None:
    plain_cost, sizes = f"plain {cost}", sorted(part["size"].unique())
    part = part.assign(**{name: part[name].clip(least) for name in (cost, plain_cost)})
    for look, design in zip(LINES, unique(part["design"])):
        rows = part[part["design"] == design]
        ax.plot(rows["size"], rows[cost], ms=3.5, lw=1, label=design, **look)
    plain = part.drop_duplicates("size")
    ax.plot(plain["size"], plain[plain_cost], ms=4, lw=1, label=plain["against"].iloc[0], **PLAIN_LOOK)
    low, high = np.log10([part[[cost, plain_cost]].min(axis=None), part[[cost, plain_cost]].max(axis=None)])
    whole_decades = 10.0 ** np.array([np.floor(low), np.ceil(high + 1e-9)])
    ax.set(xscale="log", yscale="log", ylim=whole_decades)
    ax.set_xticks(sizes, [EngFormatter(sep="")(size) for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid()
