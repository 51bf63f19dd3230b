"""What things cost against their size: the rows of the benchmarks as curves."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter, NullLocator

from .base import PAGE, styled
from .scores import LINES

PLAIN_LOOK = {"color": "black", "ls": (0, (1, 1)), "marker": "x"}
COSTS = {"seconds": 0.0, "peak MiB": 0.1}  # and the least that is drawn: a logarithm has no place for nothing


def curves_of(table: pd.DataFrame) -> list[str]:
    """What was measured at more than one size."""
    return [what for what, part in table.groupby("what", sort=False) if part["size"].nunique() > 1]


@styled
def cost_against_size(table: pd.DataFrame) -> Figure:
    """Seconds, and peak memory above the inputs, over size; all logarithmic, a column for each `what` of `curves_of`, the plain design
    in black.

    Columns what, design, against, size, of, seconds, peak MiB, and these two with "plain " before.
    """
    whats = curves_of(table)
    figure, axes = plt.subplots(len(COSTS), len(whats), figsize=(PAGE, 3.9), sharex="col", squeeze=False)
    for column, what in zip(axes.T, whats):
        part = table[table["what"] == what]
        sizes = sorted(part["size"].unique())
        for ax, (cost, least) in zip(column, COSTS.items()):
            shown = part.assign(**{name: part[name].clip(least) for name in (cost, f"plain {cost}")})
            for look, (design, rows) in zip(LINES, shown.groupby("design", sort=False)):
                ax.plot(rows["size"], rows[cost], ms=3.5, lw=1, label=design, **look)
            plain = shown.drop_duplicates("size")
            ax.plot(
                plain["size"],
                plain[f"plain {cost}"],
                ms=4,
                lw=1,
                label=plain["against"].iloc[0],
                **PLAIN_LOOK,
            )
            ends = np.log10(
                [shown[[cost, f"plain {cost}"]].min(axis=None), shown[[cost, f"plain {cost}"]].max(axis=None)]
            )
            ax.set(
                xscale="log",
                yscale="log",
                ylim=10.0 ** np.array([np.floor(ends[0]), np.ceil(ends[1] + 1e-9)]),
            )  # whole decades
            ax.set_xticks(sizes, [EngFormatter(sep="")(size) for size in sizes])
            ax.xaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.grid()
        column[0].set_title(textwrap.fill(what, 90 // len(whats)), fontsize=7.5)
        column[-1].set_xlabel(part["of"].iloc[0])
        column[-1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.38), fontsize=6.5, handlelength=2.6)
    for ax, cost in zip(axes[:, 0], COSTS):
        ax.set_ylabel(cost)
    figure.tight_layout(w_pad=0.6)
    return figure
