"""The owners' numbers: for each fixture its tensors, and the JSON that tells sizes and tolerances."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

# Another set of fixtures, of other sizes, passes the same tests: name its folder here.
FIXTURES = Path(os.environ.get("TFCOVR_FIXTURES") or Path(__file__).parent / "fixtures")


def golden(name: str) -> tuple[dict[str, torch.Tensor], dict]:
    """Read a fixture."""
    return load_file(FIXTURES / f"{name}.safetensors"), json.loads((FIXTURES / f"{name}.json").read_text())


def weights(fixture: dict) -> dict[str, torch.Tensor]:
    """Take the official state dict out of a fixture's tensors."""
    parts = {key.partition("."): value for key, value in fixture.items()}
    return {name: value for (kind, _, name), value in parts.items() if kind == "weights"}


def save_golden(folder: Path, name: str, tensors: dict, config: dict, **facts) -> None:
    """Write a fixture of this name, with the owners' JSON where `config` and `facts` say nothing else."""
    tensors = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    save_file(tensors, folder / f"{name}.safetensors")
    said = golden(name)[1]
    (folder / f"{name}.json").write_text(json.dumps({**said, "config": said["config"] | config, **facts}))
