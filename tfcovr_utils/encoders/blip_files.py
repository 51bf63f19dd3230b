"""BLIP's files: Hugging Face folders, and the official checkpoints of BLIP, CoVR, ECDE and BSE-CoVR."""

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
from .loading import (
    HEAD_WIDTH,
    WrongWeights,
    count_heads,
    count_layers,
    fill,
    read_shapes,
    read_tensors,
    vit_sizes,
)

EXPECTED = (
    "a BLIP for retrieval, such as Salesforce/blip-itm-large-coco, BLIP's model_large_retrieval_coco.pth or "
    "CoVR's webvid-covr.ckpt"
)
PROMPT_FILE = "prompt_proj.safetensors"
VISION_EPS = 1e-6  # official; the hub's configs say 1e-5
DROPOUT = 0.1  # official, of the text encoder in training; the hub's configs say 0
HUB_HEADS = 768, 8  # width and heads of the text encoder in the hub's older configs; officially 12 heads
MATCHING = frozenset({"itm_head.weight", "itm_head.bias"})  # CoVR's and TF-CoVR's files lack them


@dataclass
class BlipParts:
    """The parts of an encoder. Only BSE-CoVR has a prompt_proj; only folders can have a tokenizer."""

    model: BlipForImageTextRetrieval
    prompt_proj: nn.Linear | None
    mean: tuple[float, float, float] = tuple(OPENAI_CLIP_MEAN)
    std: tuple[float, float, float] = tuple(OPENAI_CLIP_STD)
    tokenizer: PreTrainedTokenizerBase | None = None


def read_folder(folder: HubFolder) -> BlipParts:
    """Read a folder or a hub id, and correct its config."""
    config = correct(folder.load(AutoConfig), folder.source)
    model = load_retrieval(folder, BlipForImageTextRetrieval, config, EXPECTED)
    prompt = folder.find(PROMPT_FILE)
    prompt_proj = _make_prompt_proj(config, read_weights(prompt), folder.source) if prompt else None
    tokenizer = folder.load(AutoTokenizer) if folder.find("tokenizer_config.json") else None
    return BlipParts(model, prompt_proj, *folder.pixel_statistics(), tokenizer)


def load_retrieval(folder: HubFolder, model_class: type, config, expected: str):
    """Load a BLIP or BLIP-2 in full precision, without the matching head if the folder has none."""
    choices = {"config": config, "dtype": torch.float32, "optional": MATCHING}
    model, absent = folder.load_model(model_class, expected, r"(.*\.)?position_ids", **choices)
    if absent:
        del model.itm_head
    return model


def fill_retrieval(model, state: dict, unknown: list[str], file: Path, expected: str) -> None:
    """Fill a BLIP or BLIP-2, and drop its matching head if the file has none."""
    if not MATCHING & state.keys():
        del model.itm_head
    fill(model, state, unknown, str(file), expected)


def read_file(file: Path, heads: int | None = None, vision_heads: int | None = None) -> BlipParts:
    """Read an official checkpoint. heads, vision_heads: of text encoder and ViT, by default width / 64."""
    state, unknown = rename(read_tensors(file), BLIP)
    model = BlipForImageTextRetrieval(config_of(state, str(file), heads, vision_heads))
    prompt = {name: state.pop(name) for name in list(state) if name.startswith("prompt_proj.")}
    prompt = {name.removeprefix("prompt_proj."): value for name, value in prompt.items()}
    fill_retrieval(model, state, unknown, file, EXPECTED)
    return BlipParts(model, _make_prompt_proj(model.config, prompt, str(file)) if prompt else None)


def config_of(
    state: dict, given: str, heads: int | None = None, vision_heads: int | None = None
) -> BlipConfig:
    """Read a model's sizes off its weights; all else is official."""
    text = bert_sizes(state, "text_encoder.embeddings", "text_encoder.encoder.layer", heads, given, EXPECTED)
    text |= {"bos_token_id": text["vocab_size"] - 2, "sep_token_id": None}  # [DEC], which only captioners use
    of_vit = {"given": vision_heads, "option": "vision_heads"}
    vision = vit_sizes(state, "vision_model.", "position_embedding", given, EXPECTED, of_vit)
    [projection] = read_shapes(state, ["text_proj.weight"], given, EXPECTED)
    sizes = BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=projection[0])
    return correct(sizes, given)


def bert_sizes(
    state: dict, embeddings: str, layers: str, heads: int | None, given: str, expected: str
) -> dict:
    """Read the sizes of a BERT, in transformers' words, off its weights."""
    names = f"{embeddings}.word_embeddings.weight", f"{embeddings}.position_embeddings.weight"
    names += (f"{layers}.0.intermediate.dense.weight",)
    (words, width), positions, mlp = read_shapes(state, names, given, expected)
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": mlp[0],
        "num_hidden_layers": count_layers(state, layers),
        "num_attention_heads": count_heads(width, heads),
        "max_position_embeddings": positions[0],
    }


def correct(config: BlipConfig, given: str) -> BlipConfig:
    """Set what the hub's configs say otherwise than the official code."""
    if config.model_type != "blip":
        raise WrongWeights(f"{given} holds a {config.model_type!r} model, not 'blip'; pass {EXPECTED}.")
    text = config.text_config
    config.vision_config.layer_norm_eps = VISION_EPS
    text.hidden_dropout_prob = text.attention_probs_dropout_prob = DROPOUT
    if (text.hidden_size, text.num_attention_heads) == HUB_HEADS:
        text.num_attention_heads = text.hidden_size // HEAD_WIDTH
    return config


def write_blip(folder: Path, parts: BlipParts) -> None:
    """Write a folder that transformers reads too, and prompt_proj beside it."""
    config = parts.model.config
    config.architectures, side = [type(parts.model).__name__], config.vision_config.image_size
    pixels = {"image_mean": list(parts.mean), "image_std": list(parts.std)}
    images = BlipImageProcessor(size={"height": side, "width": side}, **pixels)
    with replacing_files(folder, "config.json") as temporary:
        write_weights(parts.model.state_dict(), temporary / "model.safetensors", {"format": "pt"})
        for written in filter(None, (config, images, parts.tokenizer)):
            written.save_pretrained(temporary)
        if parts.prompt_proj is not None:
            write_weights(parts.prompt_proj.state_dict(), temporary / PROMPT_FILE)
        elif (folder / PROMPT_FILE).exists():  # of an earlier model, which is incomplete without it
            (folder / "config.json").unlink(missing_ok=True)
            (folder / PROMPT_FILE).unlink()


def _make_prompt_proj(config: BlipConfig, state: dict[str, torch.Tensor], given: str) -> nn.Linear:
    prompt_proj = nn.Linear(config.text_config.hidden_size, config.vision_config.hidden_size)
    fill(prompt_proj, state, [], f"the prompt_proj of {given}", "a checkpoint of BSE-CoVR")
    return prompt_proj
