"""Encoders of clips and texts: one file a family, all behind `Encoder`."""

from .base import ENCODERS, Encoder, load_encoder

__all__ = ["ENCODERS", "Encoder", "load_encoder"]
