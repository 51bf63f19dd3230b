"""LanguageBind Video: transformers' CLIP with attention over time in front of every vision layer.

Version 1.5 and files with LoRA are other models; their names or shapes do not fit, and loading says so.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.models.clip.modeling_clip import CLIPAttention

from ..machine.files import read_json
from .base import Encoder, normalise
from .hub import HubFolder, from_hub
from .key_maps import LANGUAGEBIND, rename
from .loading import check_names, fill, read_tensors
from .tokens import pad_and_cut

HUB_ID = "LanguageBind/LanguageBind_Video_FT"
EXPECTED = f"LanguageBind Video in its own layout, such as {HUB_ID}"
_TOWER = ["hidden_size", "intermediate_size", "num_hidden_layers"]
_TOWER += ["num_attention_heads", "hidden_act", "layer_norm_eps"]
SIZES = {
    "vision_config": [*_TOWER, "image_size", "patch_size", "num_frames"],
    "text_config": [*_TOWER, "vocab_size", "max_position_embeddings"],
}


class TemporalAttention(nn.Module):
    """Attention over the frames at each place of the picture."""

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

    def __init__(self, model: LanguageBindVideo, tokenizer):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        vision, text = model.clip.config.vision_config, model.clip.config.text_config
        self.image_size, self.num_frames = vision.image_size, model.temporal[0].temporal_embedding.shape[1]
        self.identify(model, vision, text, vocabulary=len(tokenizer))

    @classmethod
    def load(cls, weights: str = HUB_ID) -> "LanguageBindEncoder":
        """Load a hub id, or a folder with a config, weights and a tokenizer."""
        return cls(*from_hub(_read_folder, weights))

    def prepare(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (..., H, W, 3) -> float (N, 3, S, S): normalise, resize the short side, cut the
        centre.

        Resizing is bilinear and does not smooth, as pytorchvideo's ShortSideScale in the official code.
        """
        pixels = torch.as_tensor(frames).to(self.device).flatten(0, -4).permute(0, 3, 1, 2)
        pixels = normalise(pixels, self.mean, self.std)
        short, size = min(pixels.shape[-2:]), self.image_size
        height, width = (math.floor(side / short * size) for side in pixels.shape[-2:])
        if (height, width) != pixels.shape[-2:]:
            pixels = F.interpolate(pixels, (height, width), mode="bilinear")
        top, left = round((height - size) / 2), round((width - size) / 2)
        return pixels[..., top : top + size, left : left + size]

    def encode_clips(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> video features (N, E), not unit. T is `num_frames`."""
        if frames.shape[1] != self.num_frames:
            raise ValueError(
                f"clips have {frames.shape[1]} frames, but this LanguageBind has embeddings for "
                f"{self.num_frames}; read clips by policy {self.policy!r} with frames={self.num_frames}."
            )
        pooled = self.model.pool(self.prepare(frames).unflatten(0, frames.shape[:2]))
        return self.model.clip.visual_projection(pooled)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> text features (M, E), not unit, read at the first end token; longer texts are cut."""
        length = self.model.clip.config.text_config.max_position_embeddings
        tokens = pad_and_cut(texts, self.tokenizer, length).to(self.device)
        return self.model.clip.get_text_features(**tokens).pooler_output

    def scaled(self, video_emb: torch.Tensor) -> torch.Tensor:
        """Video features (..., E) -> unit ones times the learnt scale, as EgoCVR averages them."""
        return F.normalize(video_emb, dim=-1) * self.model.clip.logit_scale.exp().item()


def build(config_path: Path, file: Path) -> LanguageBindVideo:
    """Put official weights into a model of the sizes in config.json."""
    config = read_json(config_path)
    needed = {f"{tower}.{key}": key in config.get(tower, {}) for tower, keys in SIZES.items() for key in keys}
    needed["projection_dim"] = "projection_dim" in config
    check_names(str(config_path), EXPECTED, lacks=[name for name, there in needed.items() if not there])
    vision, text = ({key: config[tower][key] for key in keys} for tower, keys in SIZES.items())
    last = text["vocab_size"] - 1  # CLIP's end token, always; published configs say 2, which is wrong
    text |= {"bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    num_frames = vision.pop("num_frames")
    sizes = CLIPConfig(vision_config=vision, text_config=text, projection_dim=config["projection_dim"])
    model = LanguageBindVideo(sizes, num_frames)
    fill(model, *rename(read_tensors(file), LANGUAGEBIND), str(file), EXPECTED)
    return model


def _read_folder(folder: HubFolder) -> tuple:
    weights = folder.find("model.safetensors") or folder.path("pytorch_model.bin")
    return build(folder.path("config.json"), weights), folder.load(CLIPTokenizer)
