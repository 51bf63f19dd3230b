"""Embeddings on disk: rows under the hash of the content that they were computed from.

A store is a folder named by whatever decides its values, `<name>-<address>/`. It holds a manifest of the same
in words and `shard-<SHA-256 of the file>.safetensors` of some hundreds of rows each. No file is ever changed.
So any number of processes can write to one store, a killed run leaves whole shards, and a damaged shard
contradicts its name. The shards alone say which rows are done.
"""

import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from ..machine.files import replacing, write_json
from ..machine.hashing import digest

FORMAT = 1  # part of every address; raise it when the same recipe gives other values
NAME_DIGITS = 32  # of a shard's hash, in its name
CACHED_SHARDS = 4096  # whose keys a process keeps in memory


class Store:
    """Rows of one shape, float32, by key. recipe: whatever decides the values, as JSON values."""

    def __init__(self, store_dir: Path, name: str, recipe: dict):
        self.recipe = {"format": FORMAT, "name": name, **recipe}
        self.address = digest(json.dumps(self.recipe, sort_keys=True))[:16]
        self.folder = Path(store_dir) / f"{name}-{self.address}"

    def read(self, keys: Sequence[str]) -> tuple[torch.Tensor, np.ndarray]:
        """Return the rows of `keys` that are here, (F, ...) in that order, and which are, (N,) bool.

        Shards are checked as they are read; a damaged one is named in a warning and removed.
        """
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        values, found = torch.empty(0, 0), np.zeros(len(keys), bool)
        for path in sorted(self.folder.glob("shard-*.safetensors")):
            try:
                # Keys first: a store holds the rows of many benchmarks, and most shards may not be wanted.
                rows = enumerate(self._keys(path))
                here = [(row, place) for row, key in rows for place in places.get(key, ())]
                if not here:
                    continue
                shard = self._values(path)
            except FileNotFoundError:  # another process found it damaged
                continue
            except (SafetensorError, KeyError, TypeError, ValueError) as error:
                warnings.warn(
                    f"{path} is damaged ({error}); it is removed, and its rows must be embedded again.",
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
        self._agree(manifest)
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    def _agree(self, manifest: dict) -> None:
        """Write the manifest if there is none; refuse values of another shape under the same recipe."""
        path = self.folder / "manifest.json"
        try:
            known = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):  # none, or damaged
            write_json(manifest, path)
            return
        if known != json.loads(json.dumps(manifest)):
            raise ValueError(
                f"{self.folder} holds rows of shape {known.get('shape')}, and the same recipe now gives "
                f"{manifest['shape']}; make the encoder's identity say what differs, or delete that folder."
            )

    def _keys(self, path: Path) -> list[str]:
        return _read_keys(path, self.address)

    def _values(self, path: Path) -> torch.Tensor:
        content = path.read_bytes()
        if path.stem != f"shard-{digest(content)[:NAME_DIGITS]}":
            raise ValueError("its content is not what its name says")
        return load(content)["values"]


@lru_cache(maxsize=CACHED_SHARDS)
def _read_keys(path: Path, address: str) -> list[str]:
    """Return the keys of a shard; read once, since no shard is ever changed."""
    with safe_open(path, framework="pt") as shard:
        rows = json.loads(shard.metadata()["rows"])
    if rows["address"] != address:
        raise ValueError(f"it belongs to the store {rows['address']}")
    return rows["keys"]
