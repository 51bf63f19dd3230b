"""Clips through AIM; its files are our folders and the official checkpoints."""

from pathlib import Path

import numpy as np
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from ..machine.files import read_json, replacing_files, write_json
from ..machine.tensors import read_weights, write_weights
from .aim_model import Aim, AimClassifier
from .base import Encoder, local_folder
from .key_maps import AIM, rename
from .loading import fill, find_file, read_shapes, read_tensors, vit_sizes

EXPECTED = "a recogniser's checkpoint of AIM with backbone.* and cls_head.*"
# Of the adapters beside the MLP, by num_tadapter: AIM's configurations of diving48 and of sthv2.
OFFICIAL_SCALES = {1: 0.5, 2: 1.0}


class AimEncoder(Encoder):
    """Clips through a trained Aim; its frame features are raw, and it reads no text."""

    name = "aim"

    def __init__(self, backbone: Aim):
        super().__init__()
        self.backbone = backbone
        tower, settings = backbone.tower.config, backbone.settings
        self.image_size, self.mean, self.std = (
            tower.image_size,
            tuple(settings["mean"]),
            tuple(settings["std"]),
        )
        self.identify(backbone, tower, scale=settings["scale"])

    @classmethod
    def load(cls, weights: str | Path, **official) -> "AimEncoder":
        """Read a folder of `save_pretrained`, or a file with `load_official` and its options."""
        model = load_pretrained(weights, **official)
        return cls(getattr(model, "backbone", model))

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw features of each frame within its clip (N, T, D)."""
        return self.backbone(self.prepare(frames).unflatten(0, frames.shape[:2]))


def save_pretrained(model: Aim | AimClassifier, folder: Path) -> None:
    """Write config.json and model.safetensors: the whole model, which is read without its CLIP."""
    backbone = getattr(model, "backbone", model)
    head = {"labels": model.labels, "dropout": model.dropout.p} if isinstance(model, AimClassifier) else None
    config = {"tower": backbone.tower.config.to_diff_dict(), "aim": backbone.settings, "head": head}
    with replacing_files(folder, "config.json") as temporary:
        write_weights(model.state_dict(), temporary / "model.safetensors")
        write_json(config, temporary / "config.json")


def load_pretrained(weights: str | Path, **official) -> Aim | AimClassifier:
    """Read the model that `save_pretrained` wrote, or a file with `load_official`, in eval mode."""
    if file := find_file(weights, EXPECTED):
        return load_official(file, **official)
    folder = Path(local_folder(str(weights)))
    config = read_json(folder / "config.json") if (folder / "config.json").exists() else {}
    if "tower" not in config:  # a folder of another model, such as a CLIP, has a config.json too
        raise FileNotFoundError(
            f"{weights} is no checkpoint file and holds no config.json of an AIM; "
            "train one with `tfcovr teach`, or pass an official checkpoint file."
        )
    model = Aim(CLIPVisionModel(CLIPVisionConfig.from_dict(config["tower"])), **config["aim"])
    if config["head"]:
        model = AimClassifier(model, **config["head"])
    state = read_weights(folder / "model.safetensors")
    fill(model, state, [], str(weights), "a folder whose two files belong together")
    return model.eval()


def load_official(path: Path, scale: float | None = None, heads: int | None = None) -> AimClassifier:
    """Load a recogniser's checkpoint of AIM's authors, or TF-CoVR's stage 1, in eval mode.

    Sizes are read off the weights; labels are the numbers of the classes. scale: of the adapters beside the
    MLP, by default the official one, since no weight holds it. heads: by default the width / 64.
    """
    state, unknown = rename(read_tensors(path), AIM)
    at = "backbone.tower.", "position_embedding.weight", str(path), EXPECTED
    config = CLIPVisionConfig(**vit_sizes(state, *at, {"given": heads}))
    names = "backbone.temporal_embedding", "fc_cls.weight", "backbone.adapters.0.S_Adapter.D_fc1.weight"
    temporal, head, adapter = read_shapes(state, names, str(path), EXPECTED)
    num_tadapter = 2 if any("T_Adapter_in" in name for name in state) else 1
    aim = Aim(
        CLIPVisionModel(config),
        num_frames=temporal[1],
        num_tadapter=num_tadapter,
        scale=OFFICIAL_SCALES[num_tadapter] if scale is None else scale,
        adapter_ratio=adapter[0] / config.hidden_size,
        source=Path(path).name,
    )
    model = AimClassifier(aim, [str(label) for label in range(head[0])])
    fill(model, state, unknown, str(path), EXPECTED)
    return model.eval()
