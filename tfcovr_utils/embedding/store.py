"""Embeddings on disk: rows under the hash of the content they were made from.

A store is a folder named by all that decides its values: `<name>-<address>/`, with a manifest that says it in words
and `shard-<SHA-256 of the file>.safetensors` of some hundreds of rows each. No file is ever changed, so any number of
processes write to one store, a killed run leaves whole shards, and a damaged one is told by its name. Which rows are
done is what the shards hold, and is written nowhere else. Nothing here knows an encoder or a decoder.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from tqdm import tqdm

from ..machine.files import replacing, write_json
from ..machine.hashing import hash_text
from ..video.request import VideoError, check_file

FORMAT = 1  # part of every address; raise it when the same recipe comes to mean other values
NAME_DIGITS = 32  # of a shard's hash, in its name
HASH_THREADS = 4
KNOWN_SHARDS = 4096  # whose keys are remembered while a process runs
# A file changed this recently could change again without its times telling; its hash is not remembered.
SETTLED_NS = 2 * 10**9


def digest(content: str | bytes) -> str:
    """SHA-256 in hexadecimal: the key of a row, made from what the row was made from."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


class Store:
    """Rows of one shape, float32, by key. `recipe` is all that decides the values, as JSON values."""

    def __init__(self, store_dir: Path, name: str, recipe: dict):
        self.recipe = {"format": FORMAT, "name": name, **recipe}
        self.address = digest(json.dumps(self.recipe, sort_keys=True))[:16]
        self.folder = Path(store_dir) / f"{name}-{self.address}"

    def read(self, keys: Sequence[str]) -> tuple[torch.Tensor, np.ndarray]:
        """Rows of `keys` that are here, (F, ...) in the order asked, and which of the keys they are, (N,) bool.

        Each shard that is used is checked; a damaged one is named in a warning and removed, and its rows are not here.
        """
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        values, found = torch.empty(0, 0), np.zeros(len(keys), bool)
        for path in sorted(self.folder.glob("shard-*.safetensors")):
            try:
                # Keys first: a store holds the rows of many benchmarks, and most shards may not be wanted.
                here = [
                    (row, place) for row, key in enumerate(self._keys(path)) for place in places.get(key, ())
                ]
                if not here:
                    continue
                shard = self._values(path)
            except FileNotFoundError:  # another process found it damaged
                continue
            except (SafetensorError, KeyError, TypeError, ValueError) as error:
                warnings.warn(
                    f"{path} is damaged ({error}); it is removed, and what it held is to be made again.",
                    stacklevel=2,
                )
                with suppress(OSError):  # a folder that may only be read keeps it
                    path.unlink()
                continue
            if not found.any():
                values = torch.empty(len(keys), *shard.shape[1:])
            rows, taken = np.array(here).T
            values[taken] = shard[rows]
            found[taken] = True
        return (values if found.all() else values[torch.from_numpy(found[: len(values)])]), found

    def write(self, keys: Sequence[str], values: torch.Tensor) -> None:
        """Add rows (F, ...) as one shard, whole or not at all."""
        manifest = {**self.recipe, "shape": list(values.shape[1:]), "dtype": "float32"}
        metadata = {"rows": json.dumps({"address": self.address, "keys": list(keys)})}
        content = save({"values": values.float().contiguous()}, metadata)
        path = self.folder / f"shard-{digest(content)[:NAME_DIGITS]}.safetensors"
        try:
            self._agree(manifest)
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise OSError(
                f"{self.folder} cannot take {len(keys)} embeddings ({error.strerror or error}); make room or correct its "
                "permissions, or choose another folder, and run again: what is written is kept."
            ) from error

    def _agree(self, manifest: dict) -> None:
        """Write the manifest if there is none; values of another shape under the same recipe are refused."""
        path = self.folder / "manifest.json"
        try:
            known = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):  # none, or not JSON any more
            write_json(manifest, path)
            return
        if known != json.loads(json.dumps(manifest)):
            raise ValueError(
                f"{self.folder} holds rows of shape {known.get('shape')} and is given {manifest['shape']} by the same "
                "recipe; let the encoder's identity say what makes the difference, or delete that folder."
            )

    def _keys(self, path: Path) -> list[str]:
        return _read_keys(path, self.address)

    def _values(self, path: Path) -> torch.Tensor:
        content = path.read_bytes()
        if path.stem != f"shard-{digest(content)[:NAME_DIGITS]}":
            raise ValueError("its content is not what its name says")
        return load(content)["values"]


@lru_cache(maxsize=KNOWN_SHARDS)
def _read_keys(path: Path, address: str) -> list[str]:
    """Keys of a shard; read once, since no shard is ever changed."""
    with safe_open(path, framework="pt") as shard:
        rows = json.loads(shard.metadata()["rows"])
    if rows["address"] != address:
        raise ValueError(f"it belongs to the store {rows['address']}")
    return rows["keys"]


def file_version(path: Path) -> list[int]:
    """What changes when a file does: size, and times of change. VideoError where there is no file to read."""
    status = check_file(path)
    # The second time cannot be set back, as copying tools do with the first.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def hash_files(
    names: Iterable[str], folder: Path, cache_dir: Path, progress: bool = False
) -> tuple[dict[str, dict], dict[str, str]]:
    """Hash files below `folder`: name -> {"version", "sha256"}, and name -> why not.

    Hashes of unchanged files are remembered below `cache_dir`.
    """
    files, faults, fresh = hash_new(names, folder, cache_dir, progress)
    remember_hashes(fresh, folder, cache_dir)
    return files, faults


def hash_contents(names: Iterable[str], folder: Path, cache_dir: Path) -> str:
    """One hash of what files below `folder` hold, and of which cannot be read."""
    files, faults = hash_files(names, folder, cache_dir)
    return hash_text(
        str([(name, file["sha256"]) for name, file in sorted(files.items())]) + str(sorted(faults))
    )


def hash_new(
    names: Iterable[str], folder: Path, cache_dir: Path, progress: bool = False
) -> tuple[dict, dict, dict]:
    """As `hash_files`, without remembering: third what is to be remembered."""
    folder = Path(folder).resolve()
    known, files, faults = _read_cache(_cache_path(folder, cache_dir)), {}, {}
    for name in dict.fromkeys(names):
        try:
            version = file_version(folder / name)
        except VideoError as error:
            faults[name] = str(error)
            continue
        remembered = known.get(name, {})
        files[name] = remembered if remembered.get("version") == version else {"version": version}

    def complete(name: str) -> None:
        try:
            files[name]["sha256"] = _hash_file(folder / name)
        except OSError as error:
            faults[name] = f"clip {str(folder / name)!r} cannot be read ({error.strerror}); fetch it again"

    new = [name for name, entry in files.items() if "sha256" not in entry]
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        list(
            tqdm(
                pool.map(complete, new),
                total=len(new),
                unit="file",
                desc="hash",
                disable=not progress,
                mininterval=2,
                delay=2,
            )
        )
    files = {name: entry for name, entry in files.items() if name not in faults}
    settled = time.time_ns() - SETTLED_NS
    return (
        files,
        faults,
        {name: files[name] for name in new if name in files and max(files[name]["version"][1:]) < settled},
    )


def remember_hashes(fresh: dict[str, dict], folder: Path, cache_dir: Path) -> None:
    """Keep what `hash_new` found for the next time."""
    if fresh:
        path = _cache_path(folder, cache_dir)
        with suppress(OSError):  # remembering saves time and nothing else
            # Read again: what other runs added meanwhile is kept, but for a race that costs some hashing.
            write_json({**_read_cache(path), **fresh}, path)


def _cache_path(folder: Path, cache_dir: Path) -> Path:
    return Path(cache_dir) / f"files-{digest(str(Path(folder).resolve()))[:16]}.json"


def _read_cache(path: Path) -> dict[str, dict]:
    try:
        status = path.stat()
        return _read_cache_version(path, (status.st_ino, status.st_size, status.st_mtime_ns))
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=4)
def _read_cache_version(path: Path, version: tuple[int, ...]) -> dict[str, dict]:
    """What is remembered of the files of a folder; `version` is there to notice that another process added to it."""
    return json.loads(path.read_text())


def _hash_file(path: Path) -> str:
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            content.update(block)
    return content.hexdigest()
