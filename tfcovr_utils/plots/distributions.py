"""Figures of a benchmark: its clips, labels, pairs and texts, and what classifiers find in single cues."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .base import APPARATUS_COLOURS, APPARATUS_NAMES, CENTRED, COLUMN, PAGE, make_panels, styled

OUTLINE = {"element": "step", "fill": False}  # of histograms that are drawn over each other
MEAN_LINE = {"color": "black", "lw": 0.9, "ls": ":"}
CHANGES = {
    "temporal": {"color": "#0072B2", "lw": 0.5, "ls": "-"},
    "event": {"color": "#D55E00", "lw": 0.7, "ls": "--"},
}


@styled
def label_tree(labels: pd.DataFrame) -> Figure:
    """Draw labels as a tree from left to right: event, family, label. Columns event, family, text, clips."""
    ordered = labels.sort_values(["event", "family", "text"], ignore_index=True)
    figure, ax = plt.subplots(figsize=(PAGE, 0.125 * len(ordered) + 0.3))
    y = -np.arange(len(ordered), dtype=float)
    for event, in_event in ordered.groupby("event"):
        look, root = {"color": APPARATUS_COLOURS[event]}, y[in_event.index].mean()
        ax.text(0, root, APPARATUS_NAMES[event], ha="right", va="center", fontsize=8, weight="bold", **look)
        for family, in_family in in_event.groupby("family"):
            branch = y[in_family.index].mean()
            ax.plot([0.02, 0.16], [root, branch], lw=0.8, **look)
            ax.text(0.18, branch, family, va="center", fontsize=7)
            for row in in_family.itertuples():
                ax.plot([0.30, 0.40], [branch, y[row.Index]], lw=0.5, **look)
                ax.text(0.41, y[row.Index], row.text, va="center", fontsize=6)
    ax.set(xlim=(-0.12, 1.3), ylim=(y.min() - 1, 1))
    ax.axis("off")
    return figure


@styled
def label_counts(counts: pd.DataFrame) -> Figure:
    """Draw the clips of each label from most to fewest, on a log scale. Columns dataset, label_id, clips."""
    figure, ax = plt.subplots(figsize=(PAGE, 1.9))
    for marker, (dataset, part) in zip("os^", counts.groupby("dataset")):
        ranks, look = np.arange(1, len(part) + 1), {"marker": marker, "ms": 2.5, "lw": 0.8}
        ax.plot(ranks, np.sort(part.clips)[::-1], label=f"{dataset} ({len(part)} labels)", **look)
    ax.set(yscale="log", xlabel="label, from most to fewest clips", ylabel="clips")
    ax.grid(axis="y")
    ax.legend()
    return figure


@styled
def durations(clips: pd.DataFrame) -> Figure:
    """Draw a histogram of the clips' durations. Columns dataset, seconds."""
    figure, ax = plt.subplots(figsize=(COLUMN, 1.9))
    sns.histplot(clips, x="seconds", hue="dataset", bins=30, ax=ax, **OUTLINE)
    ax.set(xlabel="duration in seconds", ylabel="clips")
    return figure


@styled
def factor_table(factors: pd.DataFrame, row: str, column: str) -> Figure:
    """Draw how many clips have each pair of values of two factors, as a heat map with the numbers in it."""
    counts = pd.crosstab(factors[row], factors[column])
    figure, ax = plt.subplots(figsize=(0.55 * counts.shape[1] + 1.2, 0.28 * counts.shape[0] + 0.6))
    shown = counts.where(counts > 0)
    sns.heatmap(shown, annot=True, fmt=".0f", cbar=False, linewidths=0.5, ax=ax, cmap="cividis")
    ax.tick_params(length=0)
    return figure


@styled
def probe_accuracy(probes: pd.DataFrame) -> Figure:
    """Draw how well classifiers predict a count: probe, count, accuracy, chance (0 to 1), clips."""
    height = 0.30 * probes.probe.nunique() + 0.8
    figure, axes = make_panels(probes["count"].nunique(), height=height, sharey=True)
    for ax, (count, part) in zip(axes, probes.groupby("count", sort=False)):
        part = part.iloc[::-1]
        error = 100 * 1.96 * np.sqrt(part.accuracy * (1 - part.accuracy) / part.clips)
        look = {"height": 0.6, "color": "#56B4E9", "error_kw": {"lw": 0.8}}
        ax.barh(part.probe, 100 * part.accuracy, xerr=error, **look)
        ax.scatter(100 * part.chance, part.probe, marker="|", s=160, color="black", zorder=3, label="chance")
        ax.set(title=count, xlabel="accuracy in per cent, 95 % interval", xlim=(0, 103))
        ax.grid(axis="x")
    # Inside the panel, the legend's own mark would look like one more chance.
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@styled
def similarity_map(similarity: np.ndarray, labels: pd.DataFrame) -> Figure:
    """Draw the similarity (N, N) of N labels' texts as a heat map, with lines between apparatus."""
    figure, ax = plt.subplots(figsize=(0.62 * PAGE, 0.55 * PAGE))
    picture = ax.imshow(similarity, vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(picture, ax=ax, label="similarity of the texts", shrink=0.8)
    starts = labels.event.ne(labels.event.shift()).to_numpy().nonzero()[0]
    centres = (starts + np.append(starts[1:], len(labels))) / 2
    for start in starts[1:]:
        ax.axhline(start - 0.5, color="white", lw=0.6)
        ax.axvline(start - 0.5, color="white", lw=0.6)
    names = [APPARATUS_NAMES[event] for event in labels.event.iloc[starts]]
    ax.set_xticks(centres - 0.5, names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(centres - 0.5, names)
    ax.tick_params(length=0)
    return figure


@styled
def label_graph(pairs: pd.DataFrame, labels: pd.DataFrame) -> Figure:
    """Draw labels (label_id, event) on a circle, and lines for pairs (their two labels, kind, tier)."""
    angles = dict(zip(labels.label_id, 2 * np.pi * np.arange(len(labels)) / len(labels)))
    figure, ax = plt.subplots(figsize=(0.62 * PAGE, 0.62 * PAGE))
    for row in pairs.itertuples():
        curve = _curve_between(angles[row.source_label], angles[row.target_label])
        ax.plot(*curve.T, alpha=0.8 if row.tier < 3 else 0.25, **CHANGES[row.kind])
    for event, part in labels.groupby("event", sort=False):
        at, look = np.array([angles[label] for label in part.label_id]), {"color": APPARATUS_COLOURS[event]}
        ax.scatter(np.cos(at), np.sin(at), s=9, zorder=3, **look)
        x, y = 1.17 * np.cos(at.mean()), 1.12 * np.sin(at.mean())
        ax.text(x, y, APPARATUS_NAMES[event], fontsize=8, weight="bold", **CENTRED, **look)
    for kind, look in CHANGES.items():
        ax.plot([], [], label=f"{kind} change", **look)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.16, -0.12))
    ax.set_aspect("equal")
    ax.axis("off")
    return figure


def _curve_between(source: float, target: float) -> np.ndarray:
    """Return a Bézier curve (24, 2) between two angles on the unit circle; far ends meet near the centre."""
    a, b = (np.array([np.cos(angle), np.sin(angle)]) for angle in (source, target))
    middle, apart = (a + b) / 2, np.linalg.norm(a - b) / 2
    control = middle / max(np.linalg.norm(middle), 1e-6) * (1 - apart)
    share = np.linspace(0, 1, 24)[:, None]
    return (1 - share) ** 2 * a + 2 * share * (1 - share) * control + share**2 * b


@styled
def precision_by_threshold(proposed: pd.DataFrame) -> Figure:
    """Draw precision and recall over the cut: columns dataset, similarity, verified, threshold."""
    datasets = proposed.dataset.unique()
    figure, axes = make_panels(len(datasets), sharey=True)
    for ax, dataset in zip(axes, datasets):
        part = proposed[proposed.dataset == dataset].sort_values("similarity", ascending=False)
        found = part.verified.cumsum()
        ax.plot(part.similarity, 100 * found / np.arange(1, len(part) + 1), label="precision")
        ax.plot(part.similarity, 100 * found / max(part.verified.sum(), 1), ls="--", label="recall")
        ax.axvline(part.threshold.iloc[0], color="black", lw=0.8, ls=":", label="calibrated cut")
        ax.set(title=dataset, xlabel="similarity of the texts", ylim=(0, 102))
        ax.grid(axis="y")
    axes[0].set_ylabel("per cent")
    axes[-1].legend()
    return figure


@styled
def text_lengths(lengths: pd.DataFrame, paper: dict[str, float]) -> Figure:
    """Draw how long the modifications are (set, words); `paper` has the published min, mean, max."""
    figure, ax = plt.subplots(figsize=(0.7 * PAGE, 1.9))
    shares = {"discrete": True, "stat": "percent", "common_norm": False}
    sns.histplot(lengths, x="words", hue="set", ax=ax, **shares, **OUTLINE)
    ax.axvline(paper["mean"], **MEAN_LINE)
    ax.axvspan(paper["min"], paper["max"], color="#f2f2f2", zorder=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    words = "words (numbers written as words); dotted: the paper's mean, shaded: its range"
    ax.set(xlabel=words, ylabel="per cent of texts")
    return figure


@styled
def targets_per_query(targets: pd.DataFrame) -> Figure:
    """Draw how many right answers test queries have, by gallery: columns split, gallery, targets."""
    targets = targets[targets["split"] == "test"]
    figure, axes = make_panels(targets["gallery"].nunique(), 0.7 * PAGE, 1.8, sharey=True)
    for ax, (gallery, counts) in zip(axes, targets.groupby("gallery")["targets"]):
        few = bool(counts.max() <= 30)
        bins = "auto" if few else 30
        sns.histplot(counts, discrete=few, bins=bins, ax=ax, color="#56B4E9", edgecolor="white")
        ax.axvline(counts.mean(), **MEAN_LINE)
        ax.set(title=f"gallery {gallery}, mean {counts.mean():.2f}", xlim=(0, counts.max() + 1))
        ax.set(xlabel="right answers a query", ylabel="test queries")
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.tight_layout()
    return figure
