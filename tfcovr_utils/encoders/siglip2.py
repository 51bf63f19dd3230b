"""SigLIP 2: frames and texts in one space; with weights of its NaFlex kind, pictures keep their shape."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, Siglip2Model, SiglipModel

from .base import Encoder
from .hub import HubFolder, from_hub
from .loading import WrongWeights
from .mllm import layout_of, pick, require_room
from .tokens import pad_and_cut

HUB_ID = "google/siglip2-so400m-patch16-naflex"
CLASSES = {
    "siglip2": Siglip2Model,
    "siglip": SiglipModel,
}  # SigLIP 2 of one resolution is published as SiglipModel
PIXELS = ("size", "image_mean", "image_std", "resample", "max_num_patches")


class Siglip2Encoder(Encoder):
    """Raw features of frames and texts."""

    name = "siglip2"

    def __init__(self, model: Siglip2Model | SiglipModel, tokenizer, images):
        super().__init__()
        self.model, self.tokenizer, self.images = model, tokenizer, images
        sizes = pick(model.config.to_dict(), ("text_config", "vision_config"))
        self.identify(model, sizes=sizes, vocabulary=len(tokenizer), pixels=pick(images.to_dict(), PIXELS))

    @classmethod
    def load(cls, weights: str = HUB_ID) -> "Siglip2Encoder":
        """Load a folder or hub id of Siglip2Model (NaFlex), or of SiglipModel."""
        return cls(*from_hub(_read_folder, weights))

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw features (N, T, D)."""
        pictures = [Image.fromarray(picture) for picture in np.asarray(frames).reshape(-1, *frames.shape[2:])]
        inputs = self.images(pictures, return_tensors="pt").to(self.device)
        return self.model.get_image_features(**inputs).pooler_output.unflatten(0, frames.shape[:2])

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts -> raw features (M, D), in lower case, padded or cut to the whole context."""
        length = self.model.config.text_config.max_position_embeddings
        tokens = pad_and_cut([text.lower() for text in texts], self.tokenizer, length, padding="max_length")
        return self.model.get_text_features(input_ids=tokens["input_ids"].to(self.device)).pooler_output


def _read_folder(folder: HubFolder) -> tuple:
    config = folder.load(AutoConfig)
    if config.model_type not in CLASSES:
        raise WrongWeights(f"{folder.source} is a {config.model_type}; expected one of {', '.join(CLASSES)}.")
    model_class = CLASSES[config.model_type]
    require_room(model_class, config, torch.float32, folder.source)
    choices = {"ignored": r".*position_ids", "dtype": torch.float32, "attn_implementation": "sdpa"}
    model, _ = folder.load_model(model_class, layout_of(HUB_ID), **choices)
    return model, folder.load(AutoTokenizer), folder.load(AutoImageProcessor, backend="pil")
