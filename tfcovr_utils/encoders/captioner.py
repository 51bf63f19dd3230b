"""A BLIP that puts a frame into words: the descriptions that ECDE, TF-CVR and BSE-CoVR read."""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, BlipForConditionalGeneration
from transformers.utils import cached_file

from .base import Encoder, hash_weights
from .hub import from_hub

LONGEST = 40  # tokens of a caption


class Captioner(Encoder):
    """`describe` writes; it has no features."""

    name = "captioner"

    def __init__(self, model: BlipForConditionalGeneration, tokenizer, preprocessing: dict, source: str):
        super().__init__()
        self.model, self.tokenizer, self.source = model, tokenizer, source
        self.image_size = model.config.vision_config.image_size
        self.mean, self.std = tuple(preprocessing["image_mean"]), tuple(preprocessing["image_std"])
        self.identity = {
            "family": self.name,
            "weights": hash_weights(model),
            "mean": self.mean,
            "std": self.std,
            "longest": LONGEST,
        }

    @classmethod
    def load(cls, weights: str) -> "Captioner":
        """Load a Hugging Face folder or hub id of BlipForConditionalGeneration, such as Salesforce/blip-image-captioning-large."""
        return cls(*from_hub(_read_hugging_face, weights), source=weights)

    @torch.no_grad()
    def describe(self, frames: np.ndarray | torch.Tensor) -> list[str]:
        """Frames uint8 (N, H, W, 3) -> N captions, the likeliest word at each place."""
        written = self.model.generate(
            pixel_values=self.prepare(frames), max_new_tokens=LONGEST, do_sample=False, num_beams=1
        )
        return [text.strip() for text in self.tokenizer.batch_decode(written, skip_special_tokens=True)]


def _read_hugging_face(source: str, local_files_only: bool) -> tuple:
    """Model, tokenizer and what is done to pixels."""
    preprocessing = json.loads(
        Path(cached_file(source, "preprocessor_config.json", local_files_only=local_files_only)).read_text()
    )
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local_files_only)
    return (
        BlipForConditionalGeneration.from_pretrained(
            source, dtype=torch.float32, local_files_only=local_files_only
        ),
        tokenizer,
        preprocessing,
    )
