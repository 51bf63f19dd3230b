"""SigLIP 2: frames and texts in one space; pictures keep their shape where the weights are of its NaFlex kind."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, Siglip2Model, SiglipModel

from .base import Encoder, hash_weights
from .hub import from_hub
from .mllm import account_for, read_model, require_room

HUB_ID = "google/siglip2-so400m-patch16-naflex"
CLASSES = {
    "siglip2": Siglip2Model,
    "siglip": SiglipModel,
}  # SigLIP 2 of one resolution is published in SigLIP's class


class Siglip2Encoder(Encoder):
    """Raw features of frames and texts."""

    name = "siglip2"

    def __init__(self, model: Siglip2Model | SiglipModel, tokenizer, images):
        super().__init__()
        self.model, self.tokenizer, self.images = model, tokenizer, images
        made_by = images.to_dict()
        config = model.config.to_dict()
        self.identity = {
            "family": self.name,
            "weights": hash_weights(model),
            "sizes": {key: config[key] for key in ("text_config", "vision_config")},
            "vocabulary": len(tokenizer),
            "pixels": {
                key: made_by.get(key)
                for key in ("size", "image_mean", "image_std", "resample", "max_num_patches")
            },
        }

    @classmethod
    def load(cls, weights: str = HUB_ID) -> "Siglip2Encoder":
        """Load a folder or hub id of Siglip2Model (NaFlex), or of SiglipModel."""
        model, told, tokenizer, images = from_hub(_read_hugging_face, weights)
        account_for(told, r".*position_ids", weights, HUB_ID)
        return cls(model, tokenizer, images)

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        pictures = [Image.fromarray(picture) for picture in np.asarray(frames).reshape(-1, *frames.shape[2:])]
        inputs = self.images(pictures, return_tensors="pt").to(self.device)
        return self.model.get_image_features(**inputs).pooler_output.unflatten(0, frames.shape[:2])

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts -> (M, E), in lower case and padded to the full context, as it was trained; what is beyond it is cut."""
        length = self.model.config.text_config.max_position_embeddings
        ids = self.tokenizer(
            [text.lower() for text in texts],
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )["input_ids"]
        return self.model.get_text_features(input_ids=ids.to(self.device)).pooler_output


def _read_hugging_face(source: str, local_files_only: bool) -> tuple:
    """Model, what transformers says of its names, tokenizer and image processor."""
    options = {"local_files_only": local_files_only, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(source, **options)
    if config.model_type not in CLASSES:
        raise ValueError(f"{source} is a {config.model_type}; expected one of {', '.join(CLASSES)}.")
    require_room(CLASSES[config.model_type], config, torch.float32, source)
    model, told = read_model(CLASSES[config.model_type], source, dtype=torch.float32, **options)
    return (
        model,
        told,
        AutoTokenizer.from_pretrained(source, **options),
        AutoImageProcessor.from_pretrained(source, backend="pil", **options),
    )
