"""What every encoder offers, and the registry of families.

An encoder sees decoded frames and plain texts. It decodes nothing, stores nothing and trains nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from ..machine.hashing import digest_tensors
from ..profiles import ROOT
from ..video.frames import square


class Encoder(torch.nn.Module):
    """Base of all encoders. `identity` decides the address of its embeddings: family, weights' hash, what is read out."""

    name: str  # registry name of the family
    identity: dict  # JSON values only; two encoders with equal identities give equal embeddings
    image_size: int  # pixels, square
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def prepare(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (..., H, W, 3) -> normalised float (N, 3, S, S), N the product of the leading axes."""
        pixels = torch.as_tensor(frames).to(self.device).flatten(0, -4).permute(0, 3, 1, 2)
        return normalise(square(pixels, self.image_size), self.mean, self.std)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw frame features (N, T, D)."""
        raise NotImplementedError(f"{self.name} gives no features of single frames.")

    def in_two_steps(self) -> tuple["Encoder", Callable[[torch.Tensor], torch.Tensor] | None]:
        """The encoder whose frame features are kept, and what then makes of them this one's; itself and None where nothing does."""
        return self, None

    def encode_clips(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw clip features (N, D): the mean over frames, unless an encoder says otherwise."""
        return self.encode_frames(frames).mean(1)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> raw text features (M, D)."""
        raise NotImplementedError(f"{self.name} reads no text.")


def normalise(pixels: torch.Tensor, mean: tuple, std: tuple) -> torch.Tensor:
    """Pixels (..., 3, H, W), 0 to 255 -> zero mean and unit spread, by an encoder's own constants."""
    mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) * 255 for values in (mean, std))
    return (pixels.float() - mean) / std


def hash_weights(model: torch.nn.Module) -> str:
    """Hash a model's weights by name and value, whatever file they came from."""
    return digest_tensors(model.state_dict(), scalars_as_text=True)[:16]


def local_folder(weights: str) -> str:
    """A path below the project's root as an absolute one; hub ids and other paths as they are."""
    return str(ROOT / weights) if (ROOT / weights).is_dir() else weights


# Registry name -> "module:class"; a class is made by Class.load(weights, **options). Imported when asked for.
ENCODERS = {
    "clip": "clip:ClipEncoder",
    "aim": "aim:AimEncoder",
    "blip": "blip:BlipEncoder",
    "blip2": "blip2:Blip2Encoder",
    "languagebind": "languagebind:LanguageBindEncoder",
    "captioner": "captioner:Captioner",
    "gme": "qwen_vl:GmeEncoder",
    "qwen3_vl_embedding": "qwen_vl:Qwen3VlEmbeddingEncoder",
    "e5_v": "e5v:E5VEncoder",
    "mm_embed": "mm_embed:MMEmbedEncoder",
    "siglip2": "siglip2:Siglip2Encoder",
}


def load_encoder(name: str, weights: str, **options) -> Encoder:
    """Load an encoder family from a hub id or a local path, in eval mode and without gradients."""
    if name not in ENCODERS:
        raise ValueError(f"encoder {name!r} is not known; choose one of {', '.join(ENCODERS)}.")
    module, _, cls = ENCODERS[name].partition(":")
    with without_bars():
        encoder = getattr(import_module(f".{module}", __package__), cls).load(weights, **options)
    return encoder.eval().requires_grad_(False)


@contextmanager
def without_bars() -> Iterator[None]:
    """Files are read and written without transformers' bars, which fill a notebook; downloads keep those of the hub's client."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
