"""Rank a gallery, and score rankings: AP@K, recall, hit and first rank, as fractions (Q,) or (Q, len(ks)).

`*_at` functions take scores (Q, G), `*_ranked` functions take ids that are ranked already. Equal scores: the
lower gallery index comes first. Fewer candidates than K: the list ends early and no divisor changes. A query
without relevant items has no value: it is NaN, and `intervals` leaves it out and counts it.
"""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch

RANKS = (5, 10, 25, 50)  # the cut-offs of the paper and of CIRCO
PADDING = (-1, "", None)  # fills up lists of ids; never an id
BLOCK = 2**22  # numbers held in memory at a time by passes over rows; changes no result


def rank_gallery(scores, k, exclude_idx=None):
    """Return the gallery indices of the k best scores of each query, best first: (Q, k) int64.

    scores: (Q, G) array or tensor, higher is better, infinities allowed, NaN refused. exclude_idx: (Q,) index
    of the clip that may not answer, -1 for none. Places without a candidate hold -1.

    >>> rank_gallery([[0.1, 0.9, 0.5]], 2).tolist()
    [[1, 2]]
    """
    scores, exclude_idx = _check_scores(scores, exclude_idx)
    (k,) = check_ranks(k)
    num_queries, num_gallery = scores.shape
    depth = min(k + 1, num_gallery)  # one more than asked, in place of the excluded clip
    ranked = np.full((num_queries, k + 1), -1)
    for rows in _row_blocks(num_queries, num_gallery):
        ranked[rows, :depth] = _stable_topk(scores[rows], depth).cpu().numpy()
    # The excluded clip moves to the last column, which is cut off.
    order = np.argsort(ranked == exclude_idx[:, None], axis=1, kind="stable")
    return np.take_along_axis(ranked, order, axis=1)[:, :k]


def average_precision_at(scores, relevant, ks=RANKS, exclude_idx=None):
    """Compute AP@K (Q, len(ks)) as CIRCO does: sum of the precisions at hits / min(K, number relevant).

    scores, exclude_idx: see `rank_gallery`. relevant: (Q, G) bool, or lists of gallery indices, or (Q, R)
    padded with -1. A repeated index counts once, and an excluded query clip not at all.

    >>> average_precision_at([[0.9, 0.8, 0.7]], [[0, 2]], ks=[1, 2]).tolist()
    [[1.0, 0.5]]
    """
    scores, exclude_idx = _check_scores(scores, exclude_idx)
    row, idx = _relevant_pairs(relevant, exclude_idx, *scores.shape)
    ranked = rank_gallery(scores, max(check_ranks(ks)), exclude_idx)
    return _find_hits(ranked, row, idx).average_precision(ks)


def first_rank_at(scores, relevant, exclude_idx=None):
    """Return the 1-based rank of the best relevant item (Q,); inputs as of `average_precision_at`."""
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


def average_precision_ranked(ranked_ids, relevant_ids, ks=RANKS):
    """Compute AP@K by CIRCO's definition from ids ranked best first: (Q, len(ks)).

    Both: for each query a list of ids (all int or all str), or a 2-D array padded with -1 or "". A repeated
    id takes no place and earns nothing. Relevant ids that are never ranked stay in the divisor.
    """
    return _hits_of_ids(ranked_ids, relevant_ids).average_precision(ks)


def recall_ranked(ranked_ids, relevant_ids, ks=RANKS):
    """Compute the share of relevant ids in the top K, (Q, len(ks)); see `average_precision_ranked`."""
    return _hits_of_ids(ranked_ids, relevant_ids).recall(ks)


def hit_ranked(ranked_ids, relevant_ids, ks=RANKS):
    """Say whether any relevant id is in the top K, 0 or 1: R@K of CoVR, which has one target a query."""
    recall = recall_ranked(ranked_ids, relevant_ids, ks)
    return np.where(np.isnan(recall), np.nan, recall > 0)


def first_rank_ranked(ranked_ids, relevant_ids):
    """Return the 1-based rank of the first relevant id: (Q,), infinity where the list has none."""
    hits = _hits_of_ids(ranked_ids, relevant_ids)
    first = np.where(hits.hit, hits.position, np.inf).min(axis=1, initial=np.inf)
    return np.where(hits.num_relevant > 0, first, np.nan)


@dataclass(frozen=True)
class Hits:
    """Which entries of ranked lists are right."""

    hit: np.ndarray  # (Q, N) bool
    position: np.ndarray  # (Q, N) 1-based rank; an entry that takes no place repeats the rank before it
    num_relevant: np.ndarray  # (Q,)

    def average_precision(self, ks):
        """Return (Q, len(ks)); NaN for a query without relevant items."""
        precision = self.hit * np.cumsum(self.hit, axis=1) / np.maximum(self.position, 1)
        return self._sum_to_rank(precision, ks, np.minimum(self.num_relevant[:, None], check_ranks(ks)))

    def recall(self, ks):
        """Return (Q, len(ks)); NaN for a query without relevant items."""
        return self._sum_to_rank(self.hit, ks, self.num_relevant[:, None])

    def _sum_to_rank(self, gain, ks, divisor):
        sums = [(gain * (self.position <= k)).sum(axis=1) for k in check_ranks(ks)]
        return np.stack(sums, axis=1) / np.where(divisor > 0, divisor, np.nan)


def _hits_of_ids(ranked_ids, relevant_ids):
    if len(ranked_ids) != len(relevant_ids):
        raise ValueError(
            f"ranked ids are for {len(ranked_ids)} and relevant ids for {len(relevant_ids)} queries; pass "
            "one entry for each query."
        )
    ranked_row, ranked = _flatten(ranked_ids)
    row, relevant = _flatten(relevant_ids)
    ranked, relevant = _number_ids(ranked, relevant)
    lengths = np.bincount(ranked_row, minlength=len(ranked_ids))
    table = np.full((len(ranked_ids), lengths.max(initial=0)), -1)
    table[np.arange(table.shape[1]) < lengths[:, None]] = ranked
    return _find_hits(table, row[relevant >= 0], relevant[relevant >= 0])


def _number_ids(*lists):
    """Give equal ids of several lists equal numbers from 0; padding is -1."""
    numbers = dict.fromkeys(PADDING, -1)
    numbered = [
        np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64) for keys in lists
    ]
    if len({isinstance(key, str) for key in numbers if key not in PADDING}) > 1:
        raise ValueError(
            f"ids mix text and numbers, such as {list(numbers)[3:6]}; pass all ids as str or all as int."
        )
    return numbered


def _find_hits(ranked, row, number):
    """Find the hits of ranked numbers (Q, N), -1 for no item, given relevant (row, number) pairs."""
    stride = 2 + max(ranked.max(initial=-1), number.max(initial=-1))
    first_key = np.arange(len(ranked)) * stride + 1
    key = first_key[:, None] + ranked  # one key for each (query, number), padding included
    relevant_key = np.unique(first_key[row] + number)
    counted = np.zeros(key.size, dtype=bool)
    counted[np.unique(key, return_index=True)[1]] = True  # only the first of equal ids
    counted = counted.reshape(key.shape) & (ranked >= 0)
    num_relevant = np.bincount(relevant_key // stride, minlength=len(ranked))
    return Hits(counted & np.isin(key, relevant_key), np.cumsum(counted, axis=1), num_relevant)


def _stable_topk(scores, k):
    """Return the indices of the k best of each row, the lower index first among equals."""
    values, idx = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    cut = values.shape[1] > k
    tied = values[:, k - 1] == values[:, -1] if cut else torch.zeros(len(values), dtype=torch.bool)
    idx = idx[:, :k]
    if tied.any():
        # topk promises no order among equals; where the cut falls among them, take the lower indices.
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


def as_list(values):
    """Return arrays and tensors as nested lists, and anything else as it is."""
    return values.tolist() if hasattr(values, "tolist") else values


def _flatten(table):
    rows = [as_list(row) for row in as_list(table)]
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
        fits = len(relevant) == num_queries and idx.dtype.kind == "i"
        fits = fits and ((idx >= -1) & (idx < num_gallery)).all()
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
    exclude_idx = [-1] * num_queries if exclude_idx is None else as_list(exclude_idx)
    exclude_idx = np.asarray(exclude_idx, dtype=int)
    if exclude_idx.shape != (num_queries,) or not ((exclude_idx >= -1) & (exclude_idx < num_gallery)).all():
        raise ValueError(
            f"exclude_idx has shape {exclude_idx.shape}; pass one gallery index for each of {num_queries} "
            f"queries, 0 to {num_gallery - 1}, or -1 for none."
        )
    return scores, exclude_idx


def check_ranks(ks):
    """Return cut-offs as a tuple of whole numbers of at least 1."""
    ks = np.atleast_1d(ks)
    if ks.dtype.kind not in "iu" or ks.size == 0 or ks.min() < 1:
        raise ValueError(f"ks is {ks.tolist()}; pass whole numbers of at least 1, for example {RANKS}.")
    return tuple(ks.tolist())
