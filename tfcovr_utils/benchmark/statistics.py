"""A benchmark in numbers, beside the paper's."""

import pandas as pd

from ..labels import Attributes
from ..texts import count_words

# Gupta et al., "From Play to Replay", section 3; the release's own count is 178,639 triplets.
PAPER = {
    "labels": 306,
    "labels_of": {"finediving": 47, "finegym": 259},
    "triplets": 180_000,
    "queries": {"test": 473},
    "targets_per_query": {"test capped": {"mean": 3.94}},
    "clip_seconds": {"max": 29.0, "mean": 1.9, "min": 0.03},
    "text_words": {"max": 19, "mean": 6.11, "min": 2},
    "sources_shared_between_splits": 0,
}


def count(benchmark) -> dict:
    """Count what a `triplets.Benchmark` holds, as numbers for JSON; `paper` has the paper's."""
    b = benchmark
    pair_keys = [b.pairs["tier"], b.pairs["kind"]]
    unique = b.triplets[["query_clip", "target_clip", "modification_id"]].drop_duplicates()
    directed = b.triplets[["source_label", "target_label"]].drop_duplicates()
    n_words = b.modifications.set_index("modification_id")["text"].map(count_words)
    split_of = b.queries.set_index("query_id")["split"]
    per_query = b.targets.groupby(["query_id", "gallery"]).size().reset_index(name="n")
    # As text, since without any query both columns are empty and of no kind.
    galleries = per_query["query_id"].map(split_of).astype(str) + " " + per_query["gallery"].astype(str)
    seconds = b.clips["end_s"] - b.clips["start_s"]
    report = b.check()
    problems = dict(zip(report["problem"], report["count"].map(int)))
    residue = [Attributes.from_json(text).residue for text in b.labels["attributes"]]
    return {
        "clips": _sizes(b.clips["split"]),
        "clip_seconds": _spread(seconds),
        "sources": b.clips.groupby("split")["source_video"].nunique().to_dict(),
        "sources_shared_between_splits": problems["sources shared between splits"],
        "labels": len(b.labels),
        "labels_of": _sizes(b.labels["dataset"]),
        "labels_paired": int(b.labels["label_id"].isin(b.pairs["source_label"]).sum()),
        "labels_in_split": b.clips.groupby("split")["label_id"].nunique().to_dict(),
        "labels_with_residue": sum(map(bool, residue)),
        "pairs_directed": len(b.pairs),
        "pairs": _sizes("tier " + pair_keys[0].astype(str) + " " + pair_keys[1]),
        "text_words": _spread(n_words),
        "text_words_of_triplets": _spread(b.triplets["modification_id"].map(n_words)),
        "triplets": len(b.triplets),
        "triplets_unique": len(unique),
        "triplets_pairs": len(directed),
        "triplets_clips": int(unique[["query_clip", "target_clip"]].stack().nunique()),
        "queries": _sizes(b.queries["split"]),
        "gallery": _sizes(b.gallery["split"] + " " + b.gallery["gallery"]),
        "targets_per_query": {
            name: _spread(part) for name, part in per_query["n"].groupby(galleries, sort=True)
        },
        "missing_valid_targets": problems["missing valid targets"],
        "problems": problems,
        "choices": {k: v for k, v in b.choices.items() if not isinstance(v, list)},
        "paper": PAPER,
    }


def _sizes(values: pd.Series) -> dict[str, int]:
    return {str(key): int(n) for key, n in values.value_counts(sort=False).sort_index().items()}


def _spread(values: pd.Series) -> dict[str, float]:
    values = values.dropna()
    if not len(values):
        return {}
    summary = {"min": values.min(), "mean": values.mean(), "max": values.max()}
    return {name: round(float(value), 4) for name, value in summary.items()}
