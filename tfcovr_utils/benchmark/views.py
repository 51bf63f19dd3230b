"""A benchmark's tables joined for people to read: labels with their attributes, clips, test queries."""

from dataclasses import asdict, fields

import pandas as pd

from ..labels import Attributes
from .benchmark import Benchmark


def view_labels(benchmark: Benchmark) -> pd.DataFrame:
    """The labels by label_id, with a column for each attribute."""
    read = [asdict(Attributes.from_json(text)) for text in benchmark.labels["attributes"]]
    attributes = pd.DataFrame(read, columns=[field.name for field in fields(Attributes)])
    table = benchmark.labels.drop(columns="attributes").reset_index(drop=True)
    attributes = attributes.drop(columns=[*table.columns], errors="ignore")
    return table.join(attributes).set_index("label_id", drop=False).rename_axis(None)


def view_clips(benchmark: Benchmark) -> pd.DataFrame:
    """The clips by clip_id, with their label's `text` and their `seconds`."""
    clips, text = benchmark.clips, benchmark.labels.set_index("label_id")["text"]
    view = clips.assign(text=clips["label_id"].map(text), seconds=clips["end_s"] - clips["start_s"])
    return view.set_index("clip_id", drop=False).rename_axis(None)


def view_queries(benchmark: Benchmark, gallery: str = "full", split: str = "test") -> pd.DataFrame:
    """A split's queries by query_id: text, label pair, kind, tier, changed, answers (clips of a gallery)."""
    b, pair = benchmark, ["source_label", "target_label"]
    texts = b.modifications[["modification_id", "text", *pair]]
    queries = b.queries[b.queries["split"] == split].merge(texts, on="modification_id", how="left")
    queries = queries.merge(b.pairs[[*pair, "kind", "tier", "changed"]], on=pair, how="left")
    answers = b.targets[b.targets["gallery"] == gallery].groupby("query_id")["clip_id"].agg(sorted)
    queries["answers"] = [answers.get(query_id, []) for query_id in queries["query_id"]]
    return queries.sort_values("query_id").set_index("query_id", drop=False).rename_axis(None)
