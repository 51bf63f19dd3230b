"""A benchmark in numbers, beside the paper's."""

from dataclasses import fields

import pandas as pd

from ..labels import Attributes
from ..texts import count_words

# Gupta et al., "From Play to Replay", section 3; the release has 178,639 triplets.
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
    """Count what a `Benchmark` holds, as numbers for JSON; `paper` has the paper's numbers."""
    b = benchmark
    unique = b.triplets[["query_clip", "target_clip", "modification_id"]].drop_duplicates()
    n_words = b.modifications.set_index("modification_id")["text"].map(count_words)
    split_of = b.queries.set_index("query_id")["split"]
    per_query = b.targets.groupby(["query_id", "gallery"]).size().reset_index(name="n")
    # As text: without queries both columns are empty and have no type.
    galleries = per_query["query_id"].map(split_of).astype(str) + " " + per_query["gallery"].astype(str)
    report = b.check()
    problems = dict(zip(report["problem"], report["count"].map(int)))
    return {
        "clips": _sizes(b.clips["split"]),
        "clip_seconds": _spread(b.clips["end_s"] - b.clips["start_s"]),
        "sources": b.clips.groupby("split")["source_video"].nunique().to_dict(),
        "sources_shared_between_splits": problems["sources shared between splits"],
        "labels": len(b.labels),
        "labels_of": _sizes(b.labels["dataset"]),
        "labels_paired": int(b.labels["label_id"].isin(b.pairs["source_label"]).sum()),
        "labels_in_split": b.clips.groupby("split")["label_id"].nunique().to_dict(),
        "labels_with_residue": sum(
            bool(Attributes.from_json(text).residue) for text in b.labels["attributes"]
        ),
        "pairs_directed": len(b.pairs),
        "pairs": _sizes("tier " + b.pairs["tier"].astype(str) + " " + b.pairs["kind"]),
        "text_words": _spread(n_words),
        "text_words_of_triplets": _spread(b.triplets["modification_id"].map(n_words)),
        "triplets": len(b.triplets),
        "triplets_unique": len(unique),
        "triplets_pairs": len(b.triplets[["source_label", "target_label"]].drop_duplicates()),
        "triplets_clips": int(unique[["query_clip", "target_clip"]].stack().nunique()),
        "queries": _sizes(b.queries["split"]),
        "gallery": _sizes(b.gallery["split"] + " " + b.gallery["gallery"]),
        "targets_per_query": {name: _spread(part) for name, part in per_query["n"].groupby(galleries)},
        "missing_valid_targets": problems["missing valid targets"],
        "problems": problems,
        "choices": {name: value for name, value in b.choices.items() if not isinstance(value, list)},
        "paper": PAPER,
    }


def compare_counts(counted: dict) -> pd.DataFrame:
    """The counts that the paper gives too, here and there; `counted` is what `count` returned."""
    paper, capped = counted["paper"], counted["targets_per_query"].get("test capped", {})
    rows = {
        "labels": (counted["labels"], paper["labels"]),
        "training triplets": (counted["triplets_unique"], paper["triplets"]),
        "test queries": (counted["queries"].get("test", 0), paper["queries"]["test"]),
        "valid targets a query": (capped.get("mean"), paper["targets_per_query"]["test capped"]["mean"]),
        "words a text": (counted["text_words_of_triplets"].get("mean"), paper["text_words"]["mean"]),
        "mean seconds a clip": (counted["clip_seconds"].get("mean"), paper["clip_seconds"]["mean"]),
    }
    return pd.DataFrame(rows, index=["here", "paper"]).T.rename_axis("count")


def text_lengths(texts: pd.DataFrame) -> pd.DataFrame:
    """Words of each text (columns text, tier), for tiers 1 and 2 and for all tiers: columns set, words."""
    words = texts.assign(words=texts["text"].map(count_words))
    sets = {"tiers 1 and 2": words[words["tier"] < 3], "all tiers": words}
    return pd.concat([part.assign(set=name)[["set", "words"]] for name, part in sets.items()])


def describe_targets(benchmark) -> pd.DataFrame:
    """How many targets each query has in each gallery: split, gallery, query_id, targets."""
    targets = benchmark.targets.merge(benchmark.queries[["query_id", "split"]], on="query_id")
    return targets.groupby(["split", "gallery", "query_id"]).size().rename("targets").reset_index()


def list_tables(benchmark) -> pd.DataFrame:
    """A benchmark's tables with their rows and columns."""
    tables = {f.name: getattr(benchmark, f.name) for f in fields(benchmark) if f.name != "choices"}
    rows = {name: {"rows": len(table), "columns": ", ".join(table.columns)} for name, table in tables.items()}
    return pd.DataFrame(rows).T


def _sizes(values: pd.Series) -> dict[str, int]:
    return {str(key): int(n) for key, n in values.value_counts(sort=False).sort_index().items()}


def _spread(values: pd.Series) -> dict[str, float]:
    values = values.dropna()
    if not len(values):
        return {}
    return {name: round(float(getattr(values, name)()), 4) for name in ("min", "mean", "max")}
