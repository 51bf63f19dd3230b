"""Frames of many clips, decoded in parallel into one array and cached for the next encoder."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from ..machine.memory import free_memory
from .decoding import read_clip
from .hashes import version_if_any
from .request import VideoError

CACHED_SHARE = 0.15  # of the memory that is free at first


class FrameCache:
    """Decoded clips of this process, as many as fit. The first stay, since readers go through all in turn."""

    def __init__(self):
        self.clips: dict[tuple, np.ndarray] = {}
        self.room: int | None = None
        self.lock = Lock()

    def read(self, path: Path, policy: str, frames: int) -> np.ndarray:
        """As `read_clip`, but from the cache if the file is unchanged; do not write into the shared array."""
        path = Path(path)
        key = (path.absolute(), str(version_if_any(path)), policy, frames)
        if key in self.clips:
            return self.clips[key]
        clip = read_clip(path, policy, frames)
        with self.lock:
            if self.room is None:
                self.room = int(CACHED_SHARE * free_memory())
            if clip.nbytes <= self.room and key not in self.clips:
                self.clips[key], self.room = clip, self.room - clip.nbytes
        return clip


read_cached = FrameCache().read


def read_clips(paths: list[Path], frames: int, policy: str = "centre") -> np.ndarray:
    """Decode clips of one size into uint8 (N, T, H, W, 3); an unreadable clip raises its VideoError."""
    clips, broken = decode_clips(paths, frames, policy=policy)
    if broken:
        raise next(iter(broken.values()))
    return clips


def square(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """Resize frames (N, 3, H, W), 0 to 255, to a square without cropping, as official loaders do.

    >>> square(torch.zeros(1, 3, 48, 64), 32).shape
    torch.Size([1, 3, 32, 32])
    """
    if pixels.shape[-2:] == (size, size):
        return pixels
    return F.interpolate(pixels.float(), (size, size), mode="bicubic", antialias=True).clamp(0, 255).round()


def decode_clips(
    paths: list[Path],
    frames: int,
    *,
    size: int | None = None,
    policy: str = "centre",
    into: np.ndarray | None = None,
    rows: Sequence[int] | None = None,
    progress: bool = False,
) -> tuple[np.ndarray, dict[int, VideoError]]:
    """Decode clips into uint8 (N, T, S, S, 3); return errors of unreadable ones by row, which stay zeros.

    `size` squares them; by default they keep the first one's size. `into`: the array to fill, such as one on
    disk; `rows`: those to decode, by default all.
    """
    clips, rows = into, range(len(paths)) if rows is None else rows
    if clips is None:
        height, width = (size, size) if size else _first_size(paths)
        clips = np.zeros((len(paths), 1 if policy == "middle" else frames, height, width, 3), np.uint8)
    broken: dict[int, VideoError] = {}

    def read(row: int) -> None:
        try:
            clip = torch.from_numpy(read_cached(paths[row], policy, frames))
            clips[row] = square(clip.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1) if size else clip
        except VideoError as error:
            broken[row] = error

    with ThreadPoolExecutor(2) as pool:
        read_rows = pool.map(read, rows)
        list(tqdm(read_rows, "decode", len(rows), unit="clip", disable=not progress, mininterval=2))
    return clips, broken


def _first_size(paths: list[Path]) -> tuple[int, int]:
    """Height and width of the first clip that can be read."""
    error = ValueError("there are no clips to decode; pass at least one path.")
    for path in paths:
        try:
            return read_clip(path, "middle").shape[1:3]
        except VideoError as broken:  # noqa: PERF203  reached once, as a rule
            error = broken
    raise error
