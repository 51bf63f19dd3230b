"""Stage 1: an encoder of clips learns by classifying the fine-grained labels, the paper's L_cls (section 4).

It trains the paper's AIM from pixels, or readers that go past it from frame features in memory.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from ..encoders.aim_model import Aim
from ..machine import processes
from .loop import Plan, Run, Score, epoch_batches, seeded, train
from .losses import supervised_contrast
from .readers import ClipReader
from .settings import Stage1Settings
from .stage1_clips import FeatureClips, PixelClips

CURVE = ["epoch", "step", "lr", "loss", "val_loss", "val_top1", "seconds", "clips_per_s"]


class Stage1(nn.Module):
    """A reader, and below it the backbone that makes its frame features; None where features are given."""

    def __init__(self, reader: ClipReader, backbone: Aim | None = None):
        super().__init__()
        self.reader, self.backbone = reader, backbone

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Read pixels (B, T, 3, S, S) or frame features (B, T, D): clip features (B, W), logits by head."""
        return self.reader(inputs if self.backbone is None else self.backbone(inputs))


@dataclass(frozen=True)
class Stage1Data:
    """What stage 1 reads: N clips and their classes label_idx (N,); train, val: rows.

    factor_idx: attribute -> (N,) class of that head.
    """

    clips: PixelClips | FeatureClips
    label_idx: np.ndarray
    train: np.ndarray
    val: np.ndarray
    factor_idx: dict[str, np.ndarray] | None = None


def fit_stage1(
    model: Stage1,
    data: Stage1Data,
    settings: Stage1Settings,
    seed: int = 0,
    run: Run | None = None,
    made_of: dict | None = None,
) -> pd.DataFrame:
    """Train `model` in place, leave it at its best epoch on val, in eval mode, and return the curve.

    The best epoch has the highest top-1 accuracy, at a tie the lowest loss. A checkpoint that was `made_of`
    something else (JSON) is not resumed from. Ranks draw dropout and augmentation apart. Columns of the
    curve: `CURVE`.
    """
    _check(model, data)
    settings = replace(settings, batch=min(settings.batch, len(data.train)))  # a small folder is one batch
    device = next(model.parameters()).device
    classes = {"label": data.label_idx, **(data.factor_idx or {})}
    truth = {name: torch.from_numpy(idx) for name, idx in classes.items()}
    per_epoch = max(1, len(data.train) // settings.batch)
    next_rows = epoch_batches(data.train, settings.batch, seed)
    if model.backbone is not None:
        model.backbone.gradient_checkpointing = settings.gradient_checkpointing
        if settings.compile:
            _check_compiler()
            model.backbone.compile()

    def draw(step: int) -> tuple[np.ndarray, torch.Tensor]:
        rng = np.random.default_rng(processes.seed_of_rank(seed, *divmod(step, per_epoch)))
        rows = next_rows(step)
        return rows, read_augmented(data.clips, processes.slice_of_rank(rows), rng, settings).to(device)

    identity = {"settings": asdict(replace(settings, save_every_s=0.0)), "seed": seed}
    identity = (made_of or {}) | identity | {"splits": [len(data.train), len(data.val)]}
    plan = Plan(
        steps=per_epoch * settings.epochs,
        lr=settings.lr,
        draw=draw,
        losses=lambda batch: {"loss": loss_of(model, *batch, truth, settings)},
        validate=lambda model: validate(model, data),
        validate_every=per_epoch,
        per_epoch=per_epoch,
        schedule="cosine_after_warm_up",
        warm_up=max(1, round(settings.warm_up * per_epoch * settings.epochs)),
        clip_norm=settings.clip_norm,
        save_every_s=settings.save_every_s,
        seed=seed,
        name="stage 1",
        identity=identity,
    )
    optimiser = torch.optim.AdamW(parameter_groups(model, settings.weight_decay), settings.lr)
    with seeded(seed, device):
        curve = train(model, optimiser, plan, run)
    seconds = curve["seconds"].diff().fillna(curve["seconds"])  # of each epoch
    clips_per_s = per_epoch * settings.batch / seconds
    return curve.assign(epoch=curve["epoch"] + 1, seconds=seconds, clips_per_s=clips_per_s)[CURVE]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Split what trains: as officially, no decay of one-dimensional weights and embeddings over time."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    times = "embedding", "positions"
    spared = {name for name, p in trained.items() if p.ndim == 1 or any(time in name for time in times)}
    decayed = [p for name, p in trained.items() if name not in spared]
    others = [p for name, p in trained.items() if name in spared]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def read_augmented(
    clips: PixelClips | FeatureClips, rows: np.ndarray, rng: np.random.Generator, settings: Stage1Settings
) -> torch.Tensor:
    """Read some clips for training: augmented, and in a new order of frames where the settings say so."""
    inputs = clips.batch(rows, rng)
    if not settings.shuffle_frames:
        return inputs
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(inputs.shape[1]), (len(rows), 1)), axis=1))
    return inputs[torch.arange(len(rows))[:, None], order]


def loss_of(model: Stage1, rows: np.ndarray, inputs: torch.Tensor, truth: dict, settings) -> torch.Tensor:
    """Compute L_cls of the whole batch `rows`, this rank's part of it in `inputs`, and what is added."""
    bf16 = settings.precision == "bf16"
    if settings.precision == "auto":
        bf16 = inputs.device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
        clip, logits = model(inputs)
    of_batch = {name: classes[rows].to(inputs.device) for name, classes in truth.items()}
    gathered = {name: processes.gather_with_gradient(value.float()) for name, value in logits.items()}
    smooth = {"label_smoothing": settings.label_smoothing}
    losses = {name: F.cross_entropy(value, of_batch[name], **smooth) for name, value in gathered.items()}
    loss = losses.pop("label")
    if losses:
        loss = loss + settings.factor_weight * sum(losses.values()) / len(losses)
    if settings.contrast_weight:
        clip = F.normalize(processes.gather_with_gradient(clip.float()), dim=1)
        contrast = supervised_contrast(clip, of_batch["label"], settings.contrast_temperature)
        loss = loss + settings.contrast_weight * contrast
    return loss


def validate(model: Stage1, data: Stage1Data) -> tuple[Score, dict[str, float]]:
    """Score the labels on val, each rank on its part of the clips."""
    parts = np.array_split(data.val, min(len(data.val), processes.world_size()))  # a rank may have none
    own = [read_clips(model, data.clips, part)[1] for part in parts[processes.rank() :][:1]]
    logits = torch.cat([part for parts_of_rank in processes.gather_values(own) for part in parts_of_rank])
    truth = torch.from_numpy(data.label_idx[data.val])
    top1 = (logits.argmax(1) == truth).float().mean().item()
    loss = F.cross_entropy(logits, truth).item()
    return (top1, -loss), {"val_loss": loss, "val_top1": top1}


@torch.no_grad()
def read_clips(
    model: Stage1, clips: PixelClips | FeatureClips, rows: Sequence[int], batch: int = 128
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read clip features (N, W) and logits (N, C) of the labels for some rows, in eval mode."""
    device, rows = next(model.parameters()).device, np.asarray(rows)
    model.eval()
    read = [model(clips.batch(rows[at : at + batch]).to(device)) for at in range(0, len(rows), batch)]
    features, logits = zip(*((clip.float().cpu(), by_head["label"].float().cpu()) for clip, by_head in read))
    return torch.cat(features), torch.cat(logits)


def _check_compiler() -> None:
    compilers = [os.environ.get("CXX"), "g++", "clang++", "cl"]
    if not any(name and shutil.which(name) for name in compilers):
        found = "no C++ compiler is on the PATH, which torch.compile needs"
        raise ValueError(f"compile is True, and {found}; install g++ or clang++, or set compile=False.")


def _check(model: Stage1, data: Stage1Data) -> None:
    heads, given = sorted(model.reader.factors), sorted(data.factor_idx or {})
    if heads != given:
        found = f"the reader has heads for {heads or 'no attributes'} and factor_idx holds {given or 'none'}"
        raise ValueError(f"{found}; pass the classes of each attribute that has a head.")
    if len(data.label_idx) != len(data.clips) or data.label_idx.max() >= len(model.reader.labels):
        there = f"there are {len(data.clips)} clips and {len(model.reader.labels)} labels."
        places = f"{len(data.label_idx)} places up to class {data.label_idx.max()}"
        raise ValueError(f"label_idx has {places}; {there}")
    if len(data.train) < 2 or not len(data.val):
        there = f"there are {len(data.train)} training and {len(data.val)} validation clips"
        raise ValueError(f"{there}; stage 1 takes at least 2 and 1, so add clips of these labels.")
