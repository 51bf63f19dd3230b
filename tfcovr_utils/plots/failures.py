"""Figures of mistakes: which factor is missed, and how far from right the clip ranked first is."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from .base import CENTRED, PAGE, legend_of_panels, make_panels, styled, unique
from .colours import method_look

# How many attributes are wrong -> name, colour and hatch.
DISTANCES = (
    ("right", "#009E73", ""),
    ("1 wrong", "#F0E442", "...."),
    ("2 wrong", "#E69F00", "////"),
    ("3 or more", "#8c3a00", ""),
)
WHITE_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}


def _offsets(count: int, width: float) -> np.ndarray:
    """Spread `count` points evenly over a width, around 0."""
    return (np.arange(count) - (count - 1) / 2) * width / count


@styled
def factor_misses(misses: pd.DataFrame) -> Figure:
    """Draw `qualitative.misses_by_factor`, of seven methods at most: asked to change, and to stay."""
    factors, methods = unique(misses["factor"])[::-1], unique(misses["method"])
    figure, axes = make_panels(2, height=0.24 * len(factors) + 0.8, sharey=True)
    places, dots = np.arange(len(factors)), {"s": 26, "linewidths": 0.4, "edgecolors": "white", "zorder": 3}
    for ax, (asked, title) in zip(axes, ((True, "asked to change"), (False, "asked to stay"))):
        part = misses[misses["asked"] == asked]
        for method, offset in zip(methods, _offsets(len(methods), 0.5)):
            missed = part[part["method"] == method].set_index("factor")["missed"].reindex(factors)
            ax.scatter(missed, places - offset, label=method, **dots, **method_look(method))
        margin = {"transform": ax.get_yaxis_transform(), "fontsize": 6, "va": "center", "color": "#555555"}
        queries = part.drop_duplicates("factor").set_index("factor")["queries"].reindex(factors)
        for place, count in zip(places, queries):
            ax.text(1.01, place, f"{count:.0f}", **margin)
        ax.set(title=title, xlabel="wrong in the clip ranked first, per cent\n(right margin: queries)")
        ax.set(xlim=(min(-1.0, ax.get_xlim()[0]), None), ylim=(-0.6, len(factors) - 0.4))
        ax.set_yticks(places, factors)
        ax.grid(axis="both")
    figure.tight_layout()
    below = (0.5, -0.26 / figure.get_figheight())
    legend_of_panels(figure, axes[0], loc="lower center", bbox_to_anchor=below, ncols=min(4, len(methods)))
    return figure


@styled
def distances(failed: pd.DataFrame) -> Figure:
    """Draw the share of queries by how many attributes of the first clip are wrong (method, distance)."""
    methods = unique(failed["method"])[::-1]
    shares = 100 * pd.crosstab(failed["method"], failed["distance"].clip(upper=3), normalize="index")
    shares = shares.reindex(index=methods, columns=range(len(DISTANCES)), fill_value=0)
    figure, ax = plt.subplots(figsize=(PAGE, 0.28 * len(methods) + 0.7))
    left = np.zeros(len(methods))
    for distance, (name, colour, hatch) in enumerate(DISTANCES):
        look = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.5}
        ax.barh(methods, shares[distance], left=left, height=0.7, label=name, **look)
        for place, value in enumerate(shares[distance]):
            if value >= 6:
                middle = left[place] + value / 2
                ax.text(middle, place, f"{value:.0f}", fontsize=6.5, bbox=WHITE_BOX, **CENTRED)
        left = left + shares[distance].to_numpy()
    ax.set(xlabel="queries in per cent, by the attributes of the clip ranked first", xlim=(0, 100))
    ax.legend(loc="lower center", ncols=4, bbox_to_anchor=(0.5, 1.0))
    return figure


@styled
def count_errors(wrong: pd.DataFrame) -> Figure:
    """Draw how many too few or too many, by counted factor: columns method, factor, step (or NaN)."""
    counted = wrong[wrong["step"].notna()]
    factors, methods = unique(counted["factor"]), unique(wrong["method"])
    figure, axes = make_panels(max(len(factors), 1), sharey=True)
    for ax, factor in zip(axes, factors):
        part = counted[counted["factor"] == factor]
        space = 0.5 if (part["step"] % 1 != 0).any() else 1.0
        for method, offset in zip(methods, _offsets(len(methods), 0.7 * space)):
            queries = part.loc[part["method"] == method, "step"].value_counts().sort_index()
            at = queries.index + offset
            ax.vlines(at, 0, queries, color=method_look(method)["color"], lw=1.2)
            ax.plot(at, queries, ls="", ms=4.5, label=method, **method_look(method))
        ax.axvline(0, color="black", lw=0.8, ls=":")
        ax.xaxis.set_major_locator(MultipleLocator(space))
        ax.set(title=factor, xlabel="got - wanted", ylim=(0, None))
        ax.grid(axis="y")
    axes[0].set_ylabel("queries")
    figure.tight_layout()
    legend_of_panels(figure, axes[0])
    return figure
