"""A query against a gallery -> a ranking, and how right it is: plain functions of tensors and tables."""

from collections.abc import Collection

import numpy as np
import pandas as pd
import torch

from ..benchmark.queries import answers
from ..methods import Fitted
from ..metrics.ranking import RANKS, average_precision_ranked, rank_gallery

RANKING_COLUMNS = ["rank", "clip_id", "score", "label", "source_video", "right"]


def ask_clips(
    fitted: Fitted, clips: pd.DataFrame, queries: pd.DataFrame, clip_id: str, text: str, k: int
) -> pd.DataFrame:
    """Rank the test clips for a clip and a text; `queries` (see `view_queries`) says what is right."""
    if clip_id not in clips.index:
        raise ValueError(f"clip {clip_id!r} is not in this benchmark; choose one of study.clips.clip_id.")
    gallery = clips[clips["split"] == "test"]
    query = pd.DataFrame({"query_id": ["asked"], "query_clip": [clip_id], "text": [text]})
    query_emb = fitted.embed_queries(query)[0].float()
    gallery_emb = fitted.embed_gallery(gallery["clip_id"].tolist()).float()
    known = queries[(queries["query_clip"] == clip_id) & (queries["text"] == text)]
    right = known["answers"].iloc[0] if len(known) else None
    own = (gallery["clip_id"] == clip_id).to_numpy()
    return search(query_emb, gallery_emb, gallery.assign(label=gallery["text"]), k, own, right)


def search(
    query_emb: torch.Tensor,
    gallery_emb: torch.Tensor,
    clips: pd.DataFrame,
    k: int,
    hidden: np.ndarray,
    right: Collection[str] | None = None,
) -> pd.DataFrame:
    """Rank a gallery (G, D), described by `clips`, by its product with a query (D,).

    hidden: (G,) bool, clips that may not answer. Equal scores keep the gallery's order.
    """
    if not query_emb.isfinite().all():
        raise ValueError("the query clip could not be embedded; choose another clip.")
    scores = gallery_emb @ query_emb
    out = torch.tensor(hidden) | ~scores.isfinite()
    found = rank_gallery(scores.masked_fill(out, -torch.inf)[None], max(1, min(k, len(clips))))[0]
    found = found[: max(0, min(k, int((~out).sum())))]
    rows = clips.iloc[found]
    marks = [None if right is None else clip_id in right for clip_id in rows["clip_id"]]
    ranking = {
        "rank": np.arange(1, len(found) + 1),
        "score": scores[torch.from_numpy(found)].double().numpy(),
        "right": pd.Series(marks, dtype=object),
    }
    ranking |= {name: rows[name].to_numpy() for name in ("clip_id", "label", "source_video")}
    return pd.DataFrame(ranking)[RANKING_COLUMNS]


def precision_of(ranking: pd.DataFrame, right: Collection[str]) -> dict[int, float]:
    """AP@K of a ranking for the Ks it is long enough for, as fractions; NaN where no clip is right."""
    ks = [k for k in RANKS if k <= len(ranking)]
    if not ks:
        return {}
    precision = average_precision_ranked([ranking["clip_id"].tolist()], [list(right)], ks)
    return dict(zip(ks, precision[0].tolist()))


def known_answers(labels: pd.DataFrame, modifications: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    """Labels that answer, by the query clip's label and the modification in lower case."""
    right = answers(labels, modifications)
    asked = zip(modifications["modification_id"], modifications["source_label"], modifications["text"])
    return {(source, text.strip().lower()): right[modification_id] for modification_id, source, text in asked}


def filter_clips(clips: pd.DataFrame, words: str = "", **wanted: str) -> pd.DataFrame:
    """Keep clips whose columns are as wanted, "" for any, and whose label, name or source hold every word."""
    kept = pd.Series(True, clips.index)
    for column, value in wanted.items():
        if value:
            kept &= clips[column] == value
    if words.strip():
        text = (clips["label"] + " " + clips["clip_id"] + " " + clips["source_video"]).str.lower()
        for word in words.lower().split():
            kept &= text.str.contains(word, regex=False)
    return clips[kept]
