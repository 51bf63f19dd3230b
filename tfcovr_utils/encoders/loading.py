"""Checkpoint files of others: read without running anything that they name, and loaded with every key accounted for."""

import pickle
import re
from pathlib import Path

import torch
from torch import nn


class CosineSchedule:
    """Stands in for the official scheduler: keeps the numbers, does nothing."""


def read_checkpoint(path: Path) -> dict:
    """Read a checkpoint of tensors and plain data; the official scheduler in it becomes an empty stand-in."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected a checkpoint file such as best_val_*.ckpt.")
    try:
        with torch.serialization.safe_globals([(CosineSchedule, "src.tools.scheduler.CosineSchedule")]):
            read = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it names {named[1]}" if named else f"{type(error).__name__}"
        raise ValueError(
            f"{path} holds more than tensors and plain data, or is cut short ({reason}), so it was refused and nothing of it "
            "was run; get the file again from its owner."
        ) from error
    if not isinstance(read, dict):
        raise ValueError(
            f"{path} holds a {type(read).__name__}; expected a dict with the weights under 'model'."
        )
    return read


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the state dict of a .pth or .ckpt, itself or under "state_dict" or "model", without the prefixes of parallel training."""
    read = read_checkpoint(path)
    for key in ("state_dict", "model"):
        if isinstance(read.get(key), dict):
            read = read[key]
    if not all(isinstance(value, torch.Tensor) for value in read.values()):
        raise ValueError(
            f"{path} holds no state dict, nor one under 'state_dict' or 'model'; pass a checkpoint of weights."
        )
    return {re.sub(r"^(_forward_module\.|module\.)+", "", name): value for name, value in read.items()}


def fill(
    model: nn.Module, state: dict[str, torch.Tensor], unknown: list[str], given: str, expected: str
) -> None:
    """Load weights of which none may be missing, left over or of another shape."""
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    wrong = {
        "lacks": sorted(shapes.keys() - state.keys()),
        "also holds": sorted([*unknown, *(state.keys() - shapes.keys())]),
        "has in another shape": sorted(
            name for name in shapes.keys() & state.keys() if shapes[name] != state[name].shape
        ),
    }
    if any(wrong.values()):
        said = "; ".join(f"{what} {', '.join(names)}" for what, names in wrong.items() if names)
        raise ValueError(f"{given} {said}; pass {expected}.")
    model.load_state_dict(state)
