"""Trained models as two files of a folder: sizes as JSON, written last, and weights as safetensors."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from ..encoders.loading import check_names
from ..machine.files import read_json, replacing_files, write_json
from ..machine.tensors import read_weights, write_weights

NAMES = ("config.json", "model.safetensors")
ADVICE = "give the folder that its training wrote."
LARGEST = 65536  # of a size in a configuration, unless some weight is larger


def save_model(model: nn.Module, config: dict, folder: Path, names=NAMES) -> None:
    """Write a model's configuration and its weights."""
    with replacing_files(folder, names[0]) as temporary:
        write_weights(model.state_dict(), temporary / names[1])
        write_json(config, temporary / names[0])


def load_model(build: Callable[[dict], nn.Module], what: str, folder: Path, names=NAMES) -> nn.Module:
    """Read what `save_model` wrote, in eval mode. build: configuration -> model; what: names it in sentences.

    The sizes are compared with the weights before memory is taken for them.
    """
    for name in names:
        if not (Path(folder) / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name} of {what}; {ADVICE}")
    config, state = read_json(Path(folder) / names[0]), read_weights(Path(folder) / names[1])
    try:
        check_sizes(config, state)
        with torch.device("meta"):
            shapes = {name: value.shape for name, value in build(config).state_dict().items()}
    except Exception as error:  # libraries' constructors raise errors of many kinds
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        raise ValueError(f"{folder}'s {names[0]} describes no {what[2:]} ({reason}); {ADVICE}") from error
    misshapen = [name for name in shapes.keys() & state.keys() if shapes[name] != state[name].shape]
    given = shapes.keys() - state.keys(), state.keys() - shapes.keys(), misshapen
    check_names(str(folder), f"the two files that one training of {what} wrote", *given)
    model = build(config)
    model.load_state_dict(state)
    return model.eval()


def check_sizes(config: dict, state: dict[str, torch.Tensor]) -> None:
    """Refuse sizes that the weights cannot have: these would fill the memory, or take for ever to build."""
    largest = max([LARGEST, *(size for value in state.values() for size in value.shape)])
    for name, size in _sizes(config):
        if size > (most := len(state) if "layers" in name else largest):
            raise ValueError(f"{name} is {size}, and the weights have room for {most}")


def _sizes(config: dict) -> Iterator[tuple[str, int]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _sizes(value)
        elif isinstance(value, int):
            yield name, value
