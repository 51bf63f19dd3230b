"""Read the tensors of a TorchScript archive, as OpenAI's CLIP files are, without running any code in it.

Such an archive is a zip: `data.pkl` pickles the modules by their class's name, `data/<key>` holds the bytes
of each tensor's storage, and `code/` the program, which is never opened.
"""

import math
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ..sources.pickles import PlainUnpickler, load_plain

_DTYPES = {
    f"{kind}Storage": dtype
    for kind, dtype in {
        **{
            "Half": torch.float16,
            "Float": torch.float32,
            "Double": torch.float64,
            "BFloat16": torch.bfloat16,
        },
        **{"Byte": torch.uint8, "Char": torch.int8, "Short": torch.int16, "Int": torch.int32},
        **{"Long": torch.int64, "Bool": torch.bool},
    }.items()
}
_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "restore_type_tag")
DEEPEST = 50  # modules within modules


def is_torchscript(file: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    names = zipfile.ZipFile(file).namelist() if zipfile.is_zipfile(file) else []
    return any(name.endswith("/constants.pkl") for name in names)


def read_torchscript(file: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of an archive's modules by their names, such as `visual.conv1.weight`."""
    with zipfile.ZipFile(file) as archive:
        place, *others = [name for name in archive.namelist() if name.endswith("/data.pkl")] or [None]
        if others or not place or archive.testzip():  # compares the checksums
            raise ValueError(f"{file} is damaged; fetch it again.")

        class Reader(_ModuleUnpickler):
            storages, folder = archive, place.removesuffix(".pkl")

        with archive.open(place) as content:
            root = load_plain(content, file, Reader)
    if not isinstance(root, _Module):
        raise ValueError(f"{file} holds a {type(root).__name__}; expected a module with weights.")
    return dict(_tensors(root, "", set()))


class _Module:
    """Stands in for every module of the archive: its attributes and nothing else."""


def _tensors(module: _Module, prefix: str, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors below a module by name, each module once, as a crafted one may hold itself."""
    seen.add(id(module))
    for name, value in vars(module).items() if prefix.count(".") < DEEPEST else ():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module) and id(value) not in seen:
            yield from _tensors(value, f"{prefix}{name}.", seen)


def _rebuild(
    storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_unused: object
) -> torch.Tensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`; a tensor never reaches past its storage."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, torch.Tensor) or not all(type(n) is int and n >= 0 for n in numbers):
        raise pickle.UnpicklingError("a tensor has no storage, or strange sizes")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    inside = last < len(storage) >= math.prod(size)  # steps of 0 would make a huge tensor of one number
    if len(size) != len(stride) or (0 not in size and not inside):
        raise pickle.UnpicklingError(f"a tensor of {size} reaches past its storage of {len(storage)}")
    return storage.as_strided(size, stride, offset)


class _ModuleUnpickler(PlainUnpickler):
    storages: zipfile.ZipFile
    folder: str
    allowed = {  # noqa: RUF012 (nobody changes it)
        **{("torch", name): dtype for name, dtype in _DTYPES.items()},
        **{("torch.jit._pickle", name): lambda values, *_: values for name in _LISTS},
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
        ("collections", "OrderedDict"): dict,  # a tensor's hooks, always empty
    }

    def find_class(self, module: str, name: str) -> object:
        """Give modules of the archive's own a plain class; look every other name up."""
        return _Module if module.split(".")[0] == "__torch__" else super().find_class(module, name)

    def persistent_load(self, pid: object) -> torch.Tensor:
        """Read a storage: ("storage", dtype, key, device, number of values)."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and isinstance(pid[1], torch.dtype)):
            raise pickle.UnpicklingError(f"it refers to the outside object {pid!r}")
        _, dtype, key, _, length = pid
        if (place := f"{self.folder}/{key}") not in self.storages.namelist() or type(length) is not int:
            raise pickle.UnpicklingError(f"it refers to the storage {key!r} of {length!r} values")
        entry = self.storages.getinfo(place)
        wanted = length * torch.empty(0, dtype=dtype).element_size()
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != wanted:
            raise pickle.UnpicklingError(f"storage {key} has {entry.file_size} bytes, expected {wanted}")
        content = bytearray(self.storages.read(entry))
        return torch.frombuffer(content, dtype=dtype) if length else torch.empty(0, dtype=dtype)
