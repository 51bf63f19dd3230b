"""From frame features to one clip: the mean, an MLP, transformers over time, and the heads that teach them.

The paper's AIM takes the mean over frames. The others go past the paper; they read frame features, AIM's or a
frozen tower's, so they train on a matrix in memory.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..encoders.positions import interpolate_time
from .model_folder import load_model, save_model

READOUTS = ("mean", "mlp", "set", "ordered")
NORM_EPS = 1e-5
FILES = "reader.json", "reader.safetensors"


class Readout(nn.Module):
    """Frame features (B, T, D) -> clip features (B, W).

    "mean" is the mean over frames; "mlp" the same through a small MLP; "set" a transformer that sees all
    frames and not their order; "ordered" the same transformer with positions in time. Features are first
    centred and scaled by the training set's statistics (`set_statistics`).
    """

    def __init__(
        self, kind: str, dim: int, *, num_frames: int, width=192, layers=1, heads=4, dropout: float = 0.1
    ):
        super().__init__()
        if kind not in READOUTS:
            raise ValueError(f"readout {kind!r} is not known; choose one of {', '.join(READOUTS)}.")
        self.config = {"kind": kind, "dim": dim, "num_frames": num_frames, "width": width}
        self.config |= {"layers": layers, "heads": heads, "dropout": dropout}
        self.kind, self.out_dim = kind, dim if kind == "mean" else width
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        if kind == "mlp":
            first, second = nn.Linear(dim, 2 * width), nn.Linear(2 * width, width)
            self.mlp = nn.Sequential(first, nn.GELU(), nn.Dropout(dropout), second)
        if kind in ("set", "ordered"):
            self.enter = nn.Linear(dim, width)
            ordered = kind == "ordered"
            self.positions = nn.Parameter(0.02 * torch.randn(1, num_frames, width)) if ordered else None
            inner = {"batch_first": True, "norm_first": True}
            layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, F.gelu, NORM_EPS, **inner)
            norm = nn.LayerNorm(width)
            self.transformer = nn.TransformerEncoder(layer, layers, norm, enable_nested_tensor=False)

    def set_statistics(self, features: torch.Tensor) -> None:
        """Take mean and standard deviation of each dimension from training features (N, T, D)."""
        flat = features.flatten(0, 1)
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(flat.std(0).clamp_min(1e-6))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Read frame features (B, T, D) as clip features (B, W)."""
        mean = self.read_frames(features).mean(1)
        return self.mlp(mean) if self.kind == "mlp" else mean

    def read_frames(self, features: torch.Tensor) -> torch.Tensor:
        """Read frames (B, T, D) by the transformer, (B, T, W); without one they are only scaled."""
        x = (features - self.mean) / self.scale
        if self.kind in ("mean", "mlp"):
            return x
        x = self.enter(x)
        if self.positions is not None:
            x = x + interpolate_time(self.positions, x.shape[1])
        return self.transformer(x)


class ClipReader(nn.Module):
    """A readout with its heads: one for the labels, and one for each of the labels' attributes in `factors`.

    factors: attribute -> its values, each value a class of that head.
    """

    def __init__(self, readout: Readout, labels: list[str], factors: dict | None = None, dropout=0.2):
        super().__init__()
        self.readout, self.labels, self.factors = readout, list(labels), dict(factors or {})
        self.dropout = nn.Dropout(dropout)
        classes = {"label": self.labels, **self.factors}
        heads = {name: nn.Linear(readout.out_dim, len(values)) for name, values in classes.items()}
        self.heads = nn.ModuleDict(heads)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Read frame features (B, T, D) as clip features (B, W), and logits (B, C) by head."""
        clip = self.readout(features)
        return clip, self.classify(clip)

    def classify(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        """Classify clip features (B, W): logits (B, C) by head, z_V of the paper's L_cls."""
        dropped = self.dropout(clip)
        return {name: head(dropped) for name, head in self.heads.items()}

    def save(self, folder: Path) -> None:
        """Write reader.json and reader.safetensors."""
        config = {"readout": self.readout.config, "labels": self.labels, "factors": self.factors}
        save_model(self, config | {"dropout": self.dropout.p}, folder, FILES)

    @classmethod
    def load(cls, folder: Path) -> "ClipReader":
        """Read what `save` wrote, in eval mode."""
        return load_model(
            lambda config: cls(**config | {"readout": Readout(**config["readout"])}),
            "a reader",
            folder,
            FILES,
        )
