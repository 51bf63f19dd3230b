"""BLIP's files: Hugging Face folders of BlipForImageTextRetrieval, and the official checkpoints of BLIP, CoVR, ECDE and BSE-CoVR."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
    PreTrainedTokenizerBase,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ..machine.files import replacing_files
from ..machine.tensors import read_weights, write_weights
from .hub import HubFolder
from .key_maps import BLIP, rename
from .loading import HEAD_WIDTH, WrongWeights, count_heads, count_layers, fill, read_shapes, read_tensors

EXPECTED = (
    "a BLIP for retrieval, such as Salesforce/blip-itm-large-coco, BLIP's model_large_retrieval_coco.pth or "
    "CoVR's webvid-covr.ckpt"
)
PROMPT_FILE = "prompt_proj.safetensors"
VISION_EPS = 1e-6  # official; the hub's configs say 1e-5
DROPOUT = 0.1  # official, of the text encoder in training; the hub's configs say 0
HUB_HEADS = (
    768,
    8,
)  # width and heads of the text encoder in the hub's configs before April 2023; officially 12 heads
MATCHING = frozenset(
    {"itm_head.weight", "itm_head.bias"}
)  # CoVR's and TF-CoVR's files lack them; nothing here needs them


@dataclass
class BlipParts:
    """The parts of an encoder. Only BSE-CoVR's checkpoints have a prompt_proj, and only folders can have a tokenizer."""

    model: BlipForImageTextRetrieval
    prompt_proj: nn.Linear | None
    mean: tuple[float, float, float] = tuple(OPENAI_CLIP_MEAN)
    std: tuple[float, float, float] = tuple(OPENAI_CLIP_STD)
    tokenizer: PreTrainedTokenizerBase | None = None


def read_folder(folder: HubFolder) -> BlipParts:
    """Read a folder or a hub id, and correct what the hub's configs say otherwise than the official code."""
    config = correct(folder.load(AutoConfig), folder.source)
    choices = {"config": config, "dtype": torch.float32}
    ignored = r".*\.position_ids"
    model, absent = folder.load_model(BlipForImageTextRetrieval, EXPECTED, ignored, MATCHING, **choices)
    if absent:
        del model.itm_head
    prompt = folder.find(PROMPT_FILE)
    prompt_proj = _make_prompt_proj(config, read_weights(prompt), folder.source) if prompt else None
    tokenizer = folder.load(AutoTokenizer) if folder.find("tokenizer_config.json") else None
    return BlipParts(model, prompt_proj, *folder.pixel_statistics(), tokenizer)


def read_file(file: Path, heads: int | None = None, vision_heads: int | None = None) -> BlipParts:
    """Read an official checkpoint. heads, vision_heads: of text encoder and ViT, their width / 64 unless given."""
    state, unknown = rename(read_tensors(file), BLIP)
    config = config_of(state, str(file), heads, vision_heads)
    prompt = {name: state.pop(name) for name in list(state) if name.startswith("prompt_proj.")}
    model = BlipForImageTextRetrieval(config)
    if not MATCHING & state.keys():
        del model.itm_head
    fill(model, state, unknown, str(file), EXPECTED)
    prompt = {name.removeprefix("prompt_proj."): value for name, value in prompt.items()}
    return BlipParts(model, _make_prompt_proj(config, prompt, str(file)) if prompt else None)


def config_of(
    state: dict[str, torch.Tensor], given: str, heads: int | None = None, vision_heads: int | None = None
) -> BlipConfig:
    """Read a model's sizes off its weights; all else is official."""
    names = (
        "text_encoder.embeddings.word_embeddings.weight",
        "text_encoder.embeddings.position_embeddings.weight",
        "text_encoder.encoder.layer.0.intermediate.dense.weight",
        "vision_model.embeddings.position_embedding",
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.encoder.layers.0.mlp.fc1.weight",
        "text_proj.weight",
    )
    words, positions, mlp, grid, patches, vision_mlp, projection = read_shapes(state, names, given, EXPECTED)
    text = {
        "vocab_size": words[0],
        "hidden_size": words[1],
        "intermediate_size": mlp[0],
        "num_hidden_layers": count_layers(state, "text_encoder.encoder.layer"),
        "num_attention_heads": count_heads(words[1], heads, "heads"),
        "max_position_embeddings": positions[0],
        "bos_token_id": words[0] - 2,  # [DEC], before [ENC]; only captioners use these
        "sep_token_id": None,
        "hidden_dropout_prob": DROPOUT,
        "attention_probs_dropout_prob": DROPOUT,
    }
    vision = {
        "hidden_size": patches[0],
        "intermediate_size": vision_mlp[0],
        "num_hidden_layers": count_layers(state, "vision_model.encoder.layers"),
        "num_attention_heads": count_heads(patches[0], vision_heads, "vision_heads"),
        "patch_size": patches[-1],
        "image_size": patches[-1] * math.isqrt(grid[1] - 1),
        "layer_norm_eps": VISION_EPS,
    }
    return BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=projection[0])


def correct(config: BlipConfig, given: str) -> BlipConfig:
    """Set what the hub's configs say otherwise than the official code."""
    if config.model_type != "blip":
        raise WrongWeights(
            f"{given} holds a model of type {config.model_type!r}, not 'blip'; pass {EXPECTED}."
        )
    text = config.text_config
    config.vision_config.layer_norm_eps = VISION_EPS
    text.hidden_dropout_prob = text.attention_probs_dropout_prob = DROPOUT
    if (text.hidden_size, text.num_attention_heads) == HUB_HEADS:
        text.num_attention_heads = text.hidden_size // HEAD_WIDTH
    return config


def write_blip(folder: Path, parts: BlipParts) -> None:
    """Write a folder that transformers reads too, and prompt_proj beside it."""
    size = parts.model.config.vision_config.image_size
    with replacing_files(folder, "config.json") as temporary:
        parts.model.config.save_pretrained(temporary)
        write_weights(
            parts.model.state_dict(), temporary / "model.safetensors", {"format": "pt"}
        )  # for transformers
        pixels = {"image_mean": list(parts.mean), "image_std": list(parts.std)}
        BlipImageProcessor(size={"height": size, "width": size}, **pixels).save_pretrained(temporary)
        if parts.tokenizer is not None:
            parts.tokenizer.save_pretrained(temporary)
        if parts.prompt_proj is not None:
            write_weights(parts.prompt_proj.state_dict(), temporary / PROMPT_FILE)
        elif (folder / PROMPT_FILE).exists():  # of an earlier model, which is incomplete without it
            (folder / "config.json").unlink(missing_ok=True)
            (folder / PROMPT_FILE).unlink()


def _make_prompt_proj(config: BlipConfig, state: dict[str, torch.Tensor], given: str) -> nn.Linear:
    prompt_proj = nn.Linear(config.text_config.hidden_size, config.vision_config.hidden_size)
    fill(prompt_proj, state, [], f"the prompt_proj of {given}", "a checkpoint of BSE-CoVR")
    return prompt_proj
