"""Embeddings as the official release keeps them: a `.pkl` stream of dicts, or one file a clip.

A pickled tensor names two functions of torch, one of which unpickles again without a check. Both are replaced
here by functions that make an array and nothing else.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from ...machine.files import replacing
from ..pickles import PlainUnpickler, load_plain
from ..published_files import bad_file
from .csv_files import clip_of, official_name

CLIPS_PER_DICT = 1000
ENCODERS_OF_RELEASE = {"aim": ("aim",), "blip2": ("blip2", "blip-2", "blip_2")}  # parts of a file's name


def stream_embeddings(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (clip id, float32 array) of a `.pkl` stream, or of a folder of `.pth` or `.npy` files.

    An array is pooled (D,), per frame (T, D), or per frame and token (T, N, D); all have the same D.
    """
    path, width = Path(path), None
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; expected a .pkl of embeddings or a folder of .pth or .npy files, as in "
            "the official release (data/README.md says where to get it)."
        )
    for name, value in _read_folder(path) if path.is_dir() else _read_stream(path):
        array = _as_array(name, value, path)
        if width not in (None, array.shape[-1]):
            raise ValueError(
                f"{path}: the embedding of {name!r} has {array.shape[-1]} dimensions and those before it "
                f"{width}; keep the embeddings of one encoder only."
            )
        width = array.shape[-1]
        yield clip_of(name), array
    if width is None:
        raise ValueError(f"{path} holds no embedding; expected a .pkl stream, or .pth or .npy files.")


def list_embeddings(folder: Path) -> dict[str, Path]:
    """Find a release's files of embeddings, at any depth, by encoder: .pkl with the encoder in their name."""
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).rglob("*.pkl")):
        for encoder, parts in ENCODERS_OF_RELEASE.items():
            if "embedding" in path.name.lower() and any(part in path.name.lower() for part in parts):
                if encoder in found:
                    raise ValueError(
                        f"{folder} holds two files of {encoder} embeddings, {found[encoder].name} and "
                        f"{path.name}; keep one of them."
                    )
                found[encoder] = path
    return found


def read_embeddings(path: Path) -> dict[str, np.ndarray]:
    """Read all of `stream_embeddings`; the last embedding of a clip counts."""
    return dict(stream_embeddings(path))


def write_embeddings(embeddings: Mapping[str, np.ndarray], folder: Path, name: str) -> list[Path]:
    """Write embeddings in both official layouts, `<name>.pkl` and `<name>/<clip>.pth`."""
    stream, files, clip_ids = Path(folder) / f"{name}.pkl", Path(folder) / name, list(embeddings)
    with replacing(stream) as temporary, open(temporary, "wb") as file:
        for start in range(0, len(clip_ids), CLIPS_PER_DICT):
            part = clip_ids[start : start + CLIPS_PER_DICT]
            pickle.dump({official_name(clip): _as_tensor(embeddings[clip]) for clip in part}, file)
    for clip_id in clip_ids:
        with replacing(files / f"{official_name(clip_id)}.pth") as temporary:
            torch.save(_as_tensor(embeddings[clip_id]), temporary)
    return [stream, files]


def _read_stream(path: Path) -> Iterator[tuple[object, object]]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        while file.tell() < size:
            part = load_plain(file, path, _TensorUnpickler)
            if not isinstance(part, dict):
                problem = f"holds a {type(part).__name__}; expected a dict of clip name -> tensor"
                raise bad_file(path, problem)
            yield from part.items()


def _read_folder(folder: Path) -> Iterator[tuple[str, object]]:
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".npy", ".pth")):
        try:
            is_array = path.suffix == ".npy"
            value = np.load(path) if is_array else torch.load(path, "cpu", weights_only=True)
        except (pickle.UnpicklingError, ValueError, RuntimeError, OSError, EOFError, KeyError) as error:
            problem = f"does not hold one tensor and nothing else ({type(error).__name__})"
            raise bad_file(path, f"{problem}, so it was refused") from error
        yield path.stem, value


def _as_array(name: object, value: object, path: Path) -> np.ndarray:
    if isinstance(value, torch.Tensor) and not value.is_sparse and not value.is_quantized:
        value = value.detach()
        value = (value if value.is_complex() else value.float()).numpy()
    fits = isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and 1 <= value.ndim <= 3
    if not isinstance(name, str) or not fits or 0 in value.shape:
        what = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(
            f"{path}: {name!r} -> {what} is not a clip's embedding; expected a name and an array of numbers, "
            "(D,) pooled or (T, D) per frame."
        )
    return np.ascontiguousarray(value, dtype=np.float32)


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float32)


def _storage(content: bytes) -> torch.storage.TypedStorage:
    """Stand in for `torch.storage._load_from_bytes`, which reads its bytes as a pickle of anything."""
    try:
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch makes of hostile bytes, they are refused
        raise pickle.UnpicklingError("a tensor's storage holds more than numbers") from error
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError(f"a tensor's storage is a {type(storage).__name__}")
    return storage


def _array(storage, offset: int, size: tuple, stride: tuple, *_unused: object) -> np.ndarray:
    """Stand in for `torch._utils._rebuild_tensor_v2`; a tensor is never larger than its storage."""
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError(f"a tensor is made of a {type(storage).__name__}")
    if storage.dtype.is_complex:
        raise pickle.UnpicklingError("a tensor holds complex numbers")
    values = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)
    if math.prod(size) > len(values):
        raise pickle.UnpicklingError(f"a tensor of {tuple(size)} has a storage of {len(values)}")
    return values.as_strided(size, stride, offset).float().numpy()


class _TensorUnpickler(PlainUnpickler):
    allowed = {  # noqa: RUF012 (nobody changes it)
        **PlainUnpickler.allowed,
        ("torch._utils", "_rebuild_tensor_v2"): _array,
        ("torch.storage", "_load_from_bytes"): _storage,
        ("collections", "OrderedDict"): OrderedDict,  # a tensor's hooks, always empty
    }
