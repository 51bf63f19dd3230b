"""Files of BLIP-2's first stage: those of LAVIS, CoVR-2 and TF-CoVR, and Hugging Face folders, as Blip2ForImageTextRetrieval.

The head that matches an image with a text is kept where a checkpoint has one, and dropped with its module where not.
"""

import math
import re
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, Blip2Config, Blip2ForImageTextRetrieval

from ..profiles import ROOT
from .hub import from_hub
from .key_maps import rename
from .loading import fill, read_tensors

SUFFIXES = (".pth", ".pt", ".ckpt")
EXPECTED = "a checkpoint of BLIP-2's first stage, such as LAVIS's blip2_finetune_coco.pth or the hub's Salesforce/blip2-itm-vit-g-coco"
VISION_HEAD_WIDTH, HEAD_WIDTH = 88, 64  # of EVA's ViT-g and of BERT; no weight tells how many heads there are
MATCHING = {"itm_head.weight", "itm_head.bias"}  # CoVR's and TF-CoVR's files lack them

# LAVIS's names, which CoVR and TF-CoVR keep -> Blip2ForImageTextRetrieval.
LAVIS = [
    (r"visual_encoder\.cls_token", r"vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", r"vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.(\w+)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.(\w+)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.(\w+)", r"vision_model.encoder.layers.\1.self_attn.qkv.\2"),
    (
        r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(\w+)",
        r"vision_model.encoder.layers.\1.self_attn.projection.\2",
    ),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"vision_model.encoder.layers.\1.mlp.\2.\3"),
    (r"ln_vision\.(\w+)", r"vision_model.post_layernorm.\1"),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.(\w+)", r"qformer.layernorm.\1"),
    (r"Qformer\.bert\.embeddings\.(word|position)_embeddings\.weight", r"embeddings.\1_embeddings.weight"),
    (
        r"Qformer\.bert\.encoder\.layer\.(\d+)\.(attention|crossattention)\.self\.(.+)",
        r"qformer.encoder.layer.\1.\2.attention.\3",
    ),
    (r"Qformer\.bert\.encoder\.layer\.(.+)", r"qformer.encoder.layer.\1"),
    (r"query_tokens", r"query_tokens"),
    (r"(vision|text)_proj\.(\w+)", r"\1_projection.\2"),
    (r"itm_head\.(\w+)", r"itm_head.\1"),
]
DROPPED = r"(.*\.)?position_ids|Qformer\.cls\..+|temp"  # counters, the language model's head, the losses' temperature


def read_hugging_face(weights: str) -> Blip2ForImageTextRetrieval:
    """Read a folder or a hub id in full precision, every weight accounted for."""
    config = from_hub(AutoConfig.from_pretrained, weights)
    if config.model_type != "blip-2":
        raise ValueError(f"{weights} holds a model of type {config.model_type!r}; pass {EXPECTED}.")
    config.qformer_config.use_qformer_text_input = (
        True  # some of the hub's files spell it otherwise, and would lose the text layers
    )
    model, found = from_hub(
        lambda source, local_files_only: Blip2ForImageTextRetrieval.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            local_files_only=local_files_only,
        ),
        weights,
    )
    missing = set(found["missing_keys"])
    if missing >= MATCHING:
        del model.itm_head
        missing -= MATCHING
    wrong = {
        "lacks": missing,
        "also holds": {name for name in found["unexpected_keys"] if not re.fullmatch(DROPPED, name)},
        "has in another shape": {name for name, *_ in found["mismatched_keys"]},
    }
    if any(wrong.values()):
        said = "; ".join(f"{what} {', '.join(sorted(names))}" for what, names in wrong.items() if names)
        raise ValueError(f"{weights} {said}; pass {EXPECTED}.")
    return model


def read_official(
    path: str | Path, heads: int | None, vision_heads: int | None
) -> Blip2ForImageTextRetrieval:
    """Read a file of LAVIS, CoVR-2 or TF-CoVR, in eval mode; a path may begin at the project's root. Sizes are read off the weights."""
    state = _join_biases(read_tensors(ROOT / path if (ROOT / path).is_file() else Path(path)))
    needed = [
        "visual_encoder.patch_embed.proj.weight",
        "visual_encoder.pos_embed",
        "visual_encoder.blocks.0.mlp.fc1.bias",
        "query_tokens",
        "Qformer.bert.encoder.layer.0.intermediate.dense.bias",
        "Qformer.bert.embeddings.word_embeddings.weight",
        "Qformer.bert.embeddings.position_embeddings.weight",
        "text_proj.bias",
    ]
    if missing := [name for name in needed if name not in state]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; pass {EXPECTED}.")
    patches, places, vision_hidden, queries, hidden, words, positions, projection = (
        state[name].shape for name in needed
    )
    vision = {
        "hidden_size": places[-1],
        "intermediate_size": vision_hidden[0],
        "num_hidden_layers": _count(state, r"visual_encoder\.blocks"),
        "num_attention_heads": _heads("vision_heads", vision_heads, places[-1], VISION_HEAD_WIDTH),
        "image_size": patches[-1] * math.isqrt(places[1] - 1),
        "patch_size": patches[-1],
    }
    qformer = {
        "hidden_size": queries[-1],
        "intermediate_size": hidden[0],
        "num_hidden_layers": _count(state, r"Qformer\.bert\.encoder\.layer"),
        "num_attention_heads": _heads("heads", heads, queries[-1], HEAD_WIDTH),
        "vocab_size": words[0],
        "max_position_embeddings": positions[0],
        "use_qformer_text_input": True,
    }
    model = Blip2ForImageTextRetrieval(
        Blip2Config(
            vision_config=vision,
            qformer_config=qformer,
            num_query_tokens=queries[1],
            image_text_hidden_size=projection[0],
        )
    )
    renamed, unknown = rename(state, LAVIS)
    if not MATCHING & renamed.keys():
        del model.itm_head
    fill(model, renamed, [name for name in unknown if not re.fullmatch(DROPPED, name)], str(path), EXPECTED)
    return model.eval()


def resize_positions(model: Blip2ForImageTextRetrieval, size: int) -> None:
    """Interpolate the ViT's positions to another image size, bicubic as officially."""
    vision, places = model.vision_model, model.vision_model.embeddings
    patch, width = vision.config.patch_size, vision.config.hidden_size
    if size < patch or size % patch:
        raise ValueError(
            f"image_size={size} is no multiple of a patch's {patch} pixels; "
            f"choose for example {max(1, -(-size // patch)) * patch}."
        )
    blank = torch.empty(
        1, (size // patch) ** 2 + 1, width
    )  # as many as there are patches, and the class token
    places.position_embedding = nn.Parameter(places.interpolate_pos_encoding(blank, size, size).detach())
    places.num_patches, places.num_positions = blank.shape[1] - 1, blank.shape[1]
    for sized in (places, vision.config, model.config.vision_config):
        sized.image_size = size


def _join_biases(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """EVA's attention biases, of queries and of values, as one with zeros between them for the keys."""
    joined = dict(state)
    for name in state:
        if name.endswith(".attn.q_bias") and name.replace("q_bias", "v_bias") in state:
            query, value = joined.pop(name), joined.pop(name.replace("q_bias", "v_bias"))
            joined[name.replace("q_bias", "qkv.bias")] = torch.cat([query, torch.zeros_like(query), value])
    return joined


def _count(state: dict[str, torch.Tensor], layers: str) -> int:
    return len({found[1] for name in state if (found := re.match(rf"{layers}\.(\d+)\.", name))})


def _heads(option: str, given: int | None, width: int, head_width: int) -> int:
    heads = given or width // head_width
    if not heads or width % heads:
        raise ValueError(
            f"{option}={heads} does not divide a width of {width}; pass the {option} that this checkpoint was trained with."
        )
    return heads
