"""CLIP from OpenAI's own checkpoint files: ViT into transformers' CLIPModel, RN50 into timm and transformers' text tower.

The files are TorchScript archives in half precision; a state dict of the same names is read as well. Sizes are read
off the weights. Activation and norms are OpenAI's, which are transformers' defaults.
"""

import math
import warnings
import zipfile
from pathlib import Path

import numpy as np
import timm
import torch
from timm.models.byobnet import checkpoint_filter_fn
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ..profiles import ROOT
from .aim import HEAD_WIDTH
from .base import Encoder, hash_weights
from .hub import LateTokenizer
from .key_maps import OPENAI_VISION, rename
from .loading import fill, read_tensors

SUFFIXES = (".pt", ".pth", ".bin")
EXPECTED = "a CLIP file of OpenAI's, such as ViT-B-16.pt or RN50.pt"
REPEATED = {
    "input_resolution",
    "context_length",
    "vocab_size",
}  # sizes that the archives hold beside the weights

OPENAI_TEXT = [
    (pattern, "text_model." + new) for pattern, new in OPENAI_VISION if pattern.startswith("transformer")
] + [
    (r"token_embedding\.weight", r"text_model.embeddings.token_embedding.weight"),
    (r"positional_embedding", r"text_model.embeddings.position_embedding.weight"),
    (r"ln_final\.(\w+)", r"text_model.final_layer_norm.\1"),
    (r"text_projection", r"text_projection.weight"),
]
OPENAI_CLIP = (
    OPENAI_TEXT
    + [(r"visual\." + pattern, "vision_model." + new) for pattern, new in OPENAI_VISION]
    + [(r"visual\.proj", r"visual_projection.weight"), (r"logit_scale", r"logit_scale")]
)


class ClipResNetEncoder(Encoder):
    """OpenAI's CLIP with a ResNet. The read-out "pooled" is what its attention pooled, before the projection."""

    name = "clip"

    def __init__(
        self, image: nn.Module, text: CLIPTextModelWithProjection, tokenizer, read_out: str = "projected"
    ):
        super().__init__()
        self.image, self.text, self.tokenizer, self.read_out = image, text, tokenizer, read_out
        self.image_size = image.default_cfg["input_size"][-1]
        self.mean, self.std = tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD)
        self.identity = {
            "family": self.name,
            "weights": hash_weights(self),
            "read_out": read_out,
            "mean": self.mean,
            "std": self.std,
        }

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        maps = self.image.forward_features(self.prepare(frames))
        return self.image.forward_head(maps, pre_logits=self.read_out == "pooled").unflatten(
            0, frames.shape[:2]
        )

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        tokens = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.text.config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.device)
        return self.text(**tokens).text_embeds


def read_openai(path: str) -> dict[str, torch.Tensor]:
    """Read a file's weights by OpenAI's names; a path may begin at the project's root."""
    file = next((file for file in (ROOT / path, Path(path)) if file.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"{path} is not there; put {EXPECTED} there (the addresses stand in OpenAI's clip/clip.py), "
            "or pass a hub id such as openai/clip-vit-base-patch16."
        )
    archive = zipfile.is_zipfile(file) and any(
        name.endswith("/constants.pkl") for name in zipfile.ZipFile(file).namelist()
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # torch.jit is deprecated, and is what OpenAI's files are made with
        state = torch.jit.load(file, map_location="cpu").state_dict() if archive else read_tensors(file)
    state = {name: value for name, value in state.items() if name not in REPEATED}
    needed = [
        "token_embedding.weight",
        "positional_embedding",
        "text_projection",
        "transformer.resblocks.0.mlp.c_fc.weight",
        *(
            ["visual.attnpool.c_proj.weight"]
            if is_resnet(state)
            else [
                "visual.conv1.weight",
                "visual.positional_embedding",
                "visual.transformer.resblocks.0.mlp.c_fc.weight",
            ]
        ),
    ]
    if missing := [name for name in needed if name not in state]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; pass {EXPECTED}.")
    return state


def is_resnet(state: dict[str, torch.Tensor]) -> bool:
    return any(name.startswith("visual.layer") for name in state)


def build_vit(state: dict[str, torch.Tensor], path: str) -> CLIPModel:
    """Put a ViT's weights into transformers' model."""
    kernel, positions = state["visual.conv1.weight"].shape, len(state["visual.positional_embedding"])
    vision = CLIPVisionConfig(
        **_transformer(state, "visual."),
        patch_size=kernel[-1],
        image_size=kernel[-1] * math.isqrt(positions - 1),
    )
    text = _text_config(state)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=text.projection_dim))
    fill(model, *_rename(state, OPENAI_CLIP), path, EXPECTED)
    return model


def build_resnet(
    state: dict[str, torch.Tensor], path: str, tokenizer: LateTokenizer, read_out: str
) -> ClipResNetEncoder:
    """Put RN50's weights into timm's image half and transformers' text half."""
    image = timm.create_model("resnet50_clip", num_classes=len(state["visual.attnpool.c_proj.weight"]))
    text = CLIPTextModelWithProjection(_text_config(state))
    # Counters of batches decide no feature, and not every file has them.
    counters = {
        name: value for name, value in image.state_dict().items() if name.endswith("num_batches_tracked")
    }
    fill(image, checkpoint_filter_fn(state, image) | counters, [], path, EXPECTED)
    fill(
        text,
        *_rename(
            {
                name: value
                for name, value in state.items()
                if not name.startswith("visual.") and name != "logit_scale"
            },
            OPENAI_TEXT,
        ),
        path,
        EXPECTED,
    )
    return ClipResNetEncoder(image, text, tokenizer, read_out)


def _transformer(state: dict[str, torch.Tensor], prefix: str) -> dict[str, int]:
    """Sizes of the transformer whose names begin so, as transformers calls them."""
    hidden, width = state[f"{prefix}transformer.resblocks.0.mlp.c_fc.weight"].shape
    blocks = {
        name.removeprefix(prefix).split(".")[2]
        for name in state
        if name.startswith(f"{prefix}transformer.resblocks.")
    }
    return {
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": len(blocks),
        "num_attention_heads": width // HEAD_WIDTH,
    }


def _text_config(state: dict[str, torch.Tensor]) -> CLIPTextConfig:
    vocabulary = len(state["token_embedding.weight"])
    start, end = vocabulary - 2, vocabulary - 1  # the last two tokens, always
    return CLIPTextConfig(
        **_transformer(state, ""),
        vocab_size=vocabulary,
        max_position_embeddings=len(state["positional_embedding"]),
        projection_dim=state["text_projection"].shape[1],
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
    )


def _rename(state: dict[str, torch.Tensor], table: list) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Rename by a table; OpenAI multiplies by its projections from the other side."""
    return rename(
        {
            name: value.T if name in ("visual.proj", "text_projection") else value
            for name, value in state.items()
        },
        table,
    )
