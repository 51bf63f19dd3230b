"""Names of weights: the layouts others save a CLIP vision tower and AIM in -> transformers' names and ours.

A table is a list of (pattern of a whole name, replacement). `{qkv}` in a replacement marks a tensor that stacks
queries, keys and values on its first axis.
"""

import re

import torch

# OpenAI CLIP's `visual.*` without that prefix -> CLIPVisionModel. Its `proj` belongs to CLIPModel, not to the tower.
OPENAI_VISION = [
    (r"conv1\.weight", r"embeddings.patch_embedding.weight"),
    (r"class_embedding", r"embeddings.class_embedding"),
    (r"positional_embedding", r"embeddings.position_embedding.weight"),
    (r"ln_pre\.(\w+)", r"pre_layrnorm.\1"),  # misspelt so in transformers
    (r"ln_post\.(\w+)", r"post_layernorm.\1"),
    (r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(\w+)", r"encoder.layers.\1.self_attn.{qkv}_proj.\2"),
    (r"transformer\.resblocks\.(\d+)\.attn\.out_proj\.(\w+)", r"encoder.layers.\1.self_attn.out_proj.\2"),
    (r"transformer\.resblocks\.(\d+)\.ln_([12])\.(\w+)", r"encoder.layers.\1.layer_norm\2.\3"),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.(\w+)", r"encoder.layers.\1.mlp.fc1.\2"),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_proj\.(\w+)", r"encoder.layers.\1.mlp.fc2.\2"),
]

# A recogniser's checkpoint of AIM, or TF-CoVR's stage 1 -> AimClassifier.
AIM = [
    (r"backbone\." + pattern, "backbone.tower." + replacement) for pattern, replacement in OPENAI_VISION
] + [
    (r"backbone\.temporal_embedding", r"backbone.temporal_embedding"),
    (
        r"backbone\.transformer\.resblocks\.(\d+)\.((?:T_Adapter_in|T_Adapter|S_Adapter|MLP_Adapter)\.D_fc[12]\.\w+)",
        r"backbone.adapters.\1.\2",
    ),
    (r"cls_head\.fc_cls\.(\w+)", r"fc_cls.\1"),
]

# timm's VisionTransformer -> CLIPVisionModel. Its `head` is CLIP's projection.
TIMM_VISION = [
    (r"patch_embed\.proj\.weight", r"embeddings.patch_embedding.weight"),
    (r"cls_token", r"embeddings.class_embedding"),
    (r"pos_embed", r"embeddings.position_embedding.weight"),
    (r"norm_pre\.(\w+)", r"pre_layrnorm.\1"),
    (r"norm\.(\w+)", r"post_layernorm.\1"),
    (r"blocks\.(\d+)\.attn\.qkv\.(\w+)", r"encoder.layers.\1.self_attn.{qkv}_proj.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(\w+)", r"encoder.layers.\1.self_attn.out_proj.\2"),
    (r"blocks\.(\d+)\.norm([12])\.(\w+)", r"encoder.layers.\1.layer_norm\2.\3"),
    (r"blocks\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"encoder.layers.\1.mlp.\2.\3"),
]


def rename(
    state: dict[str, torch.Tensor], table: list[tuple[str, str]]
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Rename weights by a table; return them, and the names that no row of the table knows."""
    renamed, unknown = {}, []
    for name, value in state.items():
        matches = (match.expand(new) for pattern, new in table if (match := re.fullmatch(pattern, name)))
        new = next(matches, None)
        if new is None:
            unknown.append(name)
        elif "{qkv}" in new:
            renamed |= {new.replace("{qkv}", letter): part for letter, part in zip("qkv", value.chunk(3))}
        else:
            renamed[new] = value
    return renamed, unknown
