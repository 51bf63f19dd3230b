"""Clips and texts -> embeddings in a store, each made once; and its command.

    tfcovr embed --benchmark DIR --encoder clip --shard 0/8 --out DIR

Clips are decoded ahead in threads while the encoder computes; frames stay in memory at most. Whatever decides the values is
in the store's address: the encoder's identity, the sampling, the decoder and its version, the precision. Launched together,
as with `accelerate launch -m tfcovr_utils embed`, several processes share what is asked of them.
"""

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ..encoders import Encoder
from ..machine import processes
from ..machine.hashing import digest
from ..profiles import data_dir
from ..video import VideoError, is_picture
from ..video.frames import read_cached
from ..video.hashes import file_version, hash_clips
from .store import Store

READOUTS = ("frames", "clips", "texts")  # and "composed", of clips read together with a text
SHARD_ROWS = 512  # what a killed run loses at most
POLICIES = (
    "centre",
    "centre-half",
    "ends",
    "middle",
)  # of video.sample_indices, those that take the same frames every time
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
IMAGES_PER_BATCH = {
    "cpu": 96,
    "cuda": 256,
}  # by default: what stays in a CPU's cache; of a GPU's memory a ViT-B/16 takes a gigabyte
TEXTS_PER_BATCH = 256
PENDING_BYTES = 2**28  # of frames that are decoded and not yet encoded
VISIBLE_S = 90  # within which one machine sees what another has written: a network's file system looks again each minute


@dataclass(frozen=True)
class Embedded:
    """Embeddings of clips in the order of their table; those that could not be read are left out and named."""

    clip_ids: list[str]
    values: torch.Tensor  # (N, T, D) or (N, D), float32, on the CPU
    missing: dict[str, str]  # clip id -> reason


class _File(NamedTuple):
    """A clip to embed."""

    key: str
    path: Path
    version: list[int]  # of the file, when its content gave the key
    part: int  # of the table: what becomes one shard
    text: str | None  # that it is read together with


def embed_clips(
    encoder: Encoder,
    clips: pd.DataFrame,
    clips_dir: Path,
    *,
    frames: int,
    policy: str = "centre",
    readout: str = "frames",
    store_dir: Path | None = None,
    shard: tuple[int, int] = (0, 1),
    batch: int | None = None,
    precision: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Embedded:
    """Embed what the store lacks of `clips` (columns clip_id and path, the path below `clips_dir`), and read all from it.

    readout: "frames" keeps `encoder.encode_frames`, "clips" `encode_clips`, and "composed" `compose`, which reads each
    clip together with the table's `text`, so that clip_id is an id of the pair. An embedding belongs to a file's content: equal
    files are embedded once, a changed one anew. `shard` (i, n) takes every n-th clip from the i-th on. After a kill
    the same call goes on behind the last whole shard. `batch` is in clips, by default about `IMAGES_PER_BATCH` frames,
    and halved when a GPU's memory does not hold it. `precision` is bfloat16 on a GPU and float32 elsewhere; name it to
    read without a GPU what one has made. `workers` are threads that decode, by default one a core; no value depends on them.
    Processes that were launched together call this together: each embeds its share, and all read everything.
    """
    # The tower is what costs, and stage 1 reads it before the projection: one pass serves both.
    encoder, project = encoder.in_two_steps() if readout == "frames" else (encoder, None)
    workers = workers or max(1, (os.cpu_count() or 1) // processes.place_on_machine()[2])
    if policy not in POLICIES:
        raise ValueError(
            f"policy {policy!r} does not take the same frames every time; choose one of {', '.join(POLICIES)}."
        )
    if policy == "middle":
        frames = 1
    precision = _precision(encoder, precision)
    store_dir = Path(store_dir or data_dir() / "embeddings")
    composed = readout == "composed"
    recipe = {"readout": readout, "frames": frames, "policy": policy, "decoder": _decoders(clips["path"])}
    store = Store(store_dir, encoder.name, {"encoder": encoder.identity, "precision": precision, **recipe})

    clips, progress = clips.iloc[shard[0] :: shard[1]], progress and processes.is_main()
    files, faults = hash_clips(clips["path"], clips_dir, store_dir, progress, shared=True)
    clips_here = clips[clips["path"].isin(files)]
    texts = clips_here["text"].tolist() if composed else [None] * len(clips_here)
    contents = [files[path]["sha256"] for path in clips_here["path"]]
    keys = [digest(f"{content} {text}") for content, text in zip(contents, texts)] if composed else contents
    (values, found), broken = store.read(keys), {}
    if not found.all():
        lacking: dict[str, int] = {}  # of equal clips the first
        for place in np.flatnonzero(~found):
            lacking.setdefault(keys[place], place)
        todo = []
        for key, place in lacking.items():
            # Shares and parts are cut by the place in the table and not among what lacks, so that after a kill the same
            # clips meet in a batch, as a product's last bits depend on its other rows; and that processes agree on the
            # shares, whatever the others have written since they looked.
            part, process = divmod(place, processes.world_size())
            if process == processes.rank():
                path = clips_here["path"].iloc[place]
                todo.append(
                    _File(
                        key, Path(clips_dir) / path, files[path]["version"], part // SHARD_ROWS, texts[place]
                    )
                )
        encode = getattr(encoder, "compose" if composed else f"encode_{readout}")
        images = IMAGES_PER_BATCH.get(encoder.device.type, IMAGES_PER_BATCH["cuda"])
        batches = _Batches(
            encoder,
            lambda group: encode(*_stack(group)),
            precision,
            batch or max(1, images // max(frames, 1)),
        )
        broken = _embed_files(todo, batches, store, frames, policy, workers, progress)
    broken = {
        key: fault for own in processes.gather_values(broken) for key, fault in own.items()
    }  # for which all wait
    if not found.all():
        values, found = _read_written(store, keys, broken)
        for path, key in zip(clips_here["path"][~found], np.array(keys)[~found]):
            faults[path] = broken.get(
                key, f"the embedding of {path!r} was damaged after it was written; run again"
            )
    missing = {
        clip_id: faults[path] for clip_id, path in zip(clips["clip_id"], clips["path"]) if path in faults
    }
    if missing and not found.any():
        raise ValueError(
            f"none of {len(missing)} clips below {clips_dir} could be read; the first: {next(iter(missing.values()))}."
        )
    return Embedded(clips_here["clip_id"][found].tolist(), project(values) if project else values, missing)


def _read_written(store: Store, keys: list[str], broken: Collection[str]) -> tuple[torch.Tensor, np.ndarray]:
    """As `store.read`, of what all processes have just written or found broken."""
    until = time.monotonic() + VISIBLE_S
    while True:
        values, found = store.read(keys)
        late = [key for key, here in zip(keys, found) if not here and key not in broken]
        if not late or processes.world_size() == 1 or time.monotonic() > until:
            return values, found
        time.sleep(1)


def embed_texts(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    store_dir: Path | None = None,
    batch: int = TEXTS_PER_BATCH,
    precision: str | None = None,
) -> torch.Tensor:
    """Embed texts: (M, D) float32 in their order, each distinct one encoded once and kept in a store.

    Processes that were launched together call this together, and each encodes its share.
    """
    precision = _precision(encoder, precision)
    recipe = {"encoder": encoder.identity, "precision": precision, "readout": READOUTS[2]}
    store = Store(Path(store_dir or data_dir() / "embeddings"), encoder.name, recipe)
    keys = [digest(text) for text in texts]
    share = set(list(dict.fromkeys(keys))[processes.rank() :: processes.world_size()])
    values, found = store.read(keys)
    if not found.all():
        lacking = {keys[place]: texts[place] for place in np.flatnonzero(~found) if keys[place] in share}
        batches = _Batches(encoder, encoder.encode_texts, precision, batch)
        for start in range(0, len(lacking), SHARD_ROWS):
            part = list(lacking)[start : start + SHARD_ROWS]
            store.write(part, batches([lacking[key] for key in part]))
    processes.barrier()
    if not found.all():
        values, found = _read_written(store, keys, ())
        if not found.all():
            raise OSError(
                f"{store.folder} lost embeddings of {(~found).sum()} texts as soon as they were written; check that disk."
            )
    return values


class _Batches:
    """Encodes a list in batches, which shrink for good when a GPU's memory does not hold one."""

    def __init__(self, encoder: Encoder, encode: Callable[[list], torch.Tensor], precision: str, size: int):
        if encoder.training:
            raise ValueError(
                f"encoder {encoder.name!r} is in training mode, so its embeddings are random; call its eval() first."
            )
        self.encoder, self.encode, self.size = encoder, encode, size
        self._autocast = {
            "device_type": encoder.device.type,
            "dtype": PRECISIONS[precision],
            "enabled": precision != "float32",
        }

    def __call__(self, inputs: list) -> torch.Tensor:
        """Encode any number of inputs: (len(inputs), ...) float32 on the CPU."""
        values: list[torch.Tensor] = []
        start = 0
        while start < len(inputs):
            group = inputs[start : start + self.size]
            try:
                with torch.no_grad(), torch.autocast(**self._autocast):
                    values.append(self.encode(group).float().cpu())
            except torch.cuda.OutOfMemoryError:
                if len(group) == 1:
                    raise
                self.size = len(group) // 2
                continue
            start += len(group)
        encoded = torch.cat(values)
        if len(encoded) != len(inputs) or not encoded.isfinite().all():
            raise ValueError(
                f"encoder {self.encoder.name!r} gave values of shape {tuple(encoded.shape)}, {(~encoded.isfinite()).sum()} of "
                f"them not finite, for {len(inputs)} inputs; expected a finite row for each, so check its weights."
            )
        return encoded


def _stack(group: list[tuple[_File, np.ndarray]]) -> tuple:
    """What an encoder takes of some clips: their frames, and their texts where they have some."""
    frames, texts = np.stack([clip for _, clip in group]), [file.text for file, _ in group]
    return (frames,) if texts[0] is None else (frames, texts)


def _embed_files(
    todo: Collection[_File],
    batches: _Batches,
    store: Store,
    frames: int,
    policy: str,
    workers: int,
    progress: bool,
) -> dict[str, str]:
    """Decode, encode and store files, a shard for each of their parts; return key -> why not of the broken ones."""

    def read(file: _File) -> tuple[_File, np.ndarray | str]:
        try:
            clip = read_cached(file.path, policy, frames)
            if file_version(file.path) != file.version:
                return file, f"clip {str(file.path)!r} changed while it was read; read it again"
        except VideoError as error:
            return file, str(error)
        return file, clip

    broken: dict[str, str] = {}
    decoded = _ahead(todo, read, batches.size, workers)
    progressing = tqdm(
        decoded, total=len(todo), unit="clip", desc="embed", disable=not progress, mininterval=2
    )
    for _, part in groupby(progressing, key=lambda pair: pair[0].part):
        keys, values = [], []
        for group in _alike(part, batches.size, broken):
            keys += [file.key for file, _ in group]
            values.append(batches(group))
        if keys:
            store.write(keys, torch.cat(values))
    return broken


def _ahead(
    todo: Iterable[_File], read: Callable, size: int, workers: int
) -> Iterator[tuple[_File, np.ndarray | str]]:
    """Yield what `read` gives, in order, while threads read on: as much as the encoder takes at once, and no more."""
    ahead, rest, waiting = workers, iter(todo), deque()
    with ThreadPoolExecutor(workers) as pool:
        while True:
            waiting.extend(pool.submit(read, file) for file in islice(rest, max(0, ahead - len(waiting))))
            if not waiting:
                return
            file, clip = waiting.popleft().result()
            if not isinstance(clip, str):
                ahead = max(workers, min(size, PENDING_BYTES // clip.nbytes))
            yield file, clip


def _alike(
    part: Iterable[tuple[_File, np.ndarray | str]], size: int, broken: dict[str, str]
) -> Iterator[list[tuple[_File, np.ndarray]]]:
    """Yield groups of clips of one shape, in all of bounded memory; put what is no clip into `broken`."""
    groups, pending = defaultdict(list), 0
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


def _precision(encoder: Encoder, given: str | None) -> str:
    if given is not None and given not in PRECISIONS:
        raise ValueError(f"precision {given!r} is not known; choose one of {', '.join(PRECISIONS)}.")
    return given or ("bfloat16" if encoder.device.type == "cuda" else "float32")


def _decoders(paths: Iterable[str]) -> dict[str, str | None]:
    """Versions of the libraries that video decodes with, and pictures where there are any; None where one is not installed."""
    found = {}
    for name in ("decord", "av", *(["pillow"] if any(map(is_picture, paths)) else [])):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
