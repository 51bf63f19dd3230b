"""A BLIP that describes a frame in words: ECDE, TF-CVR and BSE-CoVR read its descriptions."""

import numpy as np
import torch
from transformers import AutoTokenizer, BlipForConditionalGeneration

from .base import Encoder
from .hub import HubFolder, from_hub

MAX_NEW_TOKENS = 40  # of a caption


class Captioner(Encoder):
    """`describe` writes captions; there are no features."""

    name = "captioner"

    def __init__(self, model: BlipForConditionalGeneration, tokenizer, mean: tuple, std: tuple, source: str):
        super().__init__()
        self.model, self.tokenizer, self.source, self.mean, self.std = model, tokenizer, source, mean, std
        self.image_size = model.config.vision_config.image_size
        self.identify(model, longest=MAX_NEW_TOKENS)

    @classmethod
    def load(cls, weights: str) -> "Captioner":
        """Load a Hugging Face folder or hub id, such as Salesforce/blip-image-captioning-large."""
        return cls(*from_hub(_read_folder, weights), source=weights)

    @torch.no_grad()
    def describe(self, frames: np.ndarray | torch.Tensor) -> list[str]:
        """Frames uint8 (N, H, W, 3) -> N captions, each of the likeliest words."""
        written = self.model.generate(
            pixel_values=self.prepare(frames), max_new_tokens=MAX_NEW_TOKENS, do_sample=False, num_beams=1
        )
        return [text.strip() for text in self.tokenizer.batch_decode(written, skip_special_tokens=True)]


def _read_folder(folder: HubFolder) -> tuple:
    model, _ = folder.load_model(
        BlipForConditionalGeneration,
        "a captioner such as Salesforce/blip-image-captioning-large",
        ignored=r".*\.position_ids|.*\.predictions\.(decoder\.)?bias",  # a tied bias has one name or two
        dtype=torch.float32,
    )
    return model, folder.load(AutoTokenizer), *folder.pixel_statistics()
