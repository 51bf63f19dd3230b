"""Learned embeddings of positions in time, resized to another number of frames."""

import torch
from torch.nn import functional as F


def interpolate_time(embedding: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Resize an embedding over time (1, T, W) to another number of frames, linearly between neighbours.

    >>> interpolate_time(torch.tensor([[[0.0], [1.0]]]), 4).flatten().tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    if num_frames == embedding.shape[1]:
        return embedding
    return F.interpolate(embedding.transpose(1, 2), num_frames, mode="linear").transpose(1, 2)
