"""Figures of a benchmark: its clips, labels, pairs and texts, and what probes read from them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .base import APPARATUS_COLOURS, APPARATUS_NAMES, COLUMN, PAGE, styled


@styled
def label_tree(labels: pd.DataFrame) -> Figure:
    """Labels as a tree from left to right: event, family, label. Columns event, family, text, clips."""
    ordered = labels.sort_values(["event", "family", "text"], ignore_index=True)
    figure, ax = plt.subplots(figsize=(PAGE, 0.125 * len(ordered) + 0.3))
    y = -np.arange(len(ordered), dtype=float)
    for event, in_event in ordered.groupby("event"):
        colour, centre = APPARATUS_COLOURS[event], y[in_event.index].mean()
        ax.text(
            0,
            centre,
            APPARATUS_NAMES[event],
            ha="right",
            va="center",
            fontsize=8,
            weight="bold",
            color=colour,
        )
        for family, in_family in in_event.groupby("family"):
            branch = y[in_family.index].mean()
            ax.plot([0.02, 0.16], [centre, branch], color=colour, lw=0.8)
            ax.text(0.18, branch, family, va="center", fontsize=7)
            for row in in_family.itertuples():
                ax.plot([0.30, 0.40], [branch, y[row.Index]], color=colour, lw=0.5)
                ax.text(0.41, y[row.Index], row.text, va="center", fontsize=6)
    ax.set(xlim=(-0.12, 1.3), ylim=(y.min() - 1, 1))
    ax.axis("off")
    return figure


@styled
def label_counts(counts: pd.DataFrame, ax=None) -> Figure:
    """Clips a label from most to fewest, on a log scale. Columns dataset, label_id, clips."""
    figure, ax = (ax.figure, ax) if ax else plt.subplots(figsize=(PAGE, 1.9))
    for marker, (dataset, part) in zip("os^", counts.groupby("dataset")):
        values = np.sort(part.clips)[::-1]
        ax.plot(
            np.arange(1, len(values) + 1),
            values,
            marker=marker,
            ms=2.5,
            lw=0.8,
            label=f"{dataset} ({len(values)} labels)",
        )
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
    figure, ax = plt.subplots(figsize=(0.55 * counts.shape[1] + 1.2, 0.28 * counts.shape[0] + 0.6))
    sns.heatmap(
        counts.where(counts > 0), annot=True, fmt=".0f", cbar=False, linewidths=0.5, ax=ax, cmap="cividis"
    )
    ax.tick_params(length=0)
    return figure


@styled
def probe_accuracy(probes: pd.DataFrame) -> Figure:
    """What each probe reads, beside chance. Columns probe, count, accuracy, chance, clips (in per cent from 0 to 1)."""
    counts = list(dict.fromkeys(probes["count"]))
    figure, axes = plt.subplots(
        1, len(counts), figsize=(PAGE, 0.30 * probes.probe.nunique() + 0.8), sharey=True, squeeze=False
    )
    for ax, count in zip(axes[0], counts):
        part = probes[probes["count"] == count].iloc[::-1]
        error = 1.96 * np.sqrt(part.accuracy * (1 - part.accuracy) / part.clips)
        ax.barh(
            part.probe,
            100 * part.accuracy,
            xerr=100 * error,
            height=0.6,
            color="#56B4E9",
            error_kw={"lw": 0.8},
        )
        ax.scatter(100 * part.chance, part.probe, marker="|", s=160, color="black", zorder=3, label="chance")
        ax.set(title=count, xlabel="accuracy in per cent, 95 % interval", xlim=(0, 103))
        ax.grid(axis="x")
    axes[0][-1].legend(
        loc="center left", bbox_to_anchor=(1, 0.5)
    )  # inside, its own mark would be read as one more chance
    return figure


@styled
def similarity_map(similarity: np.ndarray, labels: pd.DataFrame) -> Figure:
    """Text similarity (N, N) of labels as a heat map, labels in the order given, with lines between apparatus."""
    figure, ax = plt.subplots(figsize=(0.62 * PAGE, 0.55 * PAGE))
    picture = ax.imshow(similarity, vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(picture, ax=ax, label="similarity of the texts", shrink=0.8)
    ends = labels.event.ne(labels.event.shift()).to_numpy().nonzero()[0]
    centres = (ends + np.append(ends[1:], len(labels))) / 2
    for end in ends[1:]:
        ax.axhline(end - 0.5, color="white", lw=0.6)
        ax.axvline(end - 0.5, color="white", lw=0.6)
    names = [APPARATUS_NAMES[event] for event in labels.event.iloc[ends]]
    ax.set_xticks(centres - 0.5, names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(centres - 0.5, names)
    ax.tick_params(length=0)
    return figure


@styled
def label_graph(pairs: pd.DataFrame, labels: pd.DataFrame) -> Figure:
    """Labels on a circle, a line for each pair. Pairs: source_label, target_label, kind, tier; labels: label_id, event."""
    angle = dict(zip(labels.label_id, 2 * np.pi * np.arange(len(labels)) / len(labels)))
    figure, ax = plt.subplots(figsize=(0.62 * PAGE, 0.62 * PAGE))
    looks = {
        "temporal": dict(color="#0072B2", lw=0.5, ls="-"),
        "event": dict(color="#D55E00", lw=0.7, ls="--"),
    }
    share = np.linspace(0, 1, 24)[:, None]
    for row in pairs.itertuples():
        a, b = (
            np.array([np.cos(angle[end]), np.sin(angle[end])]) for end in (row.source_label, row.target_label)
        )
        middle, apart = (a + b) / 2, np.linalg.norm(a - b) / 2
        bend = (
            middle / max(np.linalg.norm(middle), 1e-6) * (1 - apart)
        )  # far pairs pass near the centre, near ones stay at the rim
        curve = (1 - share) ** 2 * a + 2 * share * (1 - share) * bend + share**2 * b
        ax.plot(*curve.T, alpha=0.8 if row.tier < 3 else 0.25, **looks[row.kind])
    for event, part in labels.groupby("event", sort=False):
        at = np.array([angle[label] for label in part.label_id])
        ax.scatter(np.cos(at), np.sin(at), s=9, color=APPARATUS_COLOURS[event], zorder=3)
        ax.text(
            1.17 * np.cos(at.mean()),
            1.12 * np.sin(at.mean()),
            APPARATUS_NAMES[event],
            ha="center",
            va="center",
            fontsize=8,
            weight="bold",
            color=APPARATUS_COLOURS[event],
        )
    for kind, look in looks.items():
        ax.plot([], [], label=f"{kind} change", **look)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.16, -0.12))
    ax.set_aspect("equal")
    ax.axis("off")
    return figure


@styled
def precision_by_threshold(proposed: pd.DataFrame) -> Figure:
    """Precision and recall of text similarity against verified pairs, at every cut. Columns dataset, similarity, verified, threshold."""
    datasets = proposed.dataset.unique()
    figure, axes = plt.subplots(1, len(datasets), figsize=(PAGE, 1.9), sharey=True, squeeze=False)
    for ax, dataset in zip(axes[0], datasets):
        part = proposed[proposed.dataset == dataset].sort_values("similarity", ascending=False)
        found = part.verified.cumsum()
        ax.plot(part.similarity, 100 * found / np.arange(1, len(part) + 1), label="precision")
        ax.plot(part.similarity, 100 * found / max(part.verified.sum(), 1), ls="--", label="recall")
        ax.axvline(part.threshold.iloc[0], color="black", lw=0.8, ls=":", label="calibrated cut")
        ax.set(title=dataset, xlabel="similarity of the texts", ylim=(0, 102))
        ax.grid(axis="y")
    axes[0][0].set_ylabel("per cent")
    axes[0][-1].legend()
    return figure


@styled
def text_lengths(lengths: pd.DataFrame, paper: dict[str, float]) -> Figure:
    """Words of the modification texts. Columns set, words; `paper` has the published min, mean and max."""
    figure, ax = plt.subplots(figsize=(0.7 * PAGE, 1.9))
    sns.histplot(
        lengths,
        x="words",
        hue="set",
        discrete=True,
        stat="percent",
        common_norm=False,
        element="step",
        fill=False,
        ax=ax,
    )
    ax.axvline(paper["mean"], color="black", lw=0.9, ls=":")
    ax.axvspan(paper["min"], paper["max"], color="#f2f2f2", zorder=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(
        xlabel="words (numbers written as words); dotted: the paper's mean, shaded: its range",
        ylabel="per cent of texts",
    )
    return figure


@styled
def targets_per_query(targets: pd.DataFrame) -> Figure:
    """How many right answers queries have, a panel a gallery. Columns split, gallery, targets (one row a query)."""
    targets = targets[targets["split"] == "test"]
    galleries = sorted(targets["gallery"].unique())
    figure, axes = plt.subplots(1, len(galleries), figsize=(0.7 * PAGE, 1.8), sharey=True, squeeze=False)
    for ax, gallery in zip(axes[0], galleries):
        counts = targets.loc[targets["gallery"] == gallery, "targets"]
        sns.histplot(
            counts,
            discrete=bool(counts.max() <= 30),
            bins="auto" if counts.max() <= 30 else 30,
            ax=ax,
            color="#56B4E9",
            edgecolor="white",
        )
        ax.axvline(counts.mean(), color="black", lw=0.9, ls=":")
        ax.set(
            title=f"gallery {gallery}, mean {counts.mean():.2f}",
            xlabel="right answers a query",
            ylabel="test queries",
            xlim=(0, counts.max() + 1),
        )
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.tight_layout()
    return figure
