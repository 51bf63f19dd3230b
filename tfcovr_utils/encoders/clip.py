"""CLIP, image and text, from a Hugging Face folder, a hub id or OpenAI's own files."""

from collections.abc import Callable

import numpy as np
import torch
from transformers import AutoTokenizer, CLIPModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from .base import Encoder
from .clip_openai import EXPECTED, build_resnet, build_vit, is_resnet, read_openai
from .hub import HubFolder, LateTokenizer, from_hub
from .loading import find_file
from .tokens import pad_and_cut

READ_OUTS = ("projected", "pooled")


class ClipEncoder(Encoder):
    """A CLIP with two read-outs of a frame.

    "projected" is its joint space with text; "pooled" is the class token before that, which AIM starts from.
    """

    name = "clip"

    def __init__(self, model: CLIPModel, tokenizer, mean: tuple, std: tuple, read_out: str = "projected"):
        super().__init__()
        self.model, self.tokenizer, self.read_out = model, tokenizer, read_out
        vision, text = model.config.vision_config, model.config.text_config
        self.image_size, self.mean, self.std = vision.image_size, mean, std
        self.identify(model, vision, text, read_out=read_out)

    @classmethod
    def load(
        cls, weights: str, read_out: str = "projected", tokenizer: str = "openai/clip-vit-base-patch16"
    ) -> Encoder:
        """Load a hub id, a Hugging Face folder, or a checkpoint file of OpenAI's.

        tokenizer: hub id or folder, for a file, which has none; loaded when the first text comes.
        """
        if read_out not in READ_OUTS:
            raise ValueError(f"read_out {read_out!r} is not known; choose one of {', '.join(READ_OUTS)}.")
        file = find_file(weights, EXPECTED)
        if file is None:
            return cls(*from_hub(_read_folder, weights), read_out)
        state, late = read_openai(file), LateTokenizer(tokenizer)
        if is_resnet(state):
            return ClipResNetEncoder(*build_resnet(state, file), late, read_out)
        return cls(build_vit(state, file), late, tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD), read_out)

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw features of the read-out (N, T, D)."""
        pooled = self.model.vision_model(self.prepare(frames)).pooler_output
        features = self.model.visual_projection(pooled) if self.read_out == "projected" else pooled
        return features.unflatten(0, frames.shape[:2])

    def in_two_steps(self) -> tuple[Encoder, Callable | None]:
        """Store the pooled features, which serve both read-outs."""
        if self.read_out != "projected":
            return self, None
        pooled = ClipEncoder(self.model, self.tokenizer, self.mean, self.std, "pooled")
        return pooled.eval().requires_grad_(False), self.project

    @torch.no_grad()
    def project(self, pooled: torch.Tensor) -> torch.Tensor:
        """Pooled features (..., W) -> the joint space of frames and texts (..., D), on the CPU."""
        return self.model.visual_projection(pooled.to(self.device)).cpu()

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> raw features (M, D); what is beyond the context is cut."""
        length = self.model.config.text_config.max_position_embeddings
        tokens = pad_and_cut(texts, self.tokenizer, length).to(self.device)
        return self.model.get_text_features(**tokens).pooler_output


class ClipResNetEncoder(Encoder):
    """OpenAI's CLIP with a ResNet. The read-out "pooled" is the output of its attention pool."""

    name = "clip"

    def __init__(self, image: torch.nn.Module, text: torch.nn.Module, tokenizer, read_out: str):
        super().__init__()
        self.image, self.text, self.tokenizer, self.read_out = image, text, tokenizer, read_out
        self.image_size = image.default_cfg["input_size"][-1]
        self.mean, self.std = tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD)
        self.identify(self, read_out=read_out)

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw features of the read-out (N, T, D)."""
        maps = self.image.forward_features(self.prepare(frames))
        features = self.image.forward_head(maps, pre_logits=self.read_out == "pooled")
        return features.unflatten(0, frames.shape[:2])

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> raw features (M, D); what is beyond the context is cut."""
        tokens = pad_and_cut(texts, self.tokenizer, self.text.config.max_position_embeddings)
        return self.text(**tokens.to(self.device)).text_embeds


def _read_folder(folder: HubFolder) -> tuple:
    model, _ = folder.load_model(
        CLIPModel,
        "a CLIP such as openai/clip-vit-base-patch16",
        ignored=r".*\.position_ids",
        dtype=torch.float32,
        attn_implementation="sdpa",
    )
    return model, folder.load(AutoTokenizer), *folder.pixel_statistics()
