"""Embeddings on disk: rows under the hash of the content they were made from.

A store is a folder named by all that decides its values: `<name>-<address>/`, with a manifest that says it in words
and `shard-<SHA-256 of the file>.safetensors` of some hundreds of rows each. No file is ever changed, so any number of
processes write to one store, a killed run leaves whole shards, and a damaged one is told by its name. Which rows are
done is what the shards hold, and is written nowhere else. Nothing here knows an encoder or a decoder.
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

FORMAT = 1  # part of every address; raise it when the same recipe comes to mean other values
NAME_DIGITS = 32  # of a shard's hash, in its name
KNOWN_SHARDS = 4096  # whose keys are remembered while a process runs


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
