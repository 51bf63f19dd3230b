"""Figures of what goes wrong: which factor is missed, and how far from right the first clip lies."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from .base import PAGE, styled
from .colours import method_look


@styled
def factor_misses(misses: pd.DataFrame) -> Figure:
    """Share of queries whose first clip has a factor wrong, a panel for factors asked to change and one for those asked to stay.

    Columns method, factor, asked, queries, missed (per cent), as `qualitative.misses_by_factor` makes it; seven methods at most.
    """
    factors, methods = list(dict.fromkeys(misses["factor"]))[::-1], list(dict.fromkeys(misses["method"]))
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 0.24 * len(factors) + 0.8), sharey=True)
    for ax, (asked, title) in zip(axes, ((True, "asked to change"), (False, "asked to stay"))):
        part = misses[misses["asked"] == asked]
        for place, method in enumerate(methods):
            points = part[part["method"] == method].set_index("factor")["missed"].reindex(factors)
            offset = (place - (len(methods) - 1) / 2) * 0.5 / len(methods)
            ax.scatter(
                points,
                np.arange(len(factors)) - offset,
                s=26,
                linewidths=0.4,
                edgecolors="white",
                label=method,
                zorder=3,
                **method_look(method),
            )
        asked_of = part.drop_duplicates("factor").set_index("factor")["queries"].reindex(factors)
        for place, queries in enumerate(asked_of):
            ax.text(
                1.01,
                place,
                f"{queries:.0f}",
                transform=ax.get_yaxis_transform(),
                fontsize=6,
                va="center",
                color="#555555",
            )
        ax.set(
            title=title,
            xlabel="wrong in the clip ranked first, per cent\n(right margin: queries)",
            ylim=(-0.6, len(factors) - 0.4),
        )
        ax.set_xlim(left=min(-1.0, ax.get_xlim()[0]))
        ax.set_yticks(np.arange(len(factors)), factors)
        ax.grid(axis="both")
    figure.tight_layout()
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="lower center",
        ncols=min(4, len(methods)),
        bbox_to_anchor=(0.5, -0.26 / figure.get_figheight()),
    )
    return figure


@styled
def distances(failed: pd.DataFrame) -> Figure:
    """Share of queries by how many attributes of the first clip are wrong, a bar a method. Columns method, distance (0 is right)."""
    methods = list(dict.fromkeys(failed["method"]))[::-1]
    steps = ["right", "1 wrong", "2 wrong", "3 or more"]
    shares = pd.crosstab(failed["method"], failed["distance"].clip(upper=3), normalize="index").reindex(
        index=methods, columns=range(4), fill_value=0
    )
    figure, ax = plt.subplots(figsize=(PAGE, 0.28 * len(methods) + 0.7))
    left = np.zeros(len(methods))
    for step, name, fill, hatch in zip(
        range(4), steps, ("#009E73", "#F0E442", "#E69F00", "#8c3a00"), ("", "....", "////", "")
    ):
        ax.barh(
            methods,
            100 * shares[step],
            left=left,
            height=0.7,
            color=fill,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
            label=name,
        )
        for place, value in enumerate(100 * shares[step]):
            if value >= 6:
                ax.text(
                    left[place] + value / 2,
                    place,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
                )
        left = left + 100 * shares[step].to_numpy()
    ax.set(xlabel="queries in per cent, by the attributes of the clip ranked first", xlim=(0, 100))
    ax.legend(loc="lower center", ncols=4, bbox_to_anchor=(0.5, 1.0))
    return figure


@styled
def count_errors(wrong: pd.DataFrame) -> Figure:
    """How many too few or too many, a panel a counted factor. Columns method, factor, step (got - wanted, NaN for what is no count)."""
    counted = wrong[wrong["step"].notna()]
    factors, methods = list(dict.fromkeys(counted["factor"])), list(dict.fromkeys(wrong["method"]))
    figure, axes = plt.subplots(1, max(len(factors), 1), figsize=(PAGE, 1.9), squeeze=False, sharey=True)
    for ax, factor in zip(axes[0], factors):
        part = counted[counted["factor"] == factor]
        space = 0.5 if (part["step"] % 1 != 0).any() else 1.0
        for place, method in enumerate(methods):
            queries = part.loc[part["method"] == method, "step"].value_counts().sort_index()
            at = queries.index + (place - (len(methods) - 1) / 2) * 0.7 * space / len(methods)
            ax.vlines(at, 0, queries, color=method_look(method)["color"], lw=1.2)
            ax.plot(at, queries, ls="", ms=4.5, label=method, **method_look(method))
        ax.axvline(0, color="black", lw=0.8, ls=":")
        ax.xaxis.set_major_locator(MultipleLocator(space))
        ax.set(title=factor, xlabel="got - wanted", ylim=(0, None))
        ax.grid(axis="y")
    axes[0][0].set_ylabel("queries")
    figure.tight_layout()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.0, 0.55))
    return figure
