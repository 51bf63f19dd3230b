"""LanguageBind Video, full or with LoRA: transformers' CLIP with attention over time in front of every vision layer.

Version 1.5, which embeds patches of several frames at once, is another model and is refused.
"""

import math
import re
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.models.clip.modeling_clip import CLIPAttention

from ..machine.files import read_json
from .base import Encoder, describe_towers, hash_weights, normalise
from .hub import HubFolder, LateTokenizer, from_hub
from .key_maps import LANGUAGEBIND, rename
from .loading import WrongWeights, check_names, fill, find_file, read_tensors
from .tokens import pad_and_cut

HUB_ID = "LanguageBind/LanguageBind_Video_FT"
EXPECTED = f"a checkpoint of LanguageBind Video with its own config.json, such as {HUB_ID}"
# How the short side is resized: "official" is pytorchvideo's ShortSideScale, which does not smooth.
RESIZES = {
    "bicubic": {"mode": "bicubic", "antialias": True},
    "official": {"mode": "bilinear", "antialias": False},
}
TOWER = (
    *("hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "hidden_act", "layer_norm_eps"),
)
SIZES = {
    "vision_config": (*TOWER, "image_size", "patch_size", "num_frames"),
    "text_config": (*TOWER, "vocab_size", "max_position_embeddings"),
}


class TemporalAttention(nn.Module):
    """Attention over the frames at each place of the picture; tokens (N, T, L, D) to the same."""

    def __init__(self, config, num_frames: int):
        super().__init__()
        self.temporal_embedding = nn.Parameter(torch.zeros(1, num_frames, config.hidden_size))
        self.temporal_attn = CLIPAttention(config)
        self.temporal_layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (N, T, L, D) -> the same shape."""
        tokens = tokens + self.temporal_embedding.unsqueeze(2)
        places = self.temporal_layer_norm1(tokens).transpose(1, 2)  # (N, L, T, D)
        attended, _ = self.temporal_attn(places.flatten(0, 1))
        return tokens + attended.unflatten(0, places.shape[:2]).transpose(1, 2)


class LanguageBindVideo(nn.Module):
    """A CLIP, and a TemporalAttention for each layer of its vision tower."""

    def __init__(self, config: CLIPConfig, num_frames: int):
        super().__init__()
        self.clip = CLIPModel(config)
        vision = self.clip.config.vision_config
        layers = (TemporalAttention(vision, num_frames) for _ in range(vision.num_hidden_layers))
        self.temporal = nn.ModuleList(layers)

    def pool(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (N, T, 3, S, S) -> the mean over frames of the normed class token, (N, width)."""
        tower, clips = self.clip.vision_model, pixels.shape[:2]
        tokens = tower.pre_layrnorm(tower.embeddings(pixels.flatten(0, 1)))  # (N * T, L, D)
        for layer, temporal in zip(tower.encoder.layers, self.temporal):
            tokens = layer(temporal(tokens.unflatten(0, clips)).flatten(0, 1), None)
        return tower.post_layernorm(tokens[:, 0]).unflatten(0, clips).mean(1)


class LanguageBindEncoder(Encoder):
    """Clips of `num_frames` frames, sampled by `policy`, and texts in one space."""

    name = "languagebind"
    policy = "ends"
    mean, std = tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD)

    def __init__(
        self,
        model: LanguageBindVideo,
        tokenizer,
        resize: str = "official",
        video_scale: float | str = 1.0,
        tokenizer_source: str | None = None,
    ):
        super().__init__()
        self.model, self.tokenizer, self.resize = model, tokenizer, resize
        self.video_scale = model.clip.logit_scale.exp().item() if video_scale == "official" else video_scale
        vision, text = model.clip.config.vision_config, model.clip.config.text_config
        self.image_size, self.num_frames = vision.image_size, model.temporal[0].temporal_embedding.shape[1]
        chosen = {"resize": resize, "mean": self.mean, "std": self.std, "tokenizer": tokenizer_source}
        towers = describe_towers(vision, text)
        self.identity = {"encoder": self.name, "weights": hash_weights(model), **chosen, **towers}

    @classmethod
    def load(
        cls,
        weights: str = HUB_ID,
        resize: str = "official",
        video_scale: float | str = 1.0,
        tokenizer: str = "openai/clip-vit-base-patch16",
    ) -> "LanguageBindEncoder":
        """Load a hub id, a folder with config, weights and tokenizer, or a file of weights with its config.json beside it.

        resize: a key of RESIZES. video_scale: factor of `scaled`, a number or "official" for exp(logit_scale); encoded
        features do not depend on it. tokenizer: hub id or folder, for a file; loaded when the first text comes.
        """
        if resize not in RESIZES:
            raise ValueError(f"resize {resize!r} is not known; choose one of {', '.join(RESIZES)}.")
        if video_scale != "official" and (isinstance(video_scale, str) or not 0 < video_scale < math.inf):
            raise ValueError(
                f"video_scale is {video_scale!r}; give a number above 0, or 'official' for exp(logit_scale)."
            )
        file = find_file(weights, EXPECTED)
        if file is None:
            return cls(*from_hub(_read_folder, weights), resize, video_scale)
        model = build(file.parent / "config.json", file)
        return cls(model, LateTokenizer(tokenizer), resize, video_scale, tokenizer)

    def prepare(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (..., H, W, 3) -> float (N, 3, S, S): normalise, resize the short side, cut out the centre."""
        pixels = torch.as_tensor(frames).to(self.device).flatten(0, -4).permute(0, 3, 1, 2)
        pixels = normalise(pixels, self.mean, self.std)
        short, size = min(pixels.shape[-2:]), self.image_size
        height, width = (math.floor(side / short * size) for side in pixels.shape[-2:])
        if (height, width) != pixels.shape[-2:]:
            pixels = F.interpolate(pixels, (height, width), **RESIZES[self.resize])
        top, left = round((height - size) / 2), round((width - size) / 2)
        return pixels[..., top : top + size, left : left + size]

    def encode_clips(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> video features (N, E), not unit. T is `num_frames`."""
        if frames.shape[1] != self.num_frames:
            raise ValueError(
                f"clips have {frames.shape[1]} frames, but this LanguageBind has embeddings for {self.num_frames}; read clips "
                f"by policy {self.policy!r} with frames={self.num_frames}."
            )
        pooled = self.model.pool(self.prepare(frames).unflatten(0, frames.shape[:2]))
        return self.model.clip.visual_projection(pooled)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> text features (M, E), not unit, read at the first end token; what is beyond the context is cut."""
        length = self.model.clip.config.text_config.max_position_embeddings
        tokens = pad_and_cut(texts, self.tokenizer, length).to(self.device)
        return self.model.clip.get_text_features(**tokens).pooler_output

    def scaled(self, video_emb: torch.Tensor) -> torch.Tensor:
        """Video features (..., E) -> unit ones times `video_scale`, as EgoCVR's wrapper averages them with unit texts."""
        return F.normalize(video_emb, dim=-1) * self.video_scale


def build(config_path: Path, file: Path) -> LanguageBindVideo:
    """Put official weights, merged with their LoRA where they have one, into a model of the sizes in config.json."""
    if not config_path.is_file():
        raise FileNotFoundError(
            f"{config_path} does not exist, and {file.name} needs its sizes; pass {EXPECTED}."
        )
    config = read_json(config_path)
    lacks = [
        f"{tower}.{key}" for tower, keys in SIZES.items() for key in keys if key not in config.get(tower, {})
    ]
    check_names(
        str(config_path), EXPECTED, lacks or [key for key in ("projection_dim",) if key not in config]
    )
    vision, text = ({key: config[tower][key] for key in keys} for tower, keys in SIZES.items())
    last = text["vocab_size"] - 1  # CLIP's end token, always; published configs say 2, which is wrong
    text |= {"bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    num_frames = vision.pop("num_frames")

    state = read_tensors(file)
    patches = state.get("vision_model.embeddings.patch_embedding.weight")
    if patches is not None and patches.ndim == 5:
        raise WrongWeights(
            f"{file} is of LanguageBind Video 1.5, whose patch embedding is a Conv3d of shape {tuple(patches.shape)}; "
            f"pass one before it, such as {HUB_ID}."
        )
    lora = config["vision_config"].get("lora_r"), config["vision_config"].get("lora_alpha")
    state = merge_lora(state, str(file), *lora)
    sizes = CLIPConfig(vision_config=vision, text_config=text, projection_dim=config["projection_dim"])
    model = LanguageBindVideo(sizes, num_frames)
    fill(model, *rename(state, LANGUAGEBIND), str(file), EXPECTED)
    return model


def merge_lora(
    state: dict[str, torch.Tensor], given: str, rank: int | None, alpha: float | None
) -> dict[str, torch.Tensor]:
    """Add alpha / rank * B A to each weight that has an A and a B, and give it the name that it has without LoRA.

    An A and a B that do not fit each other or their weight stay as they are, so that loading names them.
    """
    prefix = r"vision_model\.encoder\.base_model\.model\."
    state = {
        re.sub(prefix, "vision_model.encoder.", name).replace(".base_layer.", "."): value
        for name, value in state.items()
    }
    for first in [name for name in state if ".lora_A." in name]:
        second, weight = first.replace(".lora_A.", ".lora_B."), re.sub(r"\.lora_A(\.default)?\.", ".", first)
        a, b, base = state[first], state.get(second), state.get(weight)
        if a.shape[0] != rank or alpha is None:
            raise WrongWeights(
                f"{given} has a LoRA of rank {a.shape[0]} in {first}, but its config.json says lora_r {rank} and "
                f"lora_alpha {alpha}; pass {EXPECTED}."
            )
        if b is None or base is None:
            continue
        if (b.shape[0], a.shape[1]) == base.shape and b.shape[1] == a.shape[0]:
            state[weight] = base.float() + alpha / rank * b.float() @ a.float()
            del state[first], state[second]
    return state


def _read_folder(folder: HubFolder) -> tuple:
    weights = folder.find("model.safetensors") or folder.path("pytorch_model.bin")
    return build(folder.path("config.json"), weights), folder.load(CLIPTokenizer)
