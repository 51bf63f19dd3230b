"""What stage 1 reads: clips as pixels, decoded once and augmented, or as frame features in memory."""

import hashlib
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
from ..machine.memory import free_memory
from ..profiles import data_dir
from ..video.frames import decode_clips

MEMORY_SHARE = 0.4  # of the free memory that decoded frames may take; beyond it they go to a file on disk
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


class FeatureClips:
    """Frame features (N, T, D) in memory."""

    def __init__(self, features: torch.Tensor):
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Features (B, T, D) of some rows; `rng` is for inputs that are augmented."""
        return self.features[torch.as_tensor(rows)]


class PixelClips:
    """Decoded clips, uint8 (N, T, S, S, 3), given out as normalised pixels (B, T, 3, S, S) on a device, augmented while training."""

    def __init__(
        self,
        frames: np.ndarray,
        mean: Sequence[float],
        std: Sequence[float],
        augment: str = "none",
        flip: bool = False,
        device: torch.device | str = "cpu",
    ):
        self.frames, self.mean, self.std, self.device = frames, tuple(mean), tuple(std), device
        self.augment = make_augmentation(augment, frames.shape[2], flip)

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Pixels of some rows; with `rng` each clip is augmented by one draw for all its frames."""
        pixels = (
            torch.from_numpy(self.frames[rows]).to(self.device).permute(0, 1, 4, 2, 3)
        )  # as bytes: a quarter of what floats would be
        if rng is not None and self.augment is not None:
            with torch.random.fork_rng([]):  # torchvision draws from the global generator of the CPU
                torch.default_generator.manual_seed(int(rng.integers(2**31)))
                pixels = torch.stack([self.augment(tv_tensors.Video(clip)) for clip in pixels])
        return normalise(pixels, self.mean, self.std)


def make_augmentation(name: str, size: int, flip: bool) -> v2.Transform | None:
    """The named augmentation of one clip (T, 3, S, S) uint8: "none", "crop" (random resized crop) or "strong" (RandAugment before it)."""
    if name == "none":
        return None
    if name not in ("crop", "strong"):
        raise ValueError(f"augmentation {name!r} is not known; choose one of none, crop, strong.")
    steps = [v2.RandAugment(num_ops=4, magnitude=7)] if name == "strong" else []
    steps.append(v2.RandomResizedCrop((size, size), scale=(0.6, 1.0), ratio=(0.9, 1.1), antialias=True))
    return v2.Compose([*steps, *([v2.RandomHorizontalFlip()] if flip else [])])


def may_flip(label_texts: Sequence[str]) -> bool:
    """Whether a mirrored clip keeps its label: no label speaks of left or right."""
    return not any(_SIDES.search(text) for text in label_texts)


def load_pixels(paths: list[Path], frames: int, size: int, progress: bool = False) -> tuple[np.ndarray, dict]:
    """Decode clips once: in memory where they fit, else in a file under the data folder, which the system's memory caches.

    Returns them and those that broke, by place. In memory each of several processes decodes all; for a file those of the
    first machine decode a share each.
    """
    shape = len(paths), frames, size, size, 3
    if not processes.broadcast_from_main(math.prod(shape) > MEMORY_SHARE * free_memory()):
        return decode_clips(paths, frames, size=size, progress=progress)
    machine, local_rank, local_size = processes.place_on_machine()
    one_machine = processes.world_size() == local_size
    # On one machine of this run alone, and by its name a temporary one of `files`, should the run be killed while it decodes. What
    # several machines read over a network has to keep its name; the next run on the same clips uses that again.
    key = (
        processes.broadcast_from_main(uuid.uuid4().hex)
        if one_machine
        else hashlib.sha256("\n".join(map(str, paths)).encode()).hexdigest()[:10]
    )
    file = data_dir() / "frames" / (f".pixels.{key}.npy" if one_machine else f"{key}-{frames}x{size}.npy")
    if processes.is_main():
        create_array(file, shape)
    processes.barrier()
    # One machine alone: what two of them write near each other in a file may not survive a network's file system.
    rows, clips = (
        range(local_rank, len(paths), local_size) if machine == 0 else (),
        np.lib.format.open_memmap(file, "r+"),
    )
    _, broken = decode_clips(paths, frames, size=size, into=clips, rows=rows, progress=progress)
    clips.flush()
    broken = {row: error for own in processes.gather_values(broken) for row, error in own.items()}
    clips = np.lib.format.open_memmap(file, "r")
    processes.barrier()
    if one_machine and processes.is_main():
        with suppress(OSError):  # without its name it lasts as long as the arrays do; Windows keeps it
            file.unlink()
    return clips, broken
