"""From the features of frames to one clip: means, transformers over time, and the heads that teach them.

AIM's own reading is the mean over frames. Everything here goes past the paper: it reads frame features, AIM's
or those of a frozen tower, so it can be trained on a matrix in memory.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..encoders.positions import interpolate_time
from ..machine.files import read_json, replacing_files, write_json
from ..machine.tensors import read_weights, write_weights

READOUTS = ("mean", "mlp", "set", "ordered")
NORM_EPS = 1e-5


class Readout(nn.Module):
    """Frame features (B, T, D) -> clip features (B, W).

    "mean" is the mean over frames; "mlp" the same through a small MLP; "set" a transformer that sees all frames and
    not their order; "ordered" the same transformer with positions in time. Features are centred and scaled by the
    training set's statistics first (`set_statistics`).
    """

    def __init__(
        self,
        kind: str,
        dim: int,
        *,
        num_frames: int,
        width: int = 192,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        if kind not in READOUTS:
            raise ValueError(f"readout {kind!r} is not known; choose one of {', '.join(READOUTS)}.")
        self.config = {
            "kind": kind,
            "dim": dim,
            "num_frames": num_frames,
            "width": width,
            "layers": layers,
            "heads": heads,
            "dropout": dropout,
        }
        self.kind, self.out_dim = kind, dim if kind == "mean" else width
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        if kind == "mlp":
            self.mlp = nn.Sequential(
                nn.Linear(dim, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
            )
        if kind in ("set", "ordered"):
            self.enter = nn.Linear(dim, width)
            self.positions = (
                nn.Parameter(0.02 * torch.randn(1, num_frames, width)) if kind == "ordered" else None
            )
            layer = nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, F.gelu, NORM_EPS, batch_first=True, norm_first=True
            )
            self.transformer = nn.TransformerEncoder(
                layer, layers, nn.LayerNorm(width), enable_nested_tensor=False
            )

    def set_statistics(self, features: torch.Tensor) -> None:
        """Take mean and spread of each dimension from training features (N, T, D)."""
        flat = features.flatten(0, 1)
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(flat.std(0).clamp_min(1e-6))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        mean = self.read_frames(features).mean(1)
        return self.mlp(mean) if self.kind == "mlp" else mean

    def read_frames(self, features: torch.Tensor) -> torch.Tensor:
        """Frame features (B, T, D) -> frames as a transformer gives them (B, T, W), without one only scaled (B, T, D)."""
        x = (features - self.mean) / self.scale
        if self.kind in ("mean", "mlp"):
            return x
        x = self.enter(x)
        if self.positions is not None:
            x = x + interpolate_time(self.positions, x.shape[1])
        return self.transformer(x)


class ClipReader(nn.Module):
    """A readout with its heads: the labels, and where `factors` names them the labels' attributes beside.

    factors: attribute -> its values, each value a class of that head.
    """

    def __init__(
        self,
        readout: Readout,
        labels: list[str],
        factors: dict[str, list] | None = None,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.readout, self.labels, self.factors = readout, list(labels), dict(factors or {})
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict(
            {
                "label": nn.Linear(readout.out_dim, len(self.labels)),
                **{name: nn.Linear(readout.out_dim, len(values)) for name, values in self.factors.items()},
            }
        )

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Frame features (B, T, D) -> clip features (B, W), and logits (B, C) by head."""
        clip = self.readout(features)
        return clip, self.classify(clip)

    def classify(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        """Clip features (B, W) -> logits (B, C) by head."""
        dropped = self.dropout(clip)
        return {name: head(dropped) for name, head in self.heads.items()}

    def save(self, folder: Path) -> None:
        with replacing_files(folder, "reader.json") as temporary:
            write_weights(self.state_dict(), temporary / "reader.safetensors")
            write_json(
                {
                    "readout": self.readout.config,
                    "labels": self.labels,
                    "factors": self.factors,
                    "dropout": self.dropout.p,
                },
                temporary / "reader.json",
            )

    @classmethod
    def load(cls, folder: Path) -> "ClipReader":
        if not (Path(folder) / "reader.json").exists():
            raise FileNotFoundError(
                f"{folder} holds no reader.json; train one with `tfcovr teach --out {folder}`."
            )
        config = read_json(Path(folder) / "reader.json")
        reader = cls(Readout(**config["readout"]), config["labels"], config["factors"], config["dropout"])
        reader.load_state_dict(read_weights(Path(folder) / "reader.safetensors"))
        return reader.eval()
