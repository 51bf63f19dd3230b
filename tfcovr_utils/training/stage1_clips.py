"""What stage 1 reads: clips as pixels, decoded once and augmented, or as frame features in memory."""

import math
import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from ..encoders.base import normalise
from ..machine import processes
from ..machine.files import create_array
from ..machine.hashing import digest
from ..machine.memory import free_memory
from ..profiles import data_dir
from ..video.frames import decode_clips

MEMORY_SHARE = 0.4  # of the free memory that decoded frames may take; larger arrays go to a file on disk
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


class FeatureClips:
    """Frame features (N, T, D) in memory."""

    def __init__(self, features: torch.Tensor):
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Get features (B, T, D) of some rows; `rng` is for clips that are augmented."""
        return self.features[torch.as_tensor(rows)]


class PixelClips:
    """Decoded clips, uint8 (N, T, S, S, 3), as normalised pixels (B, T, 3, S, S), augmented in training."""

    def __init__(self, frames: np.ndarray, mean, std, augment="none", flip=False, device="cpu"):
        self.frames, self.mean, self.std, self.device = frames, tuple(mean), tuple(std), device
        self.augment = make_augmentation(augment, frames.shape[2], flip)

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Get pixels of some rows; with `rng` each clip is augmented by one draw for all its frames."""
        # They move to the device as bytes, a quarter of the size of floats.
        pixels = torch.from_numpy(self.frames[rows]).to(self.device).permute(0, 1, 4, 2, 3)
        if rng is not None and self.augment is not None:
            with torch.random.fork_rng([]):  # torchvision draws from the global generator of the CPU
                torch.default_generator.manual_seed(int(rng.integers(2**31)))
                pixels = torch.stack([self.augment(tv_tensors.Video(clip)) for clip in pixels])
        return normalise(pixels, self.mean, self.std)


def make_augmentation(name: str, size: int, flip: bool) -> v2.Transform | None:
    """Make the named augmentation of one clip (T, 3, S, S) uint8: "none", or "crop" (random resized crop)."""
    if name not in ("none", "crop"):
        raise ValueError(f"augmentation {name!r} is not known; choose one of none, crop.")
    if name == "none":
        return None
    crop = v2.RandomResizedCrop((size, size), scale=(0.6, 1.0), ratio=(0.9, 1.1), antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip()] if flip else [crop])


def may_flip(label_texts: Sequence[str]) -> bool:
    """Say whether mirrored clips keep their labels: no label speaks of left or right.

    >>> may_flip(["salto backward tucked"]), may_flip(["turn to the left"])
    (True, False)
    """
    return not any(_SIDES.search(text) for text in label_texts)


def load_pixels(paths: list[Path], frames: int, size: int, progress: bool = False) -> tuple[np.ndarray, dict]:
    """Decode clips once; return them, and the errors of broken ones by row.

    They stay in memory where they fit, then each rank decodes all. Otherwise they go to a file below the data
    folder, which the system caches; the ranks of the first machine decode a share each.
    """
    shape = len(paths), frames, size, size, 3
    if not processes.broadcast_from_main(math.prod(shape) > MEMORY_SHARE * free_memory()):
        return decode_clips(paths, frames, size=size, progress=progress)
    machine, local_rank, local_size = processes.place_on_machine()
    one_machine = processes.world_size() == local_size
    if one_machine:  # a temporary name: a later run removes the file if this one is killed
        name = f".pixels.{processes.broadcast_from_main(uuid.uuid4().hex)}.npy"
    else:  # several machines read it by its name; later runs on these clips use the same
        key = digest("\n".join(map(str, paths)))[:10]
        name = f"{key}-{frames}x{size}.npy"
    file = data_dir() / "frames" / name
    if processes.is_main():
        create_array(file, shape)
    processes.barrier()
    # One machine alone writes: nearby writes of two machines may not survive a network's file system.
    rows = range(local_rank, len(paths), local_size) if machine == 0 else ()
    clips = np.lib.format.open_memmap(file, "r+")
    _, broken = decode_clips(paths, frames, size=size, into=clips, rows=rows, progress=progress)
    clips.flush()
    broken = {row: error for own in processes.gather_values(broken) for row, error in own.items()}
    clips = np.lib.format.open_memmap(file, "r")
    processes.barrier()
    if one_machine and processes.is_main():
        with suppress(OSError):  # without a name the file lasts as long as the arrays; Windows keeps it
            file.unlink()
    return clips, broken
