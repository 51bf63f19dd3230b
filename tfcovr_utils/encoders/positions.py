"""Position embeddings resized to another number of frames."""

import torch
from torch.nn import functional as F


def interpolate_time(embedding: torch.Tensor, num_frames: int) -> torch.Tensor:
    """A learned embedding over time (1, T, W) for another number of frames, linearly between its neighbours."""
    if num_frames == embedding.shape[1]:
        return embedding
    return F.interpolate(embedding.transpose(1, 2), num_frames, mode="linear").transpose(1, 2)
