"""Decode clips ahead in threads while an encoder computes on batches; a batch too large for a GPU is halved.

Frames are kept in memory only until they are encoded, and their number of bytes is bounded.
"""

import os
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ..encoders import Encoder
from ..machine import processes
from ..video import VideoError
from ..video.frames import read_cached
from ..video.hashes import file_version
from .store import Store

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PENDING_BYTES = 2**28  # of frames that are decoded and not yet encoded


@dataclass(frozen=True)
class Compute:
    """How embeddings are computed. Only the precision changes values, and with them the store's address."""

    batch: int | None = None  # clips or texts at once; halved if a GPU's memory does not hold them
    precision: str | None = None  # by default bfloat16 on a GPU and float32 elsewhere
    workers: int | None = None  # threads that decode; by default one a core

    def precision_on(self, encoder: Encoder) -> str:
        """Return the precision in which an encoder computes, where it is."""
        if self.precision is not None and self.precision not in PRECISIONS:
            raise ValueError(
                f"precision {self.precision!r} is not known; choose one of {', '.join(PRECISIONS)}."
            )
        return self.precision or ("bfloat16" if encoder.device.type == "cuda" else "float32")

    def threads(self) -> int:
        """Return how many threads decode: a core each, shared among the ranks of this machine."""
        return self.workers or max(1, (os.cpu_count() or 1) // processes.place_on_machine()[2])


class ClipFile(NamedTuple):
    """A clip to embed."""

    key: str
    path: Path
    version: list[int]  # of the file when it was hashed
    text: str | None  # read together with the clip by `compose`
    part: int = 0  # clips of one part become one shard


class BatchEncoder:
    """Encodes lists in batches, whose size is halved for good when a GPU's memory does not hold one."""

    def __init__(
        self, encoder: Encoder, encode: Callable[..., torch.Tensor], compute: Compute, default_size: int
    ):
        if encoder.training:
            raise ValueError(
                f"encoder {encoder.name!r} is in training mode, so its embeddings are random; call its "
                "eval() first."
            )
        self.encoder, self.encode, self.compute = encoder, encode, compute
        self.size, self.dtype = compute.batch or default_size, PRECISIONS[compute.precision_on(encoder)]

    def __call__(self, *inputs: list | np.ndarray) -> torch.Tensor:
        """Encode N inputs, one list for each argument of the encoder: (N, ...) float32 on the CPU."""
        values: list[torch.Tensor] = []
        start, count = 0, len(inputs[0])
        # Not accelerate's find_executable_batch_size, which begins again with the first input.
        while start < count:
            batch = [each[start : start + self.size] for each in inputs]
            enabled = self.dtype != torch.float32
            try:
                with torch.no_grad(), torch.autocast(self.encoder.device.type, self.dtype, enabled):
                    values.append(self.encode(*batch).float().cpu())
            except torch.cuda.OutOfMemoryError:
                if len(batch[0]) == 1:
                    raise
                self.size = len(batch[0]) // 2
                continue
            start += len(batch[0])
        encoded = torch.cat(values)
        if len(encoded) != count or not encoded.isfinite().all():
            raise ValueError(
                f"encoder {self.encoder.name!r} gave values of shape {tuple(encoded.shape)}, "
                f"{(~encoded.isfinite()).sum()} of them not finite, for {count} inputs; expected a finite "
                "row for each, so check its weights."
            )
        return encoded


def embed_files(
    todo: Collection[ClipFile], batches: BatchEncoder, store: Store, sampling: tuple[str, int], progress: bool
) -> dict[str, str]:
    """Decode, encode and store clips, one shard a part; return key -> reason of those that cannot be read.

    sampling: policy and number of frames.
    """

    def read(file: ClipFile) -> tuple[ClipFile, np.ndarray | str]:
        try:
            clip = read_cached(file.path, *sampling)
            if file_version(file.path) != file.version:
                return file, f"clip {str(file.path)!r} changed while it was read; read it again"
        except VideoError as error:
            return file, str(error)
        return file, clip

    broken: dict[str, str] = {}
    decoded = _decode_ahead(todo, read, batches)
    bar = tqdm(decoded, "embed", len(todo), unit="clip", disable=not progress, mininterval=2)
    for _, part in groupby(bar, key=lambda pair: pair[0].part):
        keys, values = [], []
        for group in _by_shape(part, batches, broken):
            files, frames = zip(*group)
            texts = [file.text for file in files]
            keys += [file.key for file in files]
            values.append(batches(np.stack(frames), *([] if texts[0] is None else [texts])))
        if keys:
            store.write(keys, torch.cat(values))
    return broken


def _decode_ahead(
    todo: Iterable[ClipFile], read: Callable, batches: BatchEncoder
) -> Iterator[tuple[ClipFile, np.ndarray | str]]:
    """Yield what `read` gives, in order, while threads read as many clips ahead as make up a batch."""
    workers = ahead = batches.compute.threads()
    rest, waiting = iter(todo), deque()
    with ThreadPoolExecutor(workers) as pool:
        while True:
            waiting.extend(pool.submit(read, file) for file in islice(rest, max(0, ahead - len(waiting))))
            if not waiting:
                return
            file, clip = waiting.popleft().result()
            if not isinstance(clip, str):
                ahead = max(workers, min(batches.size, PENDING_BYTES // clip.nbytes))
            yield file, clip


def _by_shape(
    part: Iterable[tuple[ClipFile, np.ndarray | str]], batches: BatchEncoder, broken: dict[str, str]
) -> Iterator[list[tuple[ClipFile, np.ndarray]]]:
    """Yield groups of clips of one shape, of bounded memory in all; collect unreadable clips in `broken`."""
    groups, pending, size = defaultdict(list), 0, batches.size
    for file, clip in part:
        if isinstance(clip, str):
            broken[file.key] = clip
            continue
        groups[clip.shape].append((file, clip))
        pending += clip.nbytes
        if len(groups[clip.shape]) == size or pending > PENDING_BYTES:
            group = groups.pop(clip.shape)
            pending -= len(group) * clip.nbytes
            yield group
    yield from groups.values()
