"""An open world: what the test asks for was never trained. Three ways to leave something out, by rule.

A held-out benchmark has the same queries and galleries; only what teaches is less. `asked` tells which
queries ask for something new.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..labels import Attributes
from .benchmark import Benchmark

SHARE = 0.2  # of labels, or of label pairs, that are held out
WAYS = ("labels", "pairs", "count")
CLOSED = "closed"


@dataclass(frozen=True)
class HeldOut:
    """A benchmark that teaches less, and what its test queries ask for: a name by query_id."""

    benchmark: Benchmark
    asked: pd.Series
    labels: list[str]  # that no clip teaches


def hold_out(benchmark: Benchmark, way: str, seed: int = 0) -> HeldOut:
    """Leave labels, label pairs or a count out of training.

    labels: a fifth of them; each value of their attributes stays with another label, so each can be composed.
    pairs: a fifth of the label pairs, in both directions; their labels stay. count: every label with the
    largest count of rotation that two labels have, so that no clip teaches this count.
    """
    if way not in WAYS:
        raise ValueError(f"way {way!r} is not known; choose one of {', '.join(WAYS)}.")
    ends = benchmark.modifications.set_index("modification_id")[["source_label", "target_label"]]
    of_query = ends.loc[benchmark.queries["modification_id"]].set_axis(benchmark.queries["query_id"])
    if way == "pairs":
        held = _draw_pairs(ends, seed)
        taught = ends.loc[benchmark.triplets["modification_id"]].apply(frozenset, axis=1).to_numpy()
        triplets = benchmark.triplets[[pair not in held for pair in taught]]
        asked = of_query.apply(frozenset, axis=1).map(lambda pair: "unseen pair" if pair in held else CLOSED)
        return HeldOut(replace(benchmark, triplets=triplets.reset_index(drop=True)), asked, [])
    held = _draw_labels(benchmark, seed) if way == "labels" else _largest_count(benchmark)
    clips = benchmark.clips
    left = clips[(clips["split"] == "test") | ~clips["label_id"].isin(held)]
    new = of_query.isin(held)
    names = np.array([[CLOSED, "unseen target label"], ["unseen source label", "unseen labels"]])
    asked = pd.Series(names[new["source_label"].astype(int), new["target_label"].astype(int)], new.index)
    if way == "count":
        asked[asked != CLOSED] = "unseen count"
    return HeldOut(benchmark.restrict(set(left["clip_id"])), asked, held)


def _values(benchmark: Benchmark) -> pd.DataFrame:
    """Attributes in which labels differ, as text: a row a label."""
    taught = benchmark.clips.loc[benchmark.clips["split"] == "train", "label_id"].unique()
    labels = benchmark.labels.set_index("label_id").loc[sorted(taught)]
    table = pd.DataFrame([vars(Attributes.from_json(text)) for text in labels["attributes"]], labels.index)
    return table.astype(str).loc[:, lambda values: values.nunique() > 1]


def _draw_labels(benchmark: Benchmark, seed: int) -> list[str]:
    values, held = _values(benchmark), []
    for label in np.random.default_rng(seed).permutation(values.index):
        rest = values.drop([*held, label])
        if all(values.at[label, name] in set(rest[name]) for name in values):
            held.append(label)
        if len(held) >= SHARE * len(values):
            break
    return sorted(held)


def _largest_count(benchmark: Benchmark) -> list[str]:
    counts = _values(benchmark).get("rotation", pd.Series(dtype=float)).astype(float)
    shared = counts[counts.duplicated(keep=False)]
    return sorted(counts.index[counts == shared.max()])


def _draw_pairs(ends: pd.DataFrame, seed: int) -> set[frozenset]:
    pairs = sorted({tuple(sorted(pair)) for pair in ends.itertuples(index=False)})
    drawn = np.random.default_rng(seed).permutation(pairs)[: round(SHARE * len(pairs))]
    return set(map(frozenset, drawn))
