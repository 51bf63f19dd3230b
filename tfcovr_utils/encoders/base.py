"""What every encoder offers, and the registry of encoders.

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
    """Base of all encoders. `identity` is the address of its embeddings: what decides them."""

    name: str  # key in ENCODERS
    identity: dict  # JSON values only; two encoders with equal identities give equal embeddings
    image_size: int  # pixels, square
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def identify(self, model: torch.nn.Module, *towers, **choices) -> None:
        """Set `identity`: of the weights, of what transformers' configs of the towers add, and of choices."""
        settings = {"heads": "num_attention_heads", "activation": "hidden_act", "norm_eps": "layer_norm_eps"}
        of_towers = {
            key: [getattr(tower, name) for tower in towers] for key, name in settings.items() if towers
        }
        pixels = {key: getattr(self, key) for key in ("mean", "std") if hasattr(self, key)}
        self.identity = {
            "encoder": self.name,
            "weights": hash_weights(model),
            **pixels,
            **of_towers,
            **choices,
        }

    def prepare(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (..., H, W, 3) -> normalised float (N, 3, S, S), N the product of the leading axes."""
        pixels = torch.as_tensor(frames).to(self.device).flatten(0, -4).permute(0, 3, 1, 2)
        return normalise(square(pixels, self.image_size), self.mean, self.std)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw frame features (N, T, D)."""
        raise NotImplementedError(f"{self.name} gives no features of single frames.")

    def in_two_steps(self) -> tuple["Encoder", Callable[[torch.Tensor], torch.Tensor] | None]:
        """Return the encoder whose frame features are stored, and a map to this one's or None."""
        return self, None

    def encode_clips(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> raw clip features (N, D): by default the mean over frames."""
        return self.encode_frames(frames).mean(1)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> raw text features (M, D)."""
        raise NotImplementedError(f"{self.name} reads no text.")


def normalise(pixels: torch.Tensor, mean: tuple, std: tuple) -> torch.Tensor:
    """Scale pixels (..., 3, H, W) from 0..255 to 0..1, subtract the mean, divide by the standard deviation.

    >>> normalise(torch.full((3, 1, 1), 255), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).flatten().tolist()
    [2.0, 2.0, 2.0]
    """
    mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) * 255 for values in (mean, std))
    return (pixels.float() - mean) / std


def hash_weights(model: torch.nn.Module) -> str:
    """Hash a model's weights by name and value, whatever file they came from."""
    return digest_tensors(model.state_dict(), scalars_as_text=True)[:16]


def local_folder(weights: str) -> str:
    """Make a path below the project's root absolute; hub ids and other paths stay as they are."""
    return str(ROOT / weights) if (ROOT / weights).is_dir() else weights


def _import_later(module: str, cls: str) -> Callable[..., Encoder]:
    """Return a class's `load`; the first call imports its module, since transformers is slow to import."""

    def load(weights: str, **options) -> Encoder:
        return getattr(import_module(f".{module}", __package__), cls).load(weights, **options)

    return load


# Encoder name -> function (weights, **options) -> Encoder.
ENCODERS: dict[str, Callable[..., Encoder]] = {
    "clip": _import_later("clip", "ClipEncoder"),
    "aim": _import_later("aim", "AimEncoder"),
    "blip": _import_later("blip", "BlipEncoder"),
    "blip2": _import_later("blip2", "Blip2Encoder"),
    "languagebind": _import_later("languagebind", "LanguageBindEncoder"),
    "captioner": _import_later("captioner", "Captioner"),
    "gme": _import_later("qwen_vl", "GmeEncoder"),
    "qwen3_vl_embedding": _import_later("qwen_vl", "Qwen3VlEmbeddingEncoder"),
    "e5_v": _import_later("e5v", "E5VEncoder"),
    "mm_embed": _import_later("mm_embed", "MMEmbedEncoder"),
    "siglip2": _import_later("siglip2", "Siglip2Encoder"),
}


def load_encoder(name: str, weights: str, **options) -> Encoder:
    """Load an encoder from a hub id or a local path, in eval mode and without gradients."""
    if name not in ENCODERS:
        raise ValueError(f"encoder {name!r} is not known; choose one of {', '.join(ENCODERS)}.")
    with hide_progress_bars():
        return ENCODERS[name](weights, **options).eval().requires_grad_(False)


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """Hide transformers' bars of reading and writing, which fill a notebook; downloads keep theirs."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
