"""Pickles of plain data, read without running anything they name.

A pickle may name any function and have it called. Here the names that may be looked up are listed,
and none of them does more than build a container or an array.
"""

import pickle
from pathlib import Path

import numpy as np

_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for `_codecs.encode`, which old protocols use for the bytes of an array."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text encoding {encoding!r}")
    return text.encode("latin1")


# numpy moved its internals between versions 1 and 2; files written by either are read by either.
_ALLOWED = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (f"numpy.{core}.{module}", name): value
        for core in ("core", "_core")
        for module, name, value in [
            ("multiarray", "_reconstruct", _RECONSTRUCT),
            ("multiarray", "scalar", _SCALAR),
            ("numeric", "_frombuffer", _FROM_BUFFER),
        ]
    },
}


class PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: object) -> object:
        raise pickle.UnpicklingError(f"the persistent id {pid!r}")


def read_plain_pickle(path: Path) -> object:
    """Read a pickle of containers, text, numbers and numpy arrays; refuse one that holds more."""
    with open(path, "rb") as file:
        try:
            return PlainUnpickler(file).load()
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"{path} holds {error}, which is not plain data, so nothing of it was read; get "
                f"the file again from its owner."
            ) from error
        except (EOFError, IndexError, KeyError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a complete pickle ({type(error).__name__}: {error}); get the file "
                f"again from its owner."
            ) from error
