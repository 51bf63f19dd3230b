"""Frames of many clips at once, decoded in parallel into one array."""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .video import read_clip


def read_clips(paths: list[Path], frames: int, policy: str = "centre", workers: int = 2, progress: bool = False) -> np.ndarray:
    """Decode clips of one size into uint8 (N, T, H, W, 3); the policy `middle` gives T = 1.

    A clip that cannot be read raises its VideoError: these are clips that a manifest vouches for.
    """
    first = read_clip(paths[0], policy, frames)
    clips = np.empty((len(paths), *first.shape), np.uint8)

    def read(row: int) -> None:
        clips[row] = read_clip(paths[row], policy, frames)

    with ThreadPoolExecutor(workers) as pool:
        list(tqdm(pool.map(read, range(len(paths))), total=len(paths), unit="clip", desc="decode", disable=not progress, mininterval=2))
    return clips
