"""The evaluation of the authors' code, bug for bug, unrounded: a repeated clip is a hit each time."""

import numpy as np
import torch

from .ranking import PADDING, RANKS, Hits, as_list, rank_gallery


def rank_official(scores, gallery_ids, query_clip_ids, k=50):
    """Rank as the official loop does: ids of the k best gallery rows (Q, k), repeated ids kept.

    Rows with the query's own id lose 100 instead of being left out, so they return when the gallery is short.
    Ties: the later row comes first, as in a reversed sort (the official sort leaves them open).
    """
    scores = torch.as_tensor(scores)
    gallery_ids, query_clip_ids = np.asarray(gallery_ids), np.asarray(query_clip_ids)
    own = torch.from_numpy(query_clip_ids[:, None] == gallery_ids[None, :]).to(scores.device)
    flipped = (scores - 100 * own.to(scores.dtype)).flip(1)
    ranked = rank_gallery(flipped, min(k, len(gallery_ids)))
    return gallery_ids[len(gallery_ids) - 1 - ranked]


def average_precision_official(ranked_ids, relevant_ids, ks=RANKS):
    """Compute AP@K from ranked ids (Q, N) and lists of relevant ids; above 1 when right clips repeat.

    >>> average_precision_official([["a", "a"]], [["a"]], ks=[2]).tolist()
    [[2.0]]
    """
    return _hits(ranked_ids, relevant_ids).average_precision(ks)


def recall_official(ranked_ids, target_ids, ks=RANKS):
    """Count how often each query's one target id is in the top K, which can exceed 1; target_ids: (Q,)."""
    return _hits(ranked_ids, [[target] for target in as_list(target_ids)]).recall(ks)


def _hits(ranked_ids, relevant_ids):
    relevant = [[key for key in as_list(row) if key not in PADDING] for row in as_list(relevant_ids)]
    pairs = zip(as_list(ranked_ids), relevant, strict=True)
    hit = np.array([[key in right for key in as_list(row)] for row, right in pairs], dtype=bool)
    hit = hit.reshape(len(relevant), -1 if relevant else 0)
    position = np.broadcast_to(np.arange(1, hit.shape[1] + 1), hit.shape)
    return Hits(hit, position, np.array([len(right) for right in relevant], dtype=int))
