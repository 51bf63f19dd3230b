"""Frames of many clips at once, decoded in parallel into one array; and kept, for the next encoder that reads the same."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from ..machine.memory import free_memory
from . import VideoError, read_clip

KEPT_SHARE = 0.15  # of the memory that is free at first


class KeptFrames:
    """Clips as they were decoded in this process, as many as fit: what comes first stays, since readers go through all in turn."""

    def __init__(self):
        self.clips: dict[tuple, np.ndarray] = {}
        self.room: int | None = None
        self.lock = Lock()

    def read(self, path: Path, policy: str, frames: int) -> np.ndarray:
        """As `read_clip`, decoded again only where the file has changed. The array is shared: do not write into it."""
        path = Path(path)
        version = path.stat() if path.exists() else None
        key = (path.absolute(), version and (version.st_mtime_ns, version.st_size), policy, frames)
        if key in self.clips:
            return self.clips[key]
        clip = read_clip(path, policy, frames)
        with self.lock:
            if self.room is None:
                self.room = int(KEPT_SHARE * free_memory())
            if clip.nbytes <= self.room and key not in self.clips:
                self.clips[key], self.room = clip, self.room - clip.nbytes
        return clip


read_kept = KeptFrames().read


def read_clips(
    paths: list[Path], frames: int, policy: str = "centre", workers: int = 2, progress: bool = False
) -> np.ndarray:
    """Decode clips of one size into uint8 (N, T, H, W, 3); the policy `middle` gives T = 1.

    A clip that cannot be read raises its VideoError: these are clips that a manifest vouches for.
    """
    clips, broken = decode_clips(paths, frames, policy=policy, workers=workers, progress=progress)
    if broken:
        raise next(iter(broken.values()))
    return clips


def square(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """Resize frames (N, 3, H, W), 0 to 255, to a square without cropping, as the official loaders do; float, whole numbers."""
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
    workers: int = 2,
    progress: bool = False,
) -> tuple[np.ndarray, dict[int, VideoError]]:
    """Decode clips once into uint8 (N, T, S, S, 3), and name those that cannot be read by their place; their rows are zeros.

    `size` squares them, by default they keep the first one's size. `into`: the array to fill, such as one on disk; `rows`: those
    that are decoded, by default all.
    """
    clips, rows = into, range(len(paths)) if rows is None else rows
    if clips is None:
        height, width = (size, size) if size else _first_size(paths, policy)
        clips = np.zeros((len(paths), 1 if policy == "middle" else frames, height, width, 3), np.uint8)
    broken: dict[int, VideoError] = {}

    def read(row: int) -> None:
        try:
            clip = torch.from_numpy(read_kept(paths[row], policy, frames))
            clips[row] = square(clip.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1) if size else clip
        except VideoError as error:
            broken[row] = error

    with ThreadPoolExecutor(workers) as pool:
        list(
            tqdm(
                pool.map(read, rows),
                total=len(rows),
                unit="clip",
                desc="decode",
                disable=not progress,
                mininterval=2,
            )
        )
    return clips, broken


def _first_size(paths: list[Path], policy: str) -> tuple[int, int]:
    """Height and width of the first clip that can be read."""
    for place, path in enumerate(paths):
        try:
            return read_clip(path, policy, 1).shape[1:3]
        except VideoError:
            if place == len(paths) - 1:
                raise
    raise ValueError("there are no clips to decode; pass at least one path.")
