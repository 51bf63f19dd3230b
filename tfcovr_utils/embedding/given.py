"""Embeddings of clips that somebody else made, such as the authors' release, read as if we had made them."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..sources.release.embedding_files import stream_embeddings
from ..video.hashes import version_if_any
from .embed import Embedded


def read_given(path: Path, clips: pd.DataFrame) -> Embedded:
    """Read the frames of clips (N, T, D) from a file of embeddings; clips that it lacks are named.

    A clip that is given pooled has one frame; where clips have unequal numbers of frames, all are pooled.
    """
    arrays = _read_arrays(Path(path), tuple(version_if_any(path) or ()))
    clip_ids = [clip_id for clip_id in clips["clip_id"] if clip_id in arrays]
    if not clip_ids:
        raise ValueError(
            f"{path} holds none of {len(clips)} clips, such as {clips['clip_id'].iloc[0]!r}; give the "
            "embeddings of this benchmark's clips."
        )
    missing = {clip_id: f"not in {Path(path).name}" for clip_id in clips["clip_id"] if clip_id not in arrays}
    return Embedded(clip_ids, torch.from_numpy(np.stack([arrays[clip_id] for clip_id in clip_ids])), missing)


@lru_cache(maxsize=2)
def _read_arrays(path: Path, version: tuple) -> dict[str, np.ndarray]:
    """Read arrays (T, D) by clip, all of one T; `version` changes when the file does."""
    arrays = {clip_id: array.reshape(-1, array.shape[-1]) for clip_id, array in stream_embeddings(path)}
    if len({len(array) for array in arrays.values()}) > 1:
        return {clip_id: array.mean(0, keepdims=True) for clip_id, array in arrays.items()}
    return arrays
