"""Both stages at once: a reader of frames and the fusion above it, trained together by classification and by contrast.

It reads frame features of a frozen encoder in memory; nothing is resumed, a run takes a minute.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from ..machine.files import read_json, replacing_files, write_json
from ..machine.tensors import read_weights, write_weights
from .fusion import Fusion
from .losses import TEMPERATURE, multi_positive_nce
from .readers import ClipReader, Readout
from .stage1 import learning_rate, parameter_groups

POOLINGS = ("mean", "text")


@dataclass(frozen=True)
class SingleStageSettings:
    """Settings of the single stage; the sizes and the rates are those of the two stages at mini's size."""

    steps: int = 500
    batch: int = 128  # triplets
    lr: float = 2e-3
    weight_decay: float = 0.05
    warm_up: float = 0.1  # share of the steps
    multi_positive: bool = True  # targets of one label are no negatives of each other
    temperature: float = TEMPERATURE
    label_weight: float = 1.0  # of classification beside contrast
    label_smoothing: float = 0.1
    pooling: str = "mean"  # of the query clip's frames; "text" weighs them by what the instruction asks
    projection_dim: int = 256
    hidden_dim: int = 512
    dropout: float = 0.3  # of the fusion
    clip_norm: float = 1.0  # largest norm of the gradient
    select_every: int = 50  # steps between validations


_LARGE = SingleStageSettings(steps=3000, batch=256, select_every=250)
SINGLE_STAGE = {
    "smoke": SingleStageSettings(steps=100, batch=64, select_every=20),
    "mini": SingleStageSettings(),
    "sim": _LARGE,
    "released": _LARGE,
    "paper": _LARGE,
}


class SingleStage(nn.Module):
    """A reader and a fusion, to be used as a `Fusion` whose clips are frame features (B, T, D)."""

    def __init__(self, reader: ClipReader, fusion: Fusion, pooling: str = "mean"):
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r} is not known; choose one of {', '.join(POOLINGS)}.")
        self.reader, self.fusion, self.pooling = reader, fusion, pooling
        if pooling == "text":
            width = reader.readout.out_dim
            self.ask = nn.Linear(width, width, bias=False)
            nn.init.zeros_(self.ask.weight)  # attention begins as the mean

    def forward(
        self, features: torch.Tensor, texts: torch.Tensor, text_idx: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compose unit queries (B, W) from frame features (B, T, D) and texts (M, Dt), as `Fusion` does."""
        return self.compose(self.reader.readout.read_frames(features), texts, text_idx)

    def compose(
        self, frames: torch.Tensor, texts: torch.Tensor, text_idx: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The same from frames that the reader has read (B, T, W)."""
        return self.fusion(self.pool(frames, texts if text_idx is None else texts[text_idx]), texts, text_idx)

    def pool(self, frames: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Query clips (B, W) from their read frames (B, T, W) and texts (B, Dt)."""
        if self.pooling == "mean":
            return frames.mean(1)
        asked = self.ask(self.fusion.embed_text(texts))  # (B, W)
        weights = (frames @ asked[:, :, None] / math.sqrt(frames.shape[2])).softmax(1)  # (B, T, 1)
        return (weights * frames).sum(1)

    def embed_target(self, features: torch.Tensor) -> torch.Tensor:
        """Give targets and galleries (G, W) from frame features (G, T, D): the mean of the frames, unit."""
        return self.fusion.embed_target(self.reader.readout(features))

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        with replacing_files(folder, "config.json") as temporary:
            write_weights(self.state_dict(), temporary / "model.safetensors")
            write_json(
                {
                    "readout": self.reader.readout.config,
                    "labels": self.reader.labels,
                    "fusion": self.fusion.config,
                    "pooling": self.pooling,
                },
                temporary / "config.json",
            )

    @classmethod
    def load(cls, folder: Path) -> "SingleStage":
        """Read what `save_pretrained` wrote, in eval mode."""
        config = read_json(Path(folder) / "config.json")
        if "readout" not in config:
            raise ValueError(
                f"{folder} holds another kind of model than a single stage's; give the folder that its own row was saved in."
            )
        model = cls(
            ClipReader(Readout(**config["readout"]), config["labels"]),
            Fusion(**config["fusion"]),
            config["pooling"],
        )
        model.load_state_dict(read_weights(Path(folder) / "model.safetensors"))
        return model.eval()


def fit_single_stage(
    features: torch.Tensor,
    texts: torch.Tensor,
    triplets: torch.Tensor,
    label_idx: torch.Tensor,
    labels: list[str],
    settings: SingleStageSettings,
    seed: int = 0,
    validate: Callable[[SingleStage], float] | None = None,
) -> tuple[SingleStage, pd.DataFrame]:
    """Train reader and fusion, and return them at their best step, in eval mode, with the curve.

    features: (N, T, D) frames of clips; texts: (M, Dt); triplets: (R, 3) int64 rows of query clip, text, target clip;
    label_idx: (N,) int64, the clips' places in `labels`. `validate` scores a model, higher is better, every
    `select_every` steps; without it the last step is returned. Curve columns: step, loss (mean since the row before), val,
    seconds (of training alone).
    """
    if label_idx.min() < 0:
        unknown = int((label_idx < 0).sum())
        raise ValueError(
            f"{unknown} of {len(label_idx)} clips have none of {len(labels)} labels; give each clip its label."
        )
    device, batch = features.device, min(settings.batch, len(triplets))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        reader = ClipReader(Readout("ordered", features.shape[2], num_frames=features.shape[1]), labels)
        reader.readout.set_statistics(features[triplets[:, [0, 2]].unique()])
        fusion = Fusion(
            reader.readout.out_dim,
            texts.shape[1],
            settings.projection_dim,
            settings.hidden_dim,
            settings.dropout,
            unit_video=True,
        )
        fusion.text_mean.copy_(
            texts[triplets[:, 1].unique()].mean(0)
        )  # the clips' means move while the reader learns
        model = SingleStage(reader, fusion, settings.pooling).to(device)
        optimiser = torch.optim.AdamW(parameter_groups(model, settings.weight_decay), settings.lr)
        curve, loss_sum, since, trained_s, best, best_score = [], 0.0, 0, 0.0, None, -math.inf
        for step in range(settings.steps):
            model.train()
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(settings, step, settings.steps)
            started = time.perf_counter()
            rows = triplets[torch.randperm(len(triplets), device=device)[:batch]]
            loss = loss_of(model, features, texts, rows, label_idx, settings)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimiser.step()
            loss_sum += loss.item()
            trained_s += time.perf_counter() - started
            if (step + 1) % settings.select_every == 0 or step + 1 == settings.steps:
                if not math.isfinite(loss_sum):
                    raise ValueError(
                        f"the loss is {loss_sum} at step {step + 1}; lower lr, which is {settings.lr}."
                    )
                with torch.no_grad():
                    val = math.nan if validate is None else float(validate(model.eval()))
                if val > best_score:
                    best_score, best = (
                        val,
                        {name: value.clone() for name, value in model.state_dict().items()},
                    )
                curve.append(
                    {
                        "step": step + 1,
                        "loss": loss_sum / (step + 1 - since),
                        "val": val,
                        "seconds": trained_s,
                    }
                )
                loss_sum, since = 0.0, step + 1
    if best is not None:
        model.load_state_dict(best)
    return model.eval(), pd.DataFrame(curve)


def loss_of(
    model: SingleStage,
    features: torch.Tensor,
    texts: torch.Tensor,
    rows: torch.Tensor,
    label_idx: torch.Tensor,
    settings: SingleStageSettings,
) -> torch.Tensor:
    """Stage 2's loss of a batch of triplets (B, 3), and stage 1's of its clips, each of them read once."""
    clips, place = rows[:, [0, 2]].unique(return_inverse=True)
    frames = model.reader.readout.read_frames(features[clips])
    means = frames.mean(1)
    logits = model.reader.classify(means)["label"]
    classified = F.cross_entropy(logits, label_idx[clips], label_smoothing=settings.label_smoothing)
    query_emb = model.compose(frames.index_select(0, place[:, 0]), texts, rows[:, 1])
    label = label_idx[rows[:, 2]]
    positives = (label[:, None] == label) & settings.multi_positive
    contrast = multi_positive_nce(
        query_emb,
        model.fusion.embed_target(means.index_select(0, place[:, 1])),
        positives,
        settings.temperature,
    )
    return contrast + settings.label_weight * classified
