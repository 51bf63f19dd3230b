"""OpenAI's own CLIP files: a ViT becomes a CLIPModel of transformers; RN50 a timm model and a text half.

The files are TorchScript archives in half precision; a state dict of the same names is read as well. Sizes
are read off the weights. Activation and norms are OpenAI's, which are transformers' defaults.
"""

from pathlib import Path

import timm
import torch
from timm.models.byobnet import checkpoint_filter_fn
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig

from .key_maps import OPENAI_CLIP, rename
from .loading import count_heads, count_layers, fill, read_shapes, read_tensors, vit_sizes
from .torchscript import is_torchscript, read_torchscript

EXPECTED = "a CLIP file of OpenAI's, such as ViT-B-16.pt or RN50.pt (addresses in OpenAI's clip/clip.py)"


def read_openai(file: Path) -> dict[str, torch.Tensor]:
    """Read a file's weights by OpenAI's names."""
    return read_torchscript(file) if is_torchscript(file) else read_tensors(file)


def is_resnet(state: dict[str, torch.Tensor]) -> bool:
    """Whether the image half is a ResNet."""
    return any(name.startswith("visual.layer") for name in state)


def build_vit(state: dict[str, torch.Tensor], file: Path) -> CLIPModel:
    """Put a ViT's weights into transformers' model."""
    state, unknown = rename(state, OPENAI_CLIP)
    sizes = vit_sizes(state, "vision_model.", "position_embedding.weight", str(file), EXPECTED)
    vision, text = CLIPVisionConfig(**sizes), _text_config(state, file)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=text.projection_dim))
    fill(model, state, unknown, str(file), EXPECTED)
    return model


def build_resnet(state: dict[str, torch.Tensor], file: Path) -> tuple[nn.Module, CLIPTextModelWithProjection]:
    """Put RN50's weights into timm's image half and transformers' text half."""
    [projection] = read_shapes(state, ["visual.attnpool.c_proj.weight"], str(file), EXPECTED)
    image = timm.create_model("resnet50_clip", num_classes=projection[0])
    # Counters of batches change no feature, and not every file has them.
    own = image.state_dict()
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    fill(image, checkpoint_filter_fn(state, image) | counters, [], str(file), EXPECTED)
    rest = {name: value for name, value in state.items() if not name.startswith("visual.")}
    state, unknown = rename(rest, OPENAI_CLIP)
    state.pop("logit_scale", None)
    text = CLIPTextModelWithProjection(_text_config(state, file))
    fill(text, state, unknown, str(file), EXPECTED)
    return image, text


def _text_config(state: dict[str, torch.Tensor], file: Path) -> CLIPTextConfig:
    layers = "text_model.encoder.layers"
    names = "text_model.embeddings.token_embedding.weight", "text_model.embeddings.position_embedding.weight"
    names += "text_projection.weight", f"{layers}.0.mlp.fc1.weight"
    (words, width), positions, projection, mlp = read_shapes(state, names, str(file), EXPECTED)
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=mlp[0],
        num_hidden_layers=count_layers(state, layers),
        num_attention_heads=count_heads(width),
        vocab_size=words,
        max_position_embeddings=positions[0],
        projection_dim=projection[0],
        bos_token_id=words - 2,  # the last two tokens, always
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
