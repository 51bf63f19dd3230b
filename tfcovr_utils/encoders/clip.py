"""CLIP, image and text, from a Hugging Face folder, a hub id or OpenAI's own files; the rendered benchmark's weights go the same way."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, CLIPModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.utils import cached_file

from .base import Encoder, hash_weights
from .clip_openai import SUFFIXES, build_resnet, build_vit, is_resnet, read_openai
from .hub import LateTokenizer, from_hub

READ_OUTS = ("projected", "pooled")


class ClipEncoder(Encoder):
    """A CLIP with two read-outs of a frame: "projected", its joint space with text, or "pooled", the CLS token before the
    projection, which is where AIM starts from."""

    name = "clip"

    def __init__(self, model: CLIPModel, tokenizer, preprocessing: dict, read_out: str = "projected"):
        super().__init__()
        self.model, self.tokenizer, self.read_out = model, tokenizer, read_out
        towers = (model.config.vision_config, model.config.text_config)
        self.image_size = towers[0].image_size
        self.mean, self.std = tuple(preprocessing["image_mean"]), tuple(preprocessing["image_std"])
        self.identity = {
            "family": self.name,
            "weights": hash_weights(model),
            "read_out": read_out,
            "mean": self.mean,
            "std": self.std,
            "heads": [tower.num_attention_heads for tower in towers],
            "activation": [tower.hidden_act for tower in towers],
            "norm_eps": [tower.layer_norm_eps for tower in towers],
        }

    @classmethod
    def load(
        cls, weights: str, read_out: str = "projected", tokenizer: str = "openai/clip-vit-base-patch16"
    ) -> Encoder:
        """Load from a hub id, from a folder with config.json, model.safetensors, a tokenizer and preprocessor_config.json,
        or from a file of OpenAI's (.pt, .pth, .bin).

        tokenizer: hub id or folder, for such a file alone, which has none; read when the first text comes.
        """
        if read_out not in READ_OUTS:
            raise ValueError(f"read_out {read_out!r} is not known; choose one of {', '.join(READ_OUTS)}.")
        if Path(weights).suffix not in SUFFIXES:
            return cls(*from_hub(_read_hugging_face, weights), read_out)
        state, late = read_openai(weights), LateTokenizer(tokenizer)
        if is_resnet(state):
            return build_resnet(state, weights, late, read_out)
        return cls(
            build_vit(state, weights),
            late,
            {"image_mean": OPENAI_CLIP_MEAN, "image_std": OPENAI_CLIP_STD},
            read_out,
        )

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        pixels = self.prepare(frames)
        pooled = self.model.vision_model(pixels).pooler_output
        features = self.model.visual_projection(pooled) if self.read_out == "projected" else pooled
        return features.unflatten(0, frames.shape[:2])

    def in_two_steps(self) -> tuple[Encoder, Callable | None]:
        if self.read_out != "projected":
            return self, None
        preprocessing = {"image_mean": self.mean, "image_std": self.std}
        return ClipEncoder(self.model, self.tokenizer, preprocessing, "pooled").eval().requires_grad_(
            False
        ), self.project

    @torch.no_grad()
    def project(self, pooled: torch.Tensor) -> torch.Tensor:
        """Pooled features (..., W) -> the joint space of frames and texts (..., D), on the CPU."""
        return self.model.visual_projection(pooled.to(self.device)).cpu()

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        tokens = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.device)
        return self.model.get_text_features(**tokens).pooler_output


def _read_hugging_face(source: str, local_files_only: bool) -> tuple:
    """Model, tokenizer and what is done to pixels."""
    preprocessing = json.loads(
        Path(cached_file(source, "preprocessor_config.json", local_files_only=local_files_only)).read_text()
    )
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local_files_only)
    return (
        CLIPModel.from_pretrained(
            source, dtype=torch.float32, attn_implementation="sdpa", local_files_only=local_files_only
        ),
        tokenizer,
        preprocessing,
    )
