"""BLIP's files: Hugging Face folders of BlipForImageTextRetrieval, and the official checkpoints of BLIP, CoVR, ECDE and BSE-CoVR."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BlipConfig, BlipForImageTextRetrieval, PreTrainedTokenizerBase
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.utils import cached_file

from ..machine.files import replacing_files, write_json
from ..machine.tensors import read_weights, write_weights
from ..profiles import ROOT
from .aim import HEAD_WIDTH
from .hub import from_hub
from .key_maps import rename
from .loading import fill, read_tensors

SUFFIXES = (".pth", ".pt", ".ckpt")
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

# Official names -> BlipForImageTextRetrieval, whose names are kept.
BLIP = [
    (r"visual_encoder\.(cls_token)", r"vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.(pos_embed)", r"vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.(\w+)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"visual_encoder\.norm\.(\w+)", r"vision_model.post_layernorm.\1"),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.(\w+)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.(\w+)", r"vision_model.encoder.layers.\1.self_attn.qkv.\2"),
    (
        r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(\w+)",
        r"vision_model.encoder.layers.\1.self_attn.projection.\2",
    ),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"vision_model.encoder.layers.\1.mlp.\2.\3"),
    (r"((?:vision_model|text_encoder|vision_proj|text_proj|itm_head|prompt_proj)\..+)", r"\1"),
]
# Serve training alone, or are counted and not learnt: the momentum copies, their queues, the temperature, positions.
DROPPED = re.compile(
    r"(visual_encoder|vision_proj|text_encoder|text_proj)_m\..+|(image|text|idx|ptr)_queue|temp|loss\..+"
    r"|text_encoder\.embeddings\.position_ids"
)

# Weights that sizes are read off.
_SIZED = {
    "words": "text_encoder.embeddings.word_embeddings.weight",
    "positions": "text_encoder.embeddings.position_embeddings.weight",
    "text_mlp": "text_encoder.encoder.layer.0.intermediate.dense.weight",
    "grid": "vision_model.embeddings.position_embedding",
    "patches": "vision_model.embeddings.patch_embedding.weight",
    "vision_mlp": "vision_model.encoder.layers.0.mlp.fc1.weight",
}


@dataclass
class BlipParts:
    """What an encoder is made of. Only BSE-CoVR's checkpoints have a prompt_proj, and only folders can have a tokenizer."""

    model: BlipForImageTextRetrieval
    prompt_proj: nn.Linear | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tokenizer: PreTrainedTokenizerBase | None


def read_blip(weights: str, heads: tuple[int, int] | None = None) -> BlipParts:
    """Read a folder, a hub id or an official file. heads: of ViT and text encoder, when they are not the width / 64."""
    if Path(weights).suffix not in SUFFIXES:
        raw, preprocessing, state, tokenizer = from_hub(_read_hugging_face, weights)
        config = _config_of_folder(raw, weights, heads)
        mean, std = preprocessing["image_mean"], preprocessing["image_std"]
        return BlipParts(*_build(config, *_rename(state, weights), weights), mean, std, tokenizer)
    file = ROOT / weights if (ROOT / weights).is_file() else Path(weights)
    if not file.is_file():
        raise FileNotFoundError(f"{weights} is not there; put {EXPECTED} there.")
    state, unknown = _rename(read_tensors(file), weights)
    config = _config_of_weights(state, weights, heads)
    return BlipParts(*_build(config, state, unknown, weights), OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, None)


def resize_positions(model: BlipForImageTextRetrieval, image_size: int) -> None:
    """Interpolate the positions of the patches for another image size, bicubically as officially."""
    config, embeddings = model.config.vision_config, model.vision_model.embeddings
    side, rest = divmod(image_size, config.patch_size)
    if rest or not side:
        raise ValueError(
            f"image_size is {image_size}, but patches are {config.patch_size} pixels wide; pass a multiple of that."
        )
    if image_size == config.image_size:
        return
    first, patches = embeddings.position_embedding.data.split([1, embeddings.num_patches], dim=1)
    grid = patches.unflatten(1, (math.isqrt(embeddings.num_patches),) * 2).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    embeddings.position_embedding = nn.Parameter(torch.cat([first, grid.flatten(2).transpose(1, 2)], dim=1))
    config.image_size = embeddings.image_size = image_size
    embeddings.num_patches, embeddings.num_positions = side**2, side**2 + 1


def write_blip(
    folder: Path,
    model: BlipForImageTextRetrieval,
    prompt_proj: nn.Linear | None,
    mean: tuple,
    std: tuple,
    tokenizer: PreTrainedTokenizerBase | None,
) -> None:
    """Write a folder that transformers reads too, and prompt_proj beside it."""
    size = model.config.vision_config.image_size
    with replacing_files(folder, "config.json") as temporary:
        write_weights(
            model.state_dict(), temporary / "model.safetensors", {"format": "pt"}
        )  # which transformers wants to read
        write_json(
            model.config.to_dict() | {"architectures": [type(model).__name__], "dtype": "float32"},
            temporary / "config.json",
        )
        write_json(
            {
                "image_processor_type": "BlipImageProcessor",
                "do_resize": True,
                "size": {"height": size, "width": size},
                "resample": 3,
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": True,
                "image_mean": mean,
                "image_std": std,
                "do_convert_rgb": True,
            },
            temporary / "preprocessor_config.json",
        )
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)
        if prompt_proj is not None:
            write_weights(prompt_proj.state_dict(), temporary / PROMPT_FILE)
        elif (
            Path(folder) / PROMPT_FILE
        ).exists():  # of a model that was here before, and which is none without it
            (Path(folder) / "config.json").unlink(missing_ok=True)
            (Path(folder) / PROMPT_FILE).unlink()


def _read_hugging_face(source: str, local_files_only: bool) -> tuple:
    """config.json, what is done to pixels, weights by the names they have there, and the tokenizer, or None."""

    def find(name: str, required: bool = True) -> str | None:
        try:
            return cached_file(source, name, local_files_only=local_files_only)
        except OSError:
            if required:
                raise
            return None

    raw, preprocessing = (
        json.loads(Path(find(name)).read_text()) for name in ("config.json", "preprocessor_config.json")
    )
    new = find("model.safetensors", required=False)
    state = read_weights(new) if new else read_tensors(find("pytorch_model.bin"))
    if prompt := find(PROMPT_FILE, required=False):
        state |= {f"prompt_proj.{name}": value for name, value in read_weights(prompt).items()}
    has_tokenizer = find("tokenizer_config.json", required=False)
    tokenizer = (
        AutoTokenizer.from_pretrained(source, local_files_only=local_files_only) if has_tokenizer else None
    )
    return raw, preprocessing, state, tokenizer


def _rename(state: dict[str, torch.Tensor], given: str) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Weights by the names of transformers, and the names that are not known; a file of another kind is told so in few words."""
    state, unknown = rename(
        {name: value for name, value in state.items() if not DROPPED.fullmatch(name)}, BLIP
    )
    needed = [*_SIZED.values(), *(f"{name}.weight" for name in ("vision_proj", "text_proj"))]
    if missing := [name for name in needed if name not in state]:
        raise ValueError(f"{given} lacks {', '.join(missing)}; pass {EXPECTED}.")
    return state, unknown


def _config_of_weights(
    state: dict[str, torch.Tensor], given: str, heads: tuple[int, int] | None
) -> BlipConfig:
    shapes = {what: state[name].shape for what, name in _SIZED.items()}
    (vocabulary, text_width), vision_width, patch_size = (
        shapes["words"],
        shapes["patches"][0],
        shapes["patches"][-1],
    )
    if heads is None and (text_width % HEAD_WIDTH or vision_width % HEAD_WIDTH):
        raise ValueError(
            f"{given} is {vision_width} wide in its ViT and {text_width} in its text encoder, not both multiples of "
            f"{HEAD_WIDTH}, and no weight tells how many heads there are; pass heads=(of the ViT, of the text encoder)."
        )
    vision_heads, text_heads = heads or (vision_width // HEAD_WIDTH, text_width // HEAD_WIDTH)
    text = {
        "vocab_size": vocabulary,
        "hidden_size": text_width,
        "intermediate_size": shapes["text_mlp"][0],
        "num_hidden_layers": _layers(state, r"text_encoder\.encoder\.layer\.(\d+)\..*"),
        "num_attention_heads": text_heads,
        "max_position_embeddings": shapes["positions"][0],
        "bos_token_id": vocabulary - 2,
        "sep_token_id": None,  # [DEC], before [ENC]; only captioners use these
        "hidden_dropout_prob": DROPOUT,
        "attention_probs_dropout_prob": DROPOUT,
    }
    vision = {
        "hidden_size": vision_width,
        "intermediate_size": shapes["vision_mlp"][0],
        "num_hidden_layers": _layers(state, r"vision_model\.encoder\.layers\.(\d+)\..*"),
        "num_attention_heads": vision_heads,
        "patch_size": patch_size,
        "image_size": patch_size * math.isqrt(shapes["grid"][1] - 1),
        "layer_norm_eps": VISION_EPS,
    }
    return BlipConfig(
        text_config=text, vision_config=vision, image_text_hidden_size=len(state["text_proj.weight"])
    )


def _layers(state: dict[str, torch.Tensor], pattern: str) -> int:
    return len({found[1] for name in state if (found := re.fullmatch(pattern, name))})


def _config_of_folder(raw: dict, given: str, heads: tuple[int, int] | None) -> BlipConfig:
    """config.json, with what the hub's say otherwise than the official code corrected."""
    if raw.get("model_type") != "blip":
        raise ValueError(
            f"{given} holds a model of type {raw.get('model_type')!r}, not 'blip'; pass {EXPECTED}."
        )
    config = BlipConfig.from_dict(raw)
    text, vision = config.text_config, config.vision_config
    vision.layer_norm_eps = VISION_EPS
    text.hidden_dropout_prob = text.attention_probs_dropout_prob = DROPOUT
    if (text.hidden_size, text.num_attention_heads) == HUB_HEADS:
        text.num_attention_heads = text.hidden_size // HEAD_WIDTH
    if heads:
        vision.num_attention_heads, text.num_attention_heads = heads
    return config


def _build(
    config: BlipConfig, state: dict[str, torch.Tensor], unknown: list[str], given: str
) -> tuple[BlipForImageTextRetrieval, nn.Linear | None]:
    model = BlipForImageTextRetrieval(config)
    if not any(name.startswith("itm_head.") for name in state):
        del model.itm_head  # CoVR's checkpoints have none, and nothing here needs it
    prompt = {
        name.removeprefix("prompt_proj."): value
        for name, value in state.items()
        if name.startswith("prompt_proj.")
    }
    fill(
        model,
        {name: value for name, value in state.items() if not name.startswith("prompt_proj.")},
        unknown,
        given,
        EXPECTED,
    )
    if not prompt:
        return model, None
    prompt_proj = nn.Linear(config.text_config.hidden_size, config.vision_config.hidden_size)
    fill(prompt_proj, prompt, [], f"the prompt_proj of {given}", "a checkpoint of BSE-CoVR")
    return model, prompt_proj
