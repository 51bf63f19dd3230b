"""Clips through AIM; its files are our folders and the official checkpoints."""

import math
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from ..machine.files import read_json, replacing_files, write_json
from ..machine.tensors import read_weights, write_weights
from .aim_model import Aim, AimClassifier
from .base import Encoder, describe_towers, hash_weights, load_encoder, local_folder
from .key_maps import AIM, rename
from .loading import count_heads, count_layers, fill, find_file, read_shapes, read_tensors

EXPECTED = "a recogniser's checkpoint of AIM with backbone.* and cls_head.*"
# Of the adapters beside the MLP, by num_tadapter: AIM's configurations of diving48 and of sthv2.
OFFICIAL_SCALES = {1: 0.5, 2: 1.0}


class AimEncoder(Encoder):
    """Clips through a trained Aim. With the CLIP it was made from, frames and texts share that CLIP's joint space."""

    name = "aim"

    def __init__(self, backbone: Aim, clip: Encoder | None = None):
        super().__init__()
        self.backbone, self.clip = backbone, clip
        tower, settings = backbone.tower.config, backbone.settings
        self.image_size, self.mean, self.std = (
            tower.image_size,
            tuple(settings["mean"]),
            tuple(settings["std"]),
        )
        self.identity = {
            "encoder": self.name,
            "weights": hash_weights(backbone),
            **describe_towers(tower),
            "scale": settings["scale"],
            "mean": self.mean,
            "std": self.std,
            "clip": clip.identity if clip else None,
        }

    @classmethod
    def load(cls, weights: str | Path, clip: str | None = None, **official) -> "AimEncoder":
        """Read a folder of `save_pretrained`, or an official checkpoint file (`official`: options of `load_official`).

        clip: hub id or folder of the CLIP model that the tower comes from. With it frame features go through its visual
        projection and texts through its text tower; without it they are the paper's raw features, and no text is read.
        """
        model = load_pretrained(weights, **official)
        return cls(getattr(model, "backbone", model), load_encoder("clip", clip) if clip else None)

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw features (N, T, D), of each frame among the others of its clip."""
        features = self.backbone(self.prepare(frames).unflatten(0, frames.shape[:2]))
        return self.clip.model.visual_projection(features) if self.clip else features

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> raw features of its CLIP (M, D)."""
        if self.clip is None:
            raise ValueError(
                "this AIM was loaded without a text tower; pass clip=, the CLIP model it was made from."
            )
        return self.clip.encode_texts(texts)


def save_pretrained(model: Aim | AimClassifier, folder: Path) -> None:
    """Write config.json and model.safetensors: the whole model, so that its CLIP is not needed to read it."""
    backbone = getattr(model, "backbone", model)
    head = {"labels": model.labels, "dropout": model.dropout.p} if isinstance(model, AimClassifier) else None
    config = {"tower": backbone.tower.config.to_diff_dict(), "aim": backbone.settings, "head": head}
    with replacing_files(folder, "config.json") as temporary:
        write_weights(model.state_dict(), temporary / "model.safetensors")
        write_json(config, temporary / "config.json")


def load_pretrained(weights: str | Path, **official) -> Aim | AimClassifier:
    """Read what `save_pretrained` wrote, as the class that was saved, or a file with `load_official`. In eval mode."""
    if file := find_file(weights, EXPECTED):
        return load_official(file, **official)
    folder = Path(local_folder(str(weights)))
    config = read_json(folder / "config.json") if (folder / "config.json").exists() else {}
    if "tower" not in config:  # a folder of another model, such as a CLIP, has a config.json too
        raise FileNotFoundError(
            f"{weights} is no checkpoint file and holds no config.json of an AIM; train one with `tfcovr teach`, or pass an "
            "official checkpoint file."
        )
    model = Aim(CLIPVisionModel(CLIPVisionConfig.from_dict(config["tower"])), **config["aim"])
    if config["head"]:
        model = AimClassifier(model, **config["head"])
    state = read_weights(folder / "model.safetensors")
    fill(model, state, [], str(weights), "a folder whose two files belong together")
    return model.eval()


def load_official(
    path: Path, *, scale: float | None = None, heads: int | None = None, labels: list[str] | None = None
) -> AimClassifier:
    """Load a recogniser's checkpoint of AIM's authors, or TF-CoVR's stage 1, in eval mode. Sizes are read off the weights.

    scale: of the adapters beside the MLP, which only the training configuration names; by default the official one. heads:
    the width / 64 unless given. labels: in the order of the classes; their numbers unless given.
    """
    state, unknown = rename(read_tensors(path), AIM)
    names = (
        "backbone.tower.embeddings.patch_embedding.weight",
        "backbone.tower.embeddings.position_embedding.weight",
        "backbone.temporal_embedding",
        "fc_cls.weight",
        "backbone.tower.encoder.layers.0.mlp.fc1.weight",
        "backbone.adapters.0.S_Adapter.D_fc1.weight",
    )
    patches, positions, temporal, head, mlp, adapter = read_shapes(state, names, str(path), EXPECTED)
    labels = labels or [str(label) for label in range(head[0])]
    if len(labels) != head[0]:
        raise ValueError(
            f"labels are {len(labels)}, but {path} has {head[0]} classes; pass one label a class."
        )
    config = CLIPVisionConfig(
        hidden_size=patches[0],
        intermediate_size=mlp[0],
        num_hidden_layers=count_layers(state, "backbone.tower.encoder.layers"),
        num_attention_heads=count_heads(patches[0], heads, "heads"),
        image_size=patches[-1] * math.isqrt(positions[0] - 1),
        patch_size=patches[-1],
    )
    num_tadapter = 2 if any("T_Adapter_in" in name for name in state) else 1
    aim = Aim(
        CLIPVisionModel(config),
        num_frames=temporal[1],
        num_tadapter=num_tadapter,
        scale=OFFICIAL_SCALES[num_tadapter] if scale is None else scale,
        adapter_ratio=adapter[0] / patches[0],
        source=Path(path).name,
    )
    model = AimClassifier(aim, labels)
    fill(model, state, unknown, str(path), EXPECTED)
    return model.eval()
