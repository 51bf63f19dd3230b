"""Embed clips and texts, each once: what the store lacks is embedded, then everything is read from the store.

The store's address contains whatever decides the values: the encoder's identity, the sampling, the decoder
and its version, the precision. Ranks that were launched together (`accelerate launch -m tfcovr_utils embed`)
share the work.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..encoders import Encoder
from ..machine import processes
from ..machine.hashing import digest
from ..profiles import data_dir
from ..video import is_picture
from ..video.hashes import hash_clips
from ..video.request import POLICIES, check_choice
from .batches import BatchEncoder, ClipFile, Compute, embed_files
from .store import Store

READOUTS = ("frames", "clips", "tokens", "composed")
SHARD_ROWS = 512  # a killed run loses at most so many embeddings
IMAGES_PER_BATCH = {"cpu": 96, "cuda": 256}  # fits a CPU's cache; takes 1 GB of a GPU with a ViT-B/16
TEXTS_PER_BATCH = 256
VISIBLE_S = 90  # a network disk may show one machine's files to another only after a minute
DEFAULT = Compute()


@dataclass(frozen=True)
class Embedded:
    """Embeddings of clips in the order of their table, without those that could not be read."""

    clip_ids: list[str]
    values: torch.Tensor  # (N, T, D) or (N, D), float32, on the CPU
    missing: dict[str, str]  # clip id -> reason


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
    compute: Compute = DEFAULT,
    progress: bool = True,
) -> Embedded:
    """Embed the clips that the store lacks, and read all from it.

    clips: columns clip_id and path, below `clips_dir`. readout: "frames", "clips" and "tokens" are embedded
    by `encoder.encode_frames` and so on; "composed" by `compose`, which reads each clip together with the
    table's `text`, so that clip_id is an id of the pair. shard (i, n): take every n-th clip from the i-th on.

    An embedding belongs to a file's content: equal files are embedded once, a changed file again. After a
    kill the same call resumes behind the last whole shard. All ranks call this together and read everything.
    """
    check_choice("policy", policy, POLICIES)
    check_choice("readout", readout, READOUTS)
    # The tower takes most of the time, and stage 1 reads it before the projection: one pass serves both.
    encoder, project = encoder.in_two_steps() if readout == "frames" else (encoder, None)
    clips_dir, frames = Path(clips_dir), 1 if policy == "middle" else frames
    store_dir = Path(store_dir or data_dir() / "embeddings")
    sampling = {"frames": frames, "policy": policy, "decoder": decoders(clips["path"])}
    store = _open_store(encoder, readout, compute, store_dir, sampling)

    clips, progress = clips.iloc[shard[0] :: shard[1]], progress and processes.is_main()
    files, faults = hash_clips(clips["path"], clips_dir, store_dir, progress, shared=True)
    readable = clips[clips["path"].isin(files)]
    keys = [files[path]["sha256"] for path in readable["path"]]
    texts = readable["text"].tolist() if readout == "composed" else [None] * len(readable)
    if readout == "composed":
        keys = [digest(f"{key} {text}") for key, text in zip(keys, texts)]
    (values, found), broken = store.read(keys), {}
    if not found.all():
        rows = zip(keys, readable["path"], texts)
        wanted = [ClipFile(key, clips_dir / path, files[path]["version"], text) for key, path, text in rows]
        encode = getattr(encoder, "compose" if readout == "composed" else f"encode_{readout}")
        images = IMAGES_PER_BATCH["cpu" if encoder.device.type == "cpu" else "cuda"]
        batches = BatchEncoder(encoder, encode, compute, default_size=max(1, images // max(frames, 1)))
        broken = embed_files(_share(wanted, found), batches, store, (policy, frames), progress)
    for other in processes.gather_values(broken):  # all ranks wait here for each other
        broken = broken | other
    if not found.all():
        values, found = _read_written(store, keys, broken)
        for path, key in zip(readable["path"][~found], np.array(keys)[~found]):
            damaged = f"the embedding of {path!r} was damaged after it was written; run again"
            faults[path] = broken.get(key, damaged)
    paths = zip(clips["clip_id"], clips["path"])
    missing = {clip_id: faults[path] for clip_id, path in paths if path in faults}
    if missing and not found.any():
        first = next(iter(missing.values()))
        raise ValueError(f"none of {len(missing)} clips below {clips_dir} could be read; the first: {first}.")
    return Embedded(readable["clip_id"][found].tolist(), project(values) if project else values, missing)


def _share(files: list[ClipFile], found: np.ndarray) -> list[ClipFile]:
    """List the missing clips that this rank embeds, equal ones once.

    Shares and shards go by the place in the whole table, not among the missing clips. So after a kill the
    same clips meet in a batch, as the last bits of a product depend on its other rows; and ranks agree on
    their shares, whatever the others have written in the meantime.
    """
    first = {files[place].key: place for place in np.flatnonzero(~found)[::-1]}
    share = []
    for place in sorted(first.values()):
        turn, rank = divmod(place, processes.world_size())
        if rank == processes.rank():
            share.append(files[place]._replace(part=turn // SHARD_ROWS))
    return share


def embed_texts(
    encoder: Encoder, texts: Sequence[str], *, store_dir: Path | None = None, compute: Compute = DEFAULT
) -> torch.Tensor:
    """Embed texts, each distinct one once: (M, D) float32 in their order.

    All ranks call this together, and each encodes its share.
    """
    store = _open_store(encoder, "texts", compute, store_dir, {})
    keys = [digest(text) for text in texts]
    share = set(list(dict.fromkeys(keys))[processes.rank() :: processes.world_size()])
    values, found = store.read(keys)
    if not found.all():
        todo = {keys[place]: texts[place] for place in np.flatnonzero(~found) if keys[place] in share}
        batches = BatchEncoder(encoder, encoder.encode_texts, compute, TEXTS_PER_BATCH)
        for start in range(0, len(todo), SHARD_ROWS):
            part = list(todo)[start : start + SHARD_ROWS]
            store.write(part, batches([todo[key] for key in part]))
    processes.barrier()
    if not found.all():
        values, found = _read_written(store, keys, ())
        if not found.all():
            raise OSError(
                f"{store.folder} lost embeddings of {(~found).sum()} texts right after they were written; "
                "check that disk."
            )
    return values


def _open_store(
    encoder: Encoder, readout: str, compute: Compute, store_dir: Path | None, sampling: dict
) -> Store:
    recipe = {"encoder": encoder.identity, "precision": compute.precision_on(encoder), "readout": readout}
    return Store(Path(store_dir or data_dir() / "embeddings"), encoder.name, recipe | sampling)


def _read_written(store: Store, keys: list[str], broken: Collection[str]) -> tuple[torch.Tensor, np.ndarray]:
    """Read what all ranks have just written, and wait for it to become visible; see `Store.read`."""
    until = time.monotonic() + VISIBLE_S
    while True:
        values, found = store.read(keys)
        late = [key for key, here in zip(keys, found) if not here and key not in broken]
        if not late or processes.world_size() == 1 or time.monotonic() > until:
            return values, found
        time.sleep(1)


def decoders(paths: Iterable[str]) -> dict[str, str | None]:
    """Return versions of the libraries that decode these clips, None for one that is not installed."""
    names = ("decord", "av", *(["pillow"] if any(map(is_picture, paths)) else []))
    return {name: _installed(name) for name in names}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
