"""Clips through AIM; its files: our folders, the official checkpoints, towers from transformers and from timm."""

import json
import math
from pathlib import Path

import numpy as np
import timm
import torch
from timm.layers.activations import QuickGELU
from torch import nn
from transformers import AutoModel, CLIPVisionConfig, CLIPVisionModel
from transformers.utils import cached_file

from ..machine.files import read_json, replacing_files, write_json
from ..machine.tensors import read_weights, write_weights
from .aim_model import Aim, AimClassifier
from .base import Encoder, hash_weights, load_encoder, local_folder
from .hub import from_hub
from .key_maps import AIM, TIMM_VISION, rename
from .loading import fill, read_tensors

HEAD_WIDTH = 64  # of every CLIP; no weight tells how many heads there are
OFFICIAL_SCALES = {
    1: 0.5,
    2: 1.0,
}  # of the adapters beside the MLP, by num_tadapter: AIM's configurations of diving48 and of sthv2


class AimEncoder(Encoder):
    """Clips through a trained Aim. With the CLIP it was made from, frames and texts share that CLIP's joint space."""

    name = "aim"

    def __init__(self, backbone: Aim, clip: Encoder | None = None):
        super().__init__()
        self.backbone, self.clip = backbone, clip
        tower = backbone.tower.config
        self.image_size = tower.image_size
        self.mean, self.std = tuple(backbone.settings["mean"]), tuple(backbone.settings["std"])
        self.identity = {
            "family": self.name,
            "weights": hash_weights(backbone),
            "heads": tower.num_attention_heads,
            "activation": tower.hidden_act,
            "norm_eps": tower.layer_norm_eps,
            "scale": backbone.settings["scale"],
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
        features = self.backbone(self.prepare(frames).unflatten(0, frames.shape[:2]))
        return self.clip.model.visual_projection(features) if self.clip else features

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        if self.clip is None:
            raise ValueError(
                "this AIM was loaded without a text tower; pass clip=, the CLIP model that it was made from."
            )
        return self.clip.encode_texts(texts)


def start_aim(source: str, **settings) -> Aim:
    """Put fresh adapters on the vision tower of a CLIP: a hub id, a Hugging Face folder, or `timm:` and a timm model's name.

    settings: of `Aim`. timm's `vit_base_patch16_clip_224.openai` has GELU where OpenAI's weights want QuickGELU;
    take `vit_base_patch16_clip_quickgelu_224.openai`.
    """
    kind, _, name = source.rpartition(":")
    if kind == "timm":
        vit = timm.create_model(name, pretrained=True)
        mean, std = vit.pretrained_cfg["mean"], vit.pretrained_cfg["std"]
        return Aim(tower_from_timm(vit), mean=mean, std=std, source=source, **settings)
    model, preprocessing = from_hub(_read_hugging_face, source)
    return Aim(
        getattr(model, "vision_model", model),
        mean=preprocessing["image_mean"],
        std=preprocessing["image_std"],
        source=source,
        **settings,
    )


def _read_hugging_face(source: str, local_files_only: bool) -> tuple[nn.Module, dict]:
    preprocessing = cached_file(source, "preprocessor_config.json", local_files_only=local_files_only)
    model = AutoModel.from_pretrained(source, dtype=torch.float32, local_files_only=local_files_only)
    return model, json.loads(Path(preprocessing).read_text())


def tower_from_timm(vit: nn.Module) -> CLIPVisionModel:
    """A timm VisionTransformer of CLIP's kind (class token, norm before the blocks, no patch bias) as transformers' tower."""
    attention, mlp = vit.blocks[0].attn, vit.blocks[0].mlp
    tower = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=vit.embed_dim,
            intermediate_size=mlp.fc1.out_features,
            num_hidden_layers=len(vit.blocks),
            num_attention_heads=attention.num_heads,
            image_size=vit.patch_embed.img_size[0],
            patch_size=vit.patch_embed.patch_size[0],
            hidden_act="quick_gelu" if isinstance(mlp.act, QuickGELU) else "gelu",
            layer_norm_eps=vit.norm.eps,
        )
    )
    state, unknown = rename(
        {name: value for name, value in vit.state_dict().items() if not name.startswith("head.")}, TIMM_VISION
    )
    for name in state.keys() & {"embeddings.class_embedding", "embeddings.position_embedding.weight"}:
        state[name] = state[name].flatten(0, -2).squeeze(0)  # timm keeps a batch axis
    fill(tower, state, unknown, "this timm model", "a CLIP ViT such as vit_base_patch16_clip_quickgelu_224")
    return tower


def save_pretrained(model: Aim | AimClassifier, folder: Path) -> None:
    """Write config.json and model.safetensors: the whole model, so that its CLIP is not needed to read it."""
    backbone = getattr(model, "backbone", model)
    head = {"labels": model.labels, "dropout": model.dropout.p} if isinstance(model, AimClassifier) else None
    with replacing_files(folder, "config.json") as temporary:
        write_weights(model.state_dict(), temporary / "model.safetensors")
        write_json(
            {"tower": backbone.tower.config.to_diff_dict(), "aim": backbone.settings, "head": head},
            temporary / "config.json",
        )


def load_pretrained(weights: str | Path, **official) -> Aim | AimClassifier:
    """Read what `save_pretrained` wrote, as the class that was saved; a path to a file is read by `load_official`. In eval mode."""
    folder = Path(local_folder(str(weights)))
    if folder.is_file():
        return load_official(folder, **official)
    config = read_json(folder / "config.json") if (folder / "config.json").exists() else {}
    if "tower" not in config:  # a folder of another model, such as a CLIP, has a config.json too
        raise FileNotFoundError(
            f"{weights} is no checkpoint file and holds no config.json of an AIM; train one with "
            "`tfcovr teach`, or pass an official checkpoint file."
        )
    model = Aim(CLIPVisionModel(CLIPVisionConfig.from_dict(config["tower"])), **config["aim"])
    if config["head"]:
        model = AimClassifier(model, **config["head"])
    fill(
        model,
        read_weights(folder / "model.safetensors"),
        [],
        str(weights),
        "a folder whose two files belong together",
    )
    return model.eval()


def load_official(
    path: Path, *, scale: float | None = None, heads: int | None = None, labels: list[str] | None = None
) -> AimClassifier:
    """Load a recogniser's checkpoint of AIM's authors, or TF-CoVR's stage 1, in eval mode. Sizes are read off the weights.

    scale stands in the training configuration alone. Unless given it is what the official ones have: 1 with two temporal
    adapters (Something-Something), .5 with one (Kinetics, Diving48). heads: the width / 64 unless given. labels: in the
    order of the classes; their numbers unless given.
    """
    state = read_tensors(path)
    weights, unknown = rename(state, AIM)
    expected = "a recogniser's checkpoint of AIM with backbone.* and cls_head.*"
    needed = [
        "backbone.conv1.weight",
        "backbone.positional_embedding",
        "backbone.temporal_embedding",
        "cls_head.fc_cls.weight",
        "backbone.transformer.resblocks.0.mlp.c_fc.weight",
        "backbone.transformer.resblocks.0.S_Adapter.D_fc1.weight",
    ]
    if missing := [name for name in needed if name not in state]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; pass {expected}.")
    patches, positions, temporal, classes, mlp, adapter = (state[name].shape for name in needed)
    width, patch_size = patches[0], patches[-1]
    layers = {name.split(".")[3] for name in state if name.startswith("backbone.transformer.")}
    tower = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=mlp[0],
            num_hidden_layers=len(layers),
            num_attention_heads=heads or width // HEAD_WIDTH,
            image_size=patch_size * math.isqrt(positions[0] - 1),
            patch_size=patch_size,
        )
    )
    num_tadapter = 2 if any("T_Adapter_in" in name for name in state) else 1
    aim = Aim(
        tower,
        num_frames=temporal[1],
        num_tadapter=num_tadapter,
        scale=OFFICIAL_SCALES[num_tadapter] if scale is None else scale,
        adapter_ratio=adapter[0] / width,
        source=Path(path).name,
    )
    model = AimClassifier(aim, labels or [str(label) for label in range(classes[0])])
    if len(model.labels) != classes[0]:
        raise ValueError(
            f"labels are {len(model.labels)}, but {path} has {classes[0]} classes; pass one label a class."
        )
    fill(model, weights, unknown, str(path), expected)
    return model.eval()
