"""What each field reports, from rows of `evaluation.evaluate`: Recall@K, BSE-CoVR's recalls.json and query features.

Recall@K is the share of queries with a right clip in the first K places, as all these benchmarks have it. All in per cent.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..machine.files import replacing, write_json
from ..metrics.ranking import RANKS

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


def recall(table: pd.DataFrame, k: int) -> float:
    """Recall@K of a table of queries; those without targets, or not embedded, are left out; NaN where all are."""
    first = table["first_rank"].dropna()
    return 100 * float((first <= k).mean()) if len(first) else np.nan


def covr_recalls(table: pd.DataFrame, annotation: str) -> dict:
    """The content of recalls.json, rounded as there: R1, R5, R10, R50, the means of three and of four, the annotation's file name."""
    values = [recall(table, k) for k in CUTOFFS]
    named = {f"R{k}": value for k, value in zip(CUTOFFS, values)} | {
        "meanR3": np.mean(values[:3]),
        "meanR4": np.mean(values),
    }
    # JSON has no NaN.
    return {name: round(float(value), 2) if np.isfinite(value) else None for name, value in named.items()} | {
        "annotation": annotation
    }


def write_recalls(
    folder: Path, table: pd.DataFrame, query_emb: torch.Tensor, annotation: str, text_only: bool = False
) -> None:
    """Write recalls.json and query_feat.npy, or recalls_txt_only.json and query_feat_txt_only.npy.

    query_emb: (Q, D) in the order of `table`, which is that of query ids and therefore of the annotation file.
    """
    suffix = "_txt_only" if text_only else ""
    write_json(covr_recalls(table, annotation), Path(folder) / f"recalls{suffix}.json")
    with replacing(Path(folder) / f"query_feat{suffix}.npy") as temporary:
        np.save(temporary, query_emb.numpy())


def field_scores(
    source: str, tables: dict[str, pd.DataFrame], target: pd.Series | None = None
) -> dict[str, float]:
    """What a benchmark's field reports of one method, by name; `tables` are of one split and seed, by protocol.

    WebVid-CoVR and EgoCVR: R@K, the latter's local ones apart. CIRR: R@K, Rsubset@K and (R@5 + Rsubset@1) / 2. FashionIQ: R@K of each
    category, and the mean of the three. CIRCO: mAP@K, and R@K of the one picture that the caption was written of, where `target`
    names it by query id.
    """
    scores = {}
    for protocol, ks in MEASURES[source].items():
        if protocol not in tables:
            continue
        table = tables[protocol]
        name = {"local": "local R@", "subset": "Rsubset@"}.get(protocol, "R@")
        if source == "circo":
            scores |= {f"mAP@{k}": 100 * table[f"ap@{k}"].mean() for k in ks}
            if target is not None and (target != "").any():
                scores |= {f"R@{k}": 100 * _target_found(table, target, k) for k in ks}
        elif source == "fashioniq":
            parts = table.groupby(table["query_id"].str.split("-").str[1])
            of_category = {(category, k): recall(part, k) for category, part in parts for k in ks}
            scores |= {f"{category} R@{k}": value for (category, k), value in of_category.items()}
            scores |= {
                f"R@{k}": float(np.mean([value for (_, one), value in of_category.items() if one == k]))
                for k in ks
            }
        else:
            scores |= {f"{name}{k}": recall(table, k) for k in ks}
    if {"R@5", "Rsubset@1"} <= scores.keys():
        scores["mean"] = (scores["R@5"] + scores["Rsubset@1"]) / 2
    return scores


def field_table(results: pd.DataFrame, source: str, target: pd.Series | None = None) -> pd.DataFrame:
    """`field_scores` of `results.read_results`, means over seeds: a row a method."""
    rows = {
        method: pd.DataFrame(
            [
                field_scores(source, dict([*of_seed.groupby("protocol")]), target)
                for _, of_seed in of_method.groupby("seed")
            ]
        ).mean()
        for method, of_method in results.groupby("method", sort=False)
    }
    return pd.DataFrame(rows).T.rename_axis("method")


def _target_found(table: pd.DataFrame, target: pd.Series, k: int) -> float:
    answered = table[table["first_rank"].notna()]
    return np.mean(
        [
            target[query_id] in list(retrieved)[:k]
            for query_id, retrieved in zip(answered["query_id"], answered["retrieved"])
        ]
    )
