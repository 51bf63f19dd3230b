"""CLIP, image and text, from a Hugging Face folder or a hub id; the rendered benchmark's weights go the same way."""
import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, CLIPModel
from transformers.utils import cached_file

from .base import Encoder, hash_weights, local_folder

READ_OUTS = ("projected", "pooled")


class ClipEncoder(Encoder):
    """A CLIP with two read-outs of a frame: "projected", its joint space with text, or "pooled", the CLS token before the
    projection, which is where AIM starts from."""
    name = "clip"

    def __init__(self, model: CLIPModel, tokenizer, preprocessing: dict, read_out: str = "projected"):
        super().__init__()
        if read_out not in READ_OUTS:
            raise ValueError(f"read_out {read_out!r} is not known; choose one of {', '.join(READ_OUTS)}.")
        self.model, self.tokenizer, self.read_out = model, tokenizer, read_out
        self.image_size = model.config.vision_config.image_size
        self.mean, self.std = tuple(preprocessing["image_mean"]), tuple(preprocessing["image_std"])
        self.identity = {"family": self.name, "weights": hash_weights(model), "read_out": read_out, "mean": self.mean, "std": self.std}

    @classmethod
    def load(cls, weights: str, read_out: str = "projected") -> "ClipEncoder":
        """Load from a hub id or a folder with config.json, model.safetensors, a tokenizer and preprocessor_config.json."""
        source = local_folder(weights)
        model = CLIPModel.from_pretrained(source, dtype=torch.float32, attn_implementation="sdpa")
        preprocessing = json.loads(Path(cached_file(source, "preprocessor_config.json")).read_text())
        return cls(model, AutoTokenizer.from_pretrained(source), preprocessing, read_out)

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        pixels = self.prepare(frames)
        pooled = self.model.vision_model(pixels).pooler_output
        features = self.model.visual_projection(pooled) if self.read_out == "projected" else pooled
        return features.unflatten(0, frames.shape[:2])

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        tokens = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(self.device)
        return self.model.get_text_features(**tokens).pooler_output
