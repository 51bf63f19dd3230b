"""Weights and checkpoints on disk: written whole; a changed byte is found when they are read."""

import os
import pickle
import re
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from .files import replacing
from .hashing import digest_tensors

_CONTENT = "content"  # key of a hash in the metadata, since safetensors itself keeps no checksum
_UNREADABLE = (
    *(zipfile.BadZipFile, pickle.UnpicklingError, NotImplementedError),
    *(RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, IsADirectoryError),
)


def write_weights(state: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a state dict as safetensors, replacing a file when whole. metadata: instead of the hash."""
    state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with replacing(path) as temporary:
        try:
            save_file(state, temporary, metadata or {_CONTENT: digest_tensors(state)})
        except SafetensorError as error:
            if not (code := re.search(r"os error (\d+)", str(error))):
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read safetensors; a file that is damaged or, if of `write_weights`, changed is refused."""
    try:
        with safe_open(path, "pt") as file:
            content = (file.metadata() or {}).get(_CONTENT)
        state, fault = load_file(path), "its values are not those that were written"
    except SafetensorError as error:
        content, state, fault = "", {}, str(error)
    if content is not None and content != digest_tensors(state):
        raise ValueError(
            f"{path} is damaged or cut short ({fault}); remove it, and train it or fetch it again."
        )
    return state


def write_checkpoint(identity: dict, contents: dict, path: Path) -> None:
    """Write what a run needs to resume, replacing a file when whole; `identity` says which run."""
    with replacing(path) as temporary:
        try:
            with open(temporary, "wb") as file:  # given a path, PyTorch would hide the system's error
                torch.save({"identity": identity, **contents}, file)
        except RuntimeError as error:
            if not isinstance(error.__context__, OSError):
                raise
            raise error.__context__ from error


def read_checkpoint(path: Path, identity: dict) -> dict:
    """Read what `write_checkpoint` wrote, if it is of the same run."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # PyTorch does not compare the checksums that it writes
        saved = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        damaged = type(error).__name__
    if not damaged and not (isinstance(saved, dict) and isinstance(saved.get("identity", {}), dict)):
        damaged = f"it holds a {type(saved).__name__}"
    if damaged:
        raise ValueError(
            f"{path} is damaged or cut short ({damaged}), so no run can resume from it; remove it, and the "
            "same command begins again."
        )
    other = [key for key in identity if saved.get("identity", {}).get(key) != identity[key]]
    if other:
        raise ValueError(
            f"{path} was written by a run with other {' and '.join(other)}; resume with what it began with,"
            " or remove it to begin again."
        )
    return saved
