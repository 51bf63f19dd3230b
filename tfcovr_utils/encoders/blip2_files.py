"""BLIP-2's files: Hugging Face folders, and the official checkpoints of LAVIS, CoVR-2 and TF-CoVR."""

from pathlib import Path

import torch
from transformers import AutoConfig, Blip2Config, Blip2ForImageTextRetrieval

from .blip_files import bert_sizes, fill_retrieval, load_retrieval
from .hub import HubFolder
from .key_maps import LAVIS, rename
from .loading import WrongWeights, read_shapes, read_tensors, vit_sizes

EXPECTED = (
    "a checkpoint of BLIP-2's first stage, such as LAVIS's blip2_finetune_coco.pth or the hub's "
    "Salesforce/blip2-itm-vit-g-coco"
)
VISION_HEAD_WIDTH = 88  # of EVA's ViT-g


def read_folder(folder: HubFolder) -> Blip2ForImageTextRetrieval:
    """Read a folder or a hub id."""
    config = folder.load(AutoConfig)
    if config.model_type != "blip-2":
        raise WrongWeights(f"{folder.source} holds a model of type {config.model_type!r}; pass {EXPECTED}.")
    config.qformer_config.use_qformer_text_input = True  # misspelt in some of the hub's files
    return load_retrieval(folder, Blip2ForImageTextRetrieval, config, EXPECTED)


def read_file(
    file: Path, heads: int | None = None, vision_heads: int | None = None
) -> Blip2ForImageTextRetrieval:
    """Read an official checkpoint. heads, vision_heads: of Q-Former and ViT, by default width / 64, / 88."""
    state, unknown = rename(_join_biases(read_tensors(file)), LAVIS)
    names = "query_tokens", "text_projection.bias"
    queries, projection = read_shapes(state, names, str(file), EXPECTED)
    of_vit = {"given": vision_heads, "option": "vision_heads", "head_width": VISION_HEAD_WIDTH}
    config = Blip2Config(
        vision_config=vit_sizes(state, "vision_model.", "position_embedding", str(file), EXPECTED, of_vit),
        qformer_config=bert_sizes(state, "embeddings", "qformer.encoder.layer", heads, str(file), EXPECTED)
        | {"use_qformer_text_input": True},
        num_query_tokens=queries[1],
        image_text_hidden_size=projection[0],
    )
    model = Blip2ForImageTextRetrieval(config)
    fill_retrieval(model, state, unknown, file, EXPECTED)
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
