"""Published checkpoint files: read without running code in them, every key accounted for."""

import math
import pickle
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from ..machine.tensors import read_weights
from ..profiles import ROOT

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
HEAD_WIDTH = 64  # of CLIP and BERT; the number of heads is in no weight
MOST_NAMES = 5  # of weights in an error message


class WrongWeights(ValueError):
    """The weights belong to another model than the one they should fill."""


class CosineSchedule:
    """Replaces the official scheduler object in a checkpoint: it keeps the numbers and does nothing."""


def find_file(weights: str | Path, expected: str) -> Path | None:
    """Return the checkpoint file that `weights` names, perhaps below the project's root; else None."""
    if Path(weights).suffix not in SUFFIXES:
        return None
    for path in (ROOT / weights, Path(weights)):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{weights} does not exist; put {expected} there.")


def read_checkpoint(path: Path) -> dict:
    """Read a checkpoint of tensors and plain data; the official scheduler in it becomes an empty object."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected a checkpoint file such as best_val_*.ckpt.")
    try:
        with torch.serialization.safe_globals([(CosineSchedule, "src.tools.scheduler.CosineSchedule")]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it names {named[1]}" if named else f"{type(error).__name__}"
        raise ValueError(
            f"{path} holds more than tensors and plain data, or is cut short ({reason}), so it was refused "
            "and nothing of it was run; get the file again from its owner."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a {type(content).__name__}; expected a dict with the weights under 'model'."
        )
    return content


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read safetensors, or a state dict, itself or under "state_dict" or "model".

    Prefixes of parallel training are removed from the names.
    """
    state = read_weights(path) if Path(path).suffix == ".safetensors" else read_checkpoint(path)
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(
            f"{path} holds no state dict, nor one under 'state_dict' or 'model'; pass a checkpoint."
        )
    return {re.sub(r"^(_forward_module\.|module\.)+", "", name): value for name, value in state.items()}


def read_shapes(state: dict[str, torch.Tensor], names: Iterable[str], given: str, expected: str) -> list:
    """Return the shapes of these weights, off which a model's sizes are read."""
    check_names(given, expected, lacks=[name for name in names if name not in state])
    return [state[name].shape for name in names]


def vit_sizes(
    state: dict, prefix: str, positions: str, given: str, expected: str, heads: dict | None = None
) -> dict[str, int]:
    """Read a ViT's sizes, in transformers' words, off its weights. heads: options of `count_heads`."""
    names = f"{prefix}embeddings.patch_embedding.weight", f"{prefix}embeddings.{positions}"
    names += (f"{prefix}encoder.layers.0.mlp.fc1.weight",)
    patches, (*_, places, width), mlp = read_shapes(state, names, given, expected)
    return {
        "hidden_size": width,
        "intermediate_size": mlp[0],
        "num_hidden_layers": count_layers(state, f"{prefix}encoder.layers"),
        "num_attention_heads": count_heads(width, **heads or {}),
        "patch_size": patches[-1],
        "image_size": patches[-1] * math.isqrt(places - 1),  # the class token has a place too
    }


def count_layers(state: dict, layers: str) -> int:
    """Count the layers whose names begin with `layers`, a dot and the layer's number.

    >>> count_layers({"blocks.0.bias": 1, "blocks.1.bias": 1, "blocks.1.weight": 1}, "blocks")
    2
    """
    begin = f"{layers}."
    return len({name.removeprefix(begin).split(".")[0] for name in state if name.startswith(begin)})


def count_heads(
    width: int, given: int | None = None, option: str = "heads", head_width: int = HEAD_WIDTH
) -> int:
    """Return the number of heads: the option's value, else the usual number for this width."""
    heads = width // head_width if given is None else given
    if not heads or width % heads:
        raise ValueError(
            f"{option}={heads} does not divide a width of {width}; "
            f"pass the {option} that this checkpoint was trained with."
        )
    return heads


def check_names(
    given: str, expected: str, lacks: Iterable = (), more: Iterable = (), misshapen: Iterable = ()
) -> None:
    """Raise WrongWeights if `given` lacks names, holds more than its model has, or has other shapes."""
    said = []
    for what, names in (("lacks", lacks), ("also holds", more), ("has in another shape", misshapen)):
        if names := sorted(names):
            rest = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            said.append(f"{what} {', '.join(names[:MOST_NAMES])}{rest}")
    if said:
        raise WrongWeights(f"{given} {'; '.join(said)}; pass {expected}.")


def fill(model: nn.Module, state: dict, unknown: list[str], given: str, expected: str) -> None:
    """Load weights of which none may be missing, left over or of another shape."""
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    misshapen = [name for name in shapes.keys() & state.keys() if shapes[name] != state[name].shape]
    more = {*unknown, *state} - shapes.keys()
    check_names(given, expected, shapes.keys() - state.keys(), more, misshapen)
    model.load_state_dict(state)
