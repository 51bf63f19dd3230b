"""Read pickles of plain data without running anything that they name.

A pickle may name any function and have it called. Here only the listed names can be looked up, and each of
them does no more than build a container or an array.
"""

import pickle
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .published_files import bad_file


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for `_codecs.encode`, which old protocols use for the bytes of an array."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds text in the encoding {encoding!r}")
    return text.encode("latin1")


_ALLOWED = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
for _core in ("core", "_core"):  # of numpy 1 and numpy 2; either version reads the files of both
    _ALLOWED[f"numpy.{_core}.multiarray", "_reconstruct"] = np.zeros(0).__reduce__()[0]
    _ALLOWED[f"numpy.{_core}.multiarray", "scalar"] = np.float64(0).__reduce__()[0]
    _ALLOWED[f"numpy.{_core}.numeric", "_frombuffer"] = np.zeros(1).__reduce_ex__(5)[0]


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that looks up the names in `allowed` and refuses every other."""

    allowed = _ALLOWED

    def find_class(self, module: str, name: str) -> object:
        """Look up an allowed name."""
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which makes no plain data")
        return self.allowed[module, name]

    def persistent_load(self, pid: object) -> object:
        """Refuse references to objects outside the pickle."""
        raise pickle.UnpicklingError(f"it refers to the outside object {pid!r}")


def read_plain(path: Path) -> object:
    """Load the first pickle of a file, as `load_plain` does."""
    with open(path, "rb") as file:
        return load_plain(file, path)


def load_plain(file: BinaryIO, path: Path, unpickler: type[PlainUnpickler] = PlainUnpickler) -> object:
    """Load the next pickle of an open file; refuse one that is more than containers, text and numbers."""
    try:
        return unpickler(file).load()
    except pickle.UnpicklingError as error:
        raise bad_file(path, f"was refused ({error}), and nothing of it was run") from error
    except Exception as error:  # whatever pickle makes of hostile bytes, they are refused
        raise bad_file(path, f"is not a complete pickle ({type(error).__name__}: {error})") from error
