"""What the field of each benchmark reports, in per cent, and BSE-CoVR's recalls and query features."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ..benchmark import Benchmark, make_task
from ..machine.files import read_json, replacing, write_json
from ..methods import Fitted
from ..metrics.ranking import RANKS
from .scoring import evaluate

CUTOFFS = (1, 5, 10, 50)  # of recalls.json
# Source of a benchmark -> protocol -> cut-offs of its Recall@K.
MEASURES = {
    "webvid-covr": {"full": CUTOFFS},
    "dense-webvid-covr": {"full": CUTOFFS},
    "egocvr": {"global": (1, 5, 10), "local": (1, 2, 3)},
    "cirr": {"full": CUTOFFS, "subset": (1, 2, 3)},
    "fashioniq": {"full": (10, 50)},
    "circo": {"full": RANKS},
}
NAMES = {"local": "local R@", "subset": "Rsubset@"}


def recall(table: pd.DataFrame, k: int) -> float:
    """Return Recall@K of a table of queries, over those with targets and an embedding.

    >>> recall(pd.DataFrame({"first_rank": [1.0, 3.0, float("nan"), float("inf")]}), 5).__round__(1)
    66.7
    """
    first = table["first_rank"].dropna()
    return 100 * float((first <= k).mean()) if len(first) else np.nan


def covr_recalls(table: pd.DataFrame, annotation: str) -> dict:
    """Return recalls.json: R1, R5, R10, R50, the means of three and of four, the annotation file's name."""
    values = [recall(table, k) for k in CUTOFFS]
    named = {f"R{k}": value for k, value in zip(CUTOFFS, values)}
    named |= {"meanR3": np.mean(values[:3]), "meanR4": np.mean(values)}
    rounded = {name: round(float(value), 2) for name, value in named.items()}
    # JSON has no NaN.
    return {name: None if np.isnan(value) else value for name, value in rounded.items()} | {
        "annotation": annotation
    }


def save_recalls(
    fitted: Fitted, benchmark: Benchmark, protocol: str, folder: Path, split: str = "test"
) -> None:
    """Write recalls.json and query_feat.npy (Q, D), by query id; also of texts alone, if it can."""
    annotation = benchmark.choices.get("annotations", {}).get(split, "queries.parquet")
    queries = make_task(benchmark, protocol, split).queries
    for suffix, embed in (("", fitted.embed_queries), ("_txt_only", fitted.embed_text_only)):
        if embed is None:
            continue
        query_emb = embed(queries)
        given = Fitted(lambda _, given=query_emb: given, fitted.embed_gallery)
        table = evaluate(given, benchmark, protocol, split)
        write_json(covr_recalls(table, annotation), Path(folder) / f"recalls{suffix}.json")
        with replacing(Path(folder) / f"query_feat{suffix}.npy") as temporary:
            np.save(temporary, query_emb.numpy())


def field_scores(
    source: str, tables: dict[str, pd.DataFrame], queries: pd.DataFrame | None = None
) -> dict[str, float]:
    """Return what a benchmark's field reports of one method; `tables` are by protocol, of one split and seed.

    CIRR has (R@5 + Rsubset@1) / 2 too; FashionIQ R@K of each category and their mean; CIRCO mAP@K. The
    benchmark's `queries` add what their owners say of answers: CIRCO's R@K of the picture that the caption
    describes, and CIRR's Rsubset@K as the best score of the pictures found, as CoVR computes it.
    """
    scores, known = {}, pd.DataFrame() if queries is None else queries.set_index("query_id")
    soft = known.get("subset_soft", pd.Series(dtype=str)).map(json.loads)
    target = known.get("target_clip", pd.Series(dtype=str))
    for protocol, ks in MEASURES[source].items():
        if protocol not in tables:
            continue
        table = tables[protocol]
        if source == "circo":
            scores |= {f"mAP@{k}": 100 * table[f"ap@{k}"].mean() for k in ks}
            if (target != "").any():
                scores |= {f"R@{k}": 100 * _target_found(table, target, k) for k in ks}
        elif source == "fashioniq":
            parts = dict([*table.groupby(table["query_id"].str.split("-").str[1])])
            scores |= {f"{name} R@{k}": recall(part, k) for name, part in parts.items() for k in ks}
            scores |= {f"R@{k}": float(np.mean([scores[f"{name} R@{k}"] for name in parts])) for k in ks}
        elif protocol == "subset" and len(soft):
            scores |= {f"Rsubset@{k}": 100 * _best_found(table, soft, k) for k in ks}
        else:
            scores |= {f"{NAMES.get(protocol, 'R@')}{k}": recall(table, k) for k in ks}
    if {"R@5", "Rsubset@1"} <= scores.keys():
        scores["mean"] = (scores["R@5"] + scores["Rsubset@1"]) / 2
    return scores


def field_table(results: pd.DataFrame, source: str, queries: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return `field_scores` of `results.read_results`, means over seeds: a row for each method."""
    rows = {}
    for method, of_method in results.groupby("method", sort=False):
        seeds = [dict([*part.groupby("protocol")]) for _, part in of_method.groupby("seed")]
        rows[method] = pd.DataFrame([field_scores(source, tables, queries) for tables in seeds]).mean()
    return pd.DataFrame(rows).T.rename_axis("method")


def _best_found(table: pd.DataFrame, soft: pd.Series, k: int) -> float:
    """Average over queries the best of the owners' scores among the first k clips, at least 0."""
    answered = table[table["first_rank"].notna()]
    pairs = zip(answered["query_id"], answered["retrieved"])
    return np.mean([max(0.0, *(soft[query].get(clip, 0.0) for clip in clips[:k])) for query, clips in pairs])


def _target_found(table: pd.DataFrame, target: pd.Series, k: int) -> float:
    answered = table[table["first_rank"].notna()]
    pairs = zip(answered["query_id"], answered["retrieved"])
    return np.mean([target[query_id] in list(retrieved)[:k] for query_id, retrieved in pairs])


def recall_table(results: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """mAP@50 and R@K in per cent, means over seeds: a row for each of the texts (by name) and each method."""
    columns = {"ap@50": "mAP@50"} | {f"hit@{k}": f"R@{k}" for k in CUTOFFS}
    rows = {
        (texts, method): 100 * part[list(columns)].mean()
        for texts, table in results.items()
        for method, part in table.groupby("method", sort=False)
    }
    return pd.DataFrame(rows).T.rename(columns=columns).rename_axis(["texts", "method"])


def read_recalls(folder: Path) -> pd.DataFrame:
    """BSE-CoVR's recalls files below a folder, a row each."""
    found = sorted(Path(folder).glob("*/recalls*.json"))
    return pd.DataFrame({(path.parent.name, path.name): read_json(path) for path in found}).T
