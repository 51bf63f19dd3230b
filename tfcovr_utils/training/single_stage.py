"""Both stages at once: a reader of frames and the fusion above it, trained by classification and contrast.

It reads frame features of a frozen encoder in memory; nothing is resumed, a run takes a minute.
"""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from .fusion import Fusion
from .loop import Plan, score_by, seeded, train
from .losses import multi_positive_nce
from .model_folder import load_model, save_model
from .readers import ClipReader, Readout
from .settings import SingleStageSettings
from .stage1 import parameter_groups

POOLINGS = ("mean", "text")
CURVE = ["step", "loss", "val", "seconds"]


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
        reader = {"readout": self.reader.readout.config, "labels": self.reader.labels}
        save_model(self, {**reader, "fusion": self.fusion.config, "pooling": self.pooling}, folder)

    @classmethod
    def load(cls, folder: Path) -> "SingleStage":
        """Read what `save_pretrained` wrote, in eval mode."""

        def build(config: dict) -> SingleStage:
            reader = ClipReader(Readout(**config["readout"]), config["labels"])
            return cls(reader, Fusion(**config["fusion"]), config["pooling"])

        return load_model(build, "a single stage", folder)


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
    """Train reader and fusion; return them at their best step, in eval mode, with the curve (`CURVE`).

    features: (N, T, D) frames of clips; texts: (M, Dt); triplets: (R, 3) int64 rows of query clip, text,
    target clip; label_idx: (N,) int64, the clips' places in `labels`. `validate` scores a model, higher is
    better, every `select_every` steps; without it the last step is returned.
    """
    if label_idx.min() < 0:
        unknown = f"{int((label_idx < 0).sum())} of {len(label_idx)}"
        raise ValueError(f"{unknown} clips have none of {len(labels)} labels; give each its label.")
    device, batch = features.device, min(settings.batch, len(triplets))
    plan = Plan(
        steps=settings.steps,
        lr=settings.lr,
        draw=lambda step: triplets[torch.randperm(len(triplets), device=device)[:batch]],
        losses=lambda rows: {"loss": loss_of(model, features, texts, rows, label_idx, settings)},
        validate=score_by(validate),
        validate_every=settings.select_every,
        schedule="cosine_after_warm_up",
        warm_up=max(1, round(settings.warm_up * settings.steps)),
        clip_norm=settings.clip_norm,
        split_batches=False,
        name="single stage",
    )
    with seeded(seed, device):
        reader = ClipReader(Readout("ordered", features.shape[2], num_frames=features.shape[1]), labels)
        reader.readout.set_statistics(features[triplets[:, [0, 2]].unique()])
        sizes = settings.projection_dim, settings.hidden_dim, settings.dropout
        fusion = Fusion(reader.readout.out_dim, texts.shape[1], *sizes, unit_video=True)
        # The texts' mean alone: the clips' means move while the reader learns.
        fusion.text_mean.copy_(texts[triplets[:, 1].unique()].mean(0))
        model = SingleStage(reader, fusion, settings.pooling).to(device)
        optimiser = torch.optim.AdamW(parameter_groups(model, settings.weight_decay), settings.lr)
        curve = train(model, optimiser, plan)
    return model, curve.reindex(columns=CURVE)


def loss_of(
    model: SingleStage, features, texts, rows, label_idx, settings: SingleStageSettings
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
    target_emb = model.fusion.embed_target(means.index_select(0, place[:, 1]))
    contrast = multi_positive_nce(query_emb, target_emb, positives, settings.temperature)
    return contrast + settings.label_weight * classified
