"""Files of BLIP-2's first stage: those of LAVIS, CoVR-2 and TF-CoVR, and Hugging Face folders, as Blip2ForImageTextRetrieval.

The head that matches an image with a text is kept where a checkpoint has one, else its module is dropped.
"""

import math
from pathlib import Path

import torch
from transformers import AutoConfig, Blip2Config, Blip2ForImageTextRetrieval

from .blip_files import MATCHING
from .hub import HubFolder
from .key_maps import LAVIS, rename
from .loading import WrongWeights, count_heads, count_layers, fill, read_shapes, read_tensors

EXPECTED = (
    "a checkpoint of BLIP-2's first stage, such as LAVIS's blip2_finetune_coco.pth or the hub's "
    "Salesforce/blip2-itm-vit-g-coco"
)
VISION_HEAD_WIDTH = 88  # of EVA's ViT-g


def read_folder(folder: HubFolder) -> Blip2ForImageTextRetrieval:
    """Read a folder or a hub id in full precision, every weight accounted for."""
    config = folder.load(AutoConfig)
    if config.model_type != "blip-2":
        raise WrongWeights(f"{folder.source} holds a model of type {config.model_type!r}; pass {EXPECTED}.")
    config.qformer_config.use_qformer_text_input = (
        True  # some of the hub's files misspell it, and lose the text layers
    )
    choices = {"config": config, "dtype": torch.float32}
    ignored = r"(.*\.)?position_ids"
    model, absent = folder.load_model(Blip2ForImageTextRetrieval, EXPECTED, ignored, MATCHING, **choices)
    if absent:
        del model.itm_head
    return model


def read_file(
    file: Path, heads: int | None = None, vision_heads: int | None = None
) -> Blip2ForImageTextRetrieval:
    """Read an official checkpoint. heads, vision_heads: of Q-Former and ViT, their width / 64 and / 88 unless given."""
    state, unknown = rename(_join_biases(read_tensors(file)), LAVIS)
    names = (
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.embeddings.position_embedding",
        "vision_model.encoder.layers.0.mlp.fc1.bias",
        "query_tokens",
        "qformer.encoder.layer.0.intermediate.dense.bias",
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "text_projection.bias",
    )
    patches, grid, vision_mlp, queries, mlp, words, positions, projection = read_shapes(
        state, names, str(file), EXPECTED
    )
    vision = {
        "hidden_size": grid[-1],
        "intermediate_size": vision_mlp[0],
        "num_hidden_layers": count_layers(state, "vision_model.encoder.layers"),
        "num_attention_heads": count_heads(grid[-1], vision_heads, "vision_heads", VISION_HEAD_WIDTH),
        "image_size": patches[-1] * math.isqrt(grid[1] - 1),
        "patch_size": patches[-1],
    }
    qformer = {
        "hidden_size": queries[-1],
        "intermediate_size": mlp[0],
        "num_hidden_layers": count_layers(state, "qformer.encoder.layer"),
        "num_attention_heads": count_heads(queries[-1], heads, "heads"),
        "vocab_size": words[0],
        "max_position_embeddings": positions[0],
        "use_qformer_text_input": True,
    }
    sizes = {"num_query_tokens": queries[1], "image_text_hidden_size": projection[0]}
    model = Blip2ForImageTextRetrieval(Blip2Config(vision_config=vision, qformer_config=qformer, **sizes))
    if not MATCHING & state.keys():
        del model.itm_head
    fill(model, state, unknown, str(file), EXPECTED)
    return model


def _join_biases(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Join EVA's attention biases, of queries and of values, with zeros between them for the keys."""
    joined = dict(state)
    for name in state:
        value_name = name.replace("q_bias", "v_bias")
        if name.endswith(".attn.q_bias") and value_name in state:
            query, value = joined.pop(name), joined.pop(value_name)
            joined[name.replace("q_bias", "qkv.bias")] = torch.cat([query, torch.zeros_like(query), value])
    return joined
