"""OpenAI's own CLIP files: a ViT becomes transformers' CLIPModel, RN50 an image half in timm and a text half in transformers.

The files are TorchScript archives in half precision; a state dict of the same names is read as well. Sizes are read
off the weights. Activation and norms are OpenAI's, which are transformers' defaults.
"""

import math
import warnings
import zipfile
from pathlib import Path

import timm
import torch
from timm.models.byobnet import checkpoint_filter_fn
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig

from .key_maps import OPENAI_CLIP, OPENAI_TEXT, rename
from .loading import count_heads, count_layers, fill, read_shapes, read_tensors

EXPECTED = (
    "a CLIP file of OpenAI's, such as ViT-B-16.pt or RN50.pt (OpenAI's clip/clip.py holds the addresses)"
)
MLP = "transformer.resblocks.0.mlp.c_fc.weight"


def read_openai(file: Path) -> dict[str, torch.Tensor]:
    """Read a file's weights by OpenAI's names."""
    if not (
        zipfile.is_zipfile(file)
        and any(n.endswith("/constants.pkl") for n in zipfile.ZipFile(file).namelist())
    ):
        return read_tensors(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is deprecated, but made OpenAI's files
        return torch.jit.load(file, map_location="cpu").state_dict()


def is_resnet(state: dict[str, torch.Tensor]) -> bool:
    """Whether the image half is a ResNet."""
    return any(name.startswith("visual.layer") for name in state)


def build_vit(state: dict[str, torch.Tensor], file: Path) -> CLIPModel:
    """Put a ViT's weights into transformers' model."""
    names = ["visual.conv1.weight", "visual.positional_embedding", f"visual.{MLP}"]
    patches, positions, mlp = read_shapes(state, names, str(file), EXPECTED)
    vision = CLIPVisionConfig(
        **_transformer(state, "visual.", mlp),
        patch_size=patches[-1],
        image_size=patches[-1] * math.isqrt(positions[0] - 1),
    )
    text = _text_config(state, file)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=text.projection_dim))
    fill(model, *rename(state, OPENAI_CLIP), str(file), EXPECTED)
    return model


def build_resnet(state: dict[str, torch.Tensor], file: Path) -> tuple[nn.Module, CLIPTextModelWithProjection]:
    """Put RN50's weights into timm's image half and transformers' text half."""
    [projection] = read_shapes(state, ["visual.attnpool.c_proj.weight"], str(file), EXPECTED)
    image = timm.create_model("resnet50_clip", num_classes=projection[0])
    text = CLIPTextModelWithProjection(_text_config(state, file))
    # Counters of batches change no feature, and not every file has them.
    counters = {
        name: value for name, value in image.state_dict().items() if name.endswith("num_batches_tracked")
    }
    fill(image, checkpoint_filter_fn(state, image) | counters, [], str(file), EXPECTED)
    rest = {
        name: value
        for name, value in state.items()
        if not name.startswith("visual.") and name != "logit_scale"
    }
    fill(text, *rename(rest, OPENAI_TEXT), str(file), EXPECTED)
    return image, text


def _transformer(state: dict[str, torch.Tensor], prefix: str, mlp: torch.Size) -> dict[str, int]:
    """Sizes of the transformer whose names begin with `prefix`, in transformers' words."""
    return {
        "hidden_size": mlp[1],
        "intermediate_size": mlp[0],
        "num_hidden_layers": count_layers(state, f"{prefix}transformer.resblocks"),
        "num_attention_heads": count_heads(mlp[1], None, "heads"),
    }


def _text_config(state: dict[str, torch.Tensor], file: Path) -> CLIPTextConfig:
    names = ["token_embedding.weight", "positional_embedding", "text_projection", MLP]
    (vocabulary, _), positions, projection, mlp = read_shapes(state, names, str(file), EXPECTED)
    start, end = vocabulary - 2, vocabulary - 1  # the last two tokens, always
    return CLIPTextConfig(
        **_transformer(state, "", mlp),
        vocab_size=vocabulary,
        max_position_embeddings=positions[0],
        projection_dim=projection[1],
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
    )
