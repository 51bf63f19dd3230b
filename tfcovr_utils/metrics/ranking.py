"""Retrieval metrics, one value a query. Intervals over queries are in `intervals.py`.

`*_at` functions take scores (Q, G) and rank by top-k; `*_ranked` ones take ids already ranked;
`*_official` ones repeat the released TF-CoVR evaluation, faults included. All return fractions, one
row a query, as float64 numpy arrays: nothing is averaged, turned into per cent or rounded here.

Conventions. Equal scores: the lower gallery index comes first. Fewer candidates than K: the list
ends early, no divisor changes. A query without relevant items has no value: it is NaN, and
`intervals` leave it out and count it.
"""

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch

RANKS = (5, 10, 25, 50)  # the paper's and CIRCO's cut-offs
PADDING = (-1, "", None)  # fills up lists of ids; never an id
BLOCK = 2**22  # numbers held at a time by a row-wise pass; bounds memory, changes no result


def rank_gallery(scores, k, exclude_idx=None):
    """Return the gallery indices of the k best scores of each query, best first: (Q, k) int64.

    scores: (Q, G) array or tensor, higher is better, infinities allowed, NaN refused. exclude_idx: (Q,)
    index of the clip that may not answer, -1 for none. Places without a candidate hold -1.
    """
    scores, exclude_idx = _check_scores(scores, exclude_idx)
    (k,) = _check_ranks(k)
    num_queries, num_gallery = scores.shape
    depth = min(k + 1, num_gallery)  # one more than asked, so that the excluded clip can be dropped
    ranked = np.full((num_queries, k + 1), -1)
    for rows in _row_blocks(num_queries, num_gallery):
        ranked[rows, :depth] = _stable_topk(scores[rows], depth).cpu().numpy()
    # The excluded clip moves to the last column, which is cut off.
    order = np.argsort(ranked == exclude_idx[:, None], axis=1, kind="stable")
    return np.take_along_axis(ranked, order, axis=1)[:, :k]


def average_precision_at(scores, relevant, ks=RANKS, exclude_idx=None, num_relevant=None):
    """Compute AP@K as CIRCO does: sum of the precisions at the hits / min(K, number relevant).

    scores, exclude_idx: see `rank_gallery`. relevant: (Q, G) bool, or for each query its gallery indices
    (a list of lists, or (Q, R) padded with -1; a repeated index counts once). A query clip that is
    excluded is not relevant either. num_relevant: (Q,) when some relevant clips are not in the gallery
    and should count in the divisor as CIRCO's do. Returns (Q, len(ks)).
    """
    return _average_precision(_hits_from_scores(scores, relevant, ks, exclude_idx, num_relevant), ks)


def recall_at(scores, relevant, ks=RANKS, exclude_idx=None, num_relevant=None):
    """Compute the share of a query's relevant items found in the top K; as `average_precision_at`."""
    return _recall(_hits_from_scores(scores, relevant, ks, exclude_idx, num_relevant), ks)


def hit_at(scores, relevant, ks=RANKS, exclude_idx=None):
    """Tell whether any relevant item is in the top K (0 or 1): R@K of CoVR, which has a single target."""
    return _hit(_hits_from_scores(scores, relevant, ks, exclude_idx), ks)


def first_rank_at(scores, relevant, exclude_idx=None):
    """Return the 1-based rank of each query's best-ranked relevant item in the whole gallery: (Q,).

    Its mean over queries is the mean rank (MeanR). Ties as in `rank_gallery`; counts, never sorts.
    """
    scores, exclude_idx = _check_scores(scores, exclude_idx)
    num_queries, num_gallery = scores.shape
    row, idx = _relevant_pairs(relevant, exclude_idx, num_queries, num_gallery)
    score = scores[torch.from_numpy(row), torch.from_numpy(idx)].cpu().double().numpy()
    best_first = np.lexsort((idx, -score, row))
    answered, start = np.unique(row[best_first], return_index=True)
    best_idx = idx[best_first[start]]

    ranks = np.full(num_queries, np.nan)
    position = torch.arange(num_gallery, device=scores.device)
    for rows in _row_blocks(len(answered), num_gallery):
        row_scores = scores[torch.from_numpy(answered[rows])]
        best = torch.from_numpy(best_idx[rows, None]).to(scores.device)
        excluded = torch.from_numpy(exclude_idx[answered[rows], None]).to(scores.device)
        best_score = row_scores.gather(1, best)
        ahead = (row_scores > best_score) | ((row_scores == best_score) & (position < best))
        ranks[answered[rows]] = 1 + (ahead & (position != excluded)).sum(1).cpu().numpy()
    return ranks


def average_precision_ranked(ranked_ids, relevant_ids, ks=RANKS, exclude_ids=None):
    """Compute AP@K from ids ranked best first, by CIRCO's definition.

    ranked_ids, relevant_ids: for each query a list of ids (all int or all str), or a 2-D array padded
    with -1 or "". An id met again takes no place and earns nothing, nor does the query's own clip
    (exclude_ids: (Q,), -1 or "" for none). Relevant ids that are never ranked stay in the divisor.
    """
    return _average_precision(_hits_from_ids(ranked_ids, relevant_ids, exclude_ids), ks)


def recall_ranked(ranked_ids, relevant_ids, ks=RANKS, exclude_ids=None):
    """Compute the share of relevant ids found in the top K; inputs as `average_precision_ranked`."""
    return _recall(_hits_from_ids(ranked_ids, relevant_ids, exclude_ids), ks)


def hit_ranked(ranked_ids, relevant_ids, ks=RANKS, exclude_ids=None):
    """Tell whether any relevant id is in the top K (0 or 1); inputs as `average_precision_ranked`."""
    return _hit(_hits_from_ids(ranked_ids, relevant_ids, exclude_ids), ks)


def first_rank_ranked(ranked_ids, relevant_ids, exclude_ids=None):
    """Return the 1-based rank of the first relevant id: (Q,), infinity where the list has none."""
    hits = _hits_from_ids(ranked_ids, relevant_ids, exclude_ids)
    first = np.where(hits.hit, hits.position, np.inf).min(axis=1, initial=np.inf)
    return np.where(hits.num_relevant > 0, first, np.nan)


def rank_official(scores, gallery_ids, query_clip_ids, k=50):
    """Rank as the released TF-CoVR loop does: ids of the k best gallery rows, repeated ids kept.

    Rows with the query's own id lose 100 instead of being left out, so they return when the gallery is
    short. Ties: the later row first, as in a reversed sort (the released sort leaves them open).
    """
    scores = torch.as_tensor(scores)
    gallery_ids, query_clip_ids = np.asarray(gallery_ids), np.asarray(query_clip_ids)
    own = torch.from_numpy(query_clip_ids[:, None] == gallery_ids[None, :]).to(scores.device)
    flipped = (scores - 100 * own.to(scores.dtype)).flip(1)
    ranked = rank_gallery(flipped, min(k, len(gallery_ids)))
    return gallery_ids[len(gallery_ids) - 1 - ranked]


def average_precision_official(ranked_ids, relevant_ids, ks=RANKS):
    """Compute AP@K as the released TF-CoVR code does, unrounded: every repetition of a right id is a hit.

    It exceeds 1 when right clips repeat. Inputs as `average_precision_ranked`; repeated relevant ids count
    as often as they are listed.
    """
    return _average_precision(_hits_from_ids(ranked_ids, relevant_ids, official=True), ks)


def recall_official(ranked_ids, target_ids, ks=RANKS):
    """Count how often the one target id stands in the top K, as the released code does: can exceed 1."""
    return _recall(
        _hits_from_ids(ranked_ids, [[target] for target in _as_list(target_ids)], official=True), ks
    )


@dataclass(frozen=True)
class _Hits:
    hit: np.ndarray  # (Q, N) bool
    position: np.ndarray  # (Q, N) 1-based rank; an entry that takes no place repeats the rank before it
    num_relevant: np.ndarray  # (Q,)


def _average_precision(hits, ks):
    precision = hits.hit * np.cumsum(hits.hit, axis=1) / np.maximum(hits.position, 1)
    return _sum_to_rank(precision, hits, ks) / _or_nan(
        np.minimum(hits.num_relevant[:, None], _check_ranks(ks))
    )


def _recall(hits, ks):
    return _sum_to_rank(hits.hit, hits, ks) / _or_nan(hits.num_relevant[:, None])


def _hit(hits, ks):
    recall = _recall(hits, ks)
    return np.where(np.isnan(recall), np.nan, recall > 0)


def _sum_to_rank(gain, hits, ks):
    return np.stack([(gain * (hits.position <= k)).sum(axis=1) for k in _check_ranks(ks)], axis=1)


def _or_nan(divisor):
    return np.where(divisor > 0, divisor, np.nan)


def _hits_from_scores(scores, relevant, ks, exclude_idx, num_relevant=None):
    scores, exclude_idx = _check_scores(scores, exclude_idx)
    row, idx = _relevant_pairs(relevant, exclude_idx, *scores.shape)
    hits = _mark_hits(rank_gallery(scores, max(_check_ranks(ks)), exclude_idx), row, idx)
    return hits if num_relevant is None else replace(hits, num_relevant=np.asarray(_as_list(num_relevant)))


def _hits_from_ids(ranked_ids, relevant_ids, exclude_ids=None, official=False):
    exclude_ids = [None] * len(ranked_ids) if exclude_ids is None else _as_list(exclude_ids)
    sizes = [len(table) for table in (ranked_ids, relevant_ids, exclude_ids)]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"ranked, relevant and excluded ids are for {sizes} queries; pass one entry for each query."
        )
    ranked_row, ranked = _flatten(ranked_ids)
    row, relevant = _flatten(relevant_ids)
    ranked, relevant, exclude = _code_ids(ranked, relevant, exclude_ids)
    lengths = np.bincount(ranked_row, minlength=len(ranked_ids))
    table = np.full((len(ranked_ids), lengths.max(initial=0)), -1)
    table[np.arange(table.shape[1]) < lengths[:, None]] = ranked
    table[table == exclude[:, None]] = -1
    kept = (relevant >= 0) & (relevant != exclude[row])
    return _mark_hits(table, row[kept], relevant[kept], official)


def _code_ids(*lists):
    """Number the ids of several lists alike, 0 and up; padding is -1."""
    codes = dict.fromkeys(PADDING, -1)
    coded = [np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64) for keys in lists]
    if len({isinstance(key, str) for key in codes if key not in PADDING}) > 1:
        raise ValueError(
            f"ids mix text and numbers, such as {list(codes)[3:6]}; pass all ids as str or all as int."
        )
    return coded


def _mark_hits(ranked, row, code, official=False):
    """Find the hits of ranked codes (Q, N), -1 where no place is taken, given relevant (row, code) pairs."""
    stride = 2 + max(ranked.max(initial=-1), code.max(initial=-1))
    first_key = np.arange(len(ranked)) * stride + 1
    key = first_key[:, None] + ranked  # one number for each (query, code), padding included
    relevant_key = first_key[row] + code
    counted = np.ones(key.shape, dtype=bool)
    if not official:
        relevant_key = np.unique(relevant_key)
        counted = np.zeros(key.size, dtype=bool)
        counted[np.unique(key, return_index=True)[1]] = True
        counted = counted.reshape(key.shape) & (ranked >= 0)
    num_relevant = np.bincount(relevant_key // stride, minlength=len(ranked))
    return _Hits(counted & np.isin(key, relevant_key), np.cumsum(counted, axis=1), num_relevant)


def _stable_topk(scores, k):
    """Return the indices of the k best of each row, the lower index first among equals."""
    values, idx = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    tied = (
        values[:, k - 1] == values[:, -1]
        if values.shape[1] > k
        else torch.zeros(len(values), dtype=torch.bool)
    )
    idx = idx[:, :k]
    if tied.any():
        # topk promises no order among equals, so where the cut falls among them we choose the lower indices.
        row, last = scores[tied], values[tied, k - 1 : k]
        above, level = row > last, row == last
        keep = above | (level & (level.cumsum(1, dtype=torch.int32) <= k - above.sum(1, keepdim=True)))
        idx[tied] = keep.nonzero()[:, 1].reshape(-1, k)
    idx = idx.sort(dim=1).values
    values = scores.gather(1, idx) + 0.0  # -0.0 becomes 0.0, which some sorts would put before it
    return idx.gather(1, values.argsort(dim=1, descending=True, stable=True))


def _row_blocks(num_rows, num_columns):
    step = max(1, BLOCK // max(1, num_columns))
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]


def _as_list(values):
    return values.tolist() if hasattr(values, "tolist") else values


def _flatten(table):
    rows = [_as_list(row) for row in _as_list(table)]
    if any(isinstance(row, str) or not hasattr(row, "__len__") for row in rows):
        raise ValueError(
            f"the ids begin {rows[:2]}; pass a list for each query, even of one entry: [[3], [7]]."
        )
    return np.repeat(np.arange(len(rows)), [len(row) for row in rows]), list(chain.from_iterable(rows))


def _relevant_pairs(relevant, exclude_idx, num_queries, num_gallery):
    if getattr(relevant, "dtype", None) in (bool, torch.bool):
        fits = tuple(relevant.shape) == (num_queries, num_gallery)
        row, idx = np.nonzero(np.asarray(relevant.cpu() if isinstance(relevant, torch.Tensor) else relevant))
    else:
        row, idx = _flatten(relevant)
        idx = np.array(idx, dtype=np.int64 if not idx else None)
        fits = (
            len(relevant) == num_queries
            and idx.dtype.kind == "i"
            and ((idx >= -1) & (idx < num_gallery)).all()
        )
    if not fits:
        raise ValueError(
            f"relevant does not fit {num_queries} queries and {num_gallery} gallery clips; pass a bool array "
            f"{(num_queries, num_gallery)}, or for each query a list of gallery indices."
        )
    kept = (idx != -1) & (idx != exclude_idx[row])
    return row[kept], idx[kept]


def _check_scores(scores, exclude_idx):
    scores = torch.as_tensor(scores).detach()
    scores = scores if scores.is_floating_point() else scores.double()
    if scores.ndim != 2:
        raise ValueError(f"scores has shape {tuple(scores.shape)}; pass queries by gallery clips, (Q, G).")
    if scores.numel() and scores.amax().isnan():
        query, clip = scores.isnan().nonzero()[0].tolist()
        raise ValueError(
            f"scores holds {int(scores.isnan().sum())} NaN, the first at query {query}, gallery clip {clip}; "
            "recompute the embeddings of that query and clip."
        )
    num_queries, num_gallery = scores.shape
    exclude_idx = (
        np.full(num_queries, -1) if exclude_idx is None else np.asarray(_as_list(exclude_idx), dtype=int)
    )
    if exclude_idx.shape != (num_queries,) or not ((exclude_idx >= -1) & (exclude_idx < num_gallery)).all():
        raise ValueError(
            f"exclude_idx has shape {exclude_idx.shape}; pass one gallery index for each of {num_queries} queries, "
            f"0 to {num_gallery - 1}, or -1 for none."
        )
    return scores, exclude_idx


def _check_ranks(ks):
    ks = np.atleast_1d(ks)
    if ks.dtype.kind not in "iu" or ks.size == 0 or ks.min() < 1:
        raise ValueError(f"ks is {ks.tolist()}; pass whole numbers of at least 1, for example {RANKS}.")
    return tuple(ks.tolist())
