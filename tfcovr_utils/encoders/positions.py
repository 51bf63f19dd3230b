"""Learned position embeddings, resized to another number of frames or another image size."""

import torch
from torch import nn
from torch.nn import functional as F


def interpolate_time(embedding: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Resize an embedding over time (1, T, W) to another number of frames, linearly between neighbours.

    >>> interpolate_time(torch.tensor([[[0.0], [1.0]]]), 4).flatten().tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    if num_frames == embedding.shape[1]:
        return embedding
    return F.interpolate(embedding.transpose(1, 2), num_frames, mode="linear").transpose(1, 2)


def resize_positions(model: nn.Module, image_size: int | None) -> None:
    """Resize the positions of a BLIP's or BLIP-2's ViT to another image size, bicubic as officially; None keeps them."""
    config, embeddings = model.config.vision_config, model.vision_model.embeddings
    if image_size in (None, config.image_size):
        return
    side, rest = divmod(image_size, config.patch_size)
    if rest or not side:
        raise ValueError(
            f"image_size={image_size} is no multiple of a patch's {config.patch_size} pixels; "
            f"choose for example {(side + 1) * config.patch_size}."
        )
    tokens = torch.empty(
        1, side**2 + 1, config.hidden_size
    )  # patches and the class token; only the shape counts
    resized = embeddings.interpolate_pos_encoding(tokens, image_size, image_size)
    embeddings.position_embedding = nn.Parameter(resized.detach())
    embeddings.num_patches, embeddings.num_positions = side**2, side**2 + 1
    for sized in (embeddings, model.vision_model.config, config):
        sized.image_size = image_size
