"""A row of random vectors."""

import numpy as np
import torch

from tfcovr_utils.methods import Fitted, stored

DIM = 8


def random_embeddings(benchmark, seed=0, lost_queries=(), lost_clips=()) -> Fitted:
    """Random vectors for every query and clip; those lost could not be embedded."""
    rng = np.random.default_rng(seed)
    query_ids, clip_ids = benchmark.queries["query_id"], benchmark.clips["clip_id"]
    parts = []
    for ids, lost in ((query_ids, lost_queries), (clip_ids, lost_clips)):
        vectors = torch.tensor(rng.normal(size=(len(ids), DIM)))
        keep = ~ids.isin(lost).to_numpy()
        parts += [ids[keep].tolist(), vectors[torch.from_numpy(keep)]]
    return stored(*parts)
