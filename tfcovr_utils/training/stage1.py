"""Stage 1: an encoder of clips learned by classifying the fine-grained labels.

One loop for the paper's AIM, from pixels, and for the readers that go past it, from frame features in memory; in one process,
or in several that share each batch.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ..encoders.aim_model import Aim
from ..machine import processes
from ..machine.tensors import read_checkpoint, write_checkpoint
from .losses import supervised_contrast
from .readers import ClipReader
from .stage1_clips import FeatureClips, PixelClips


@dataclass(frozen=True)
class Stage1Settings:
    """Settings of stage 1; the defaults are those of the official code, whose head begins smaller."""

    epochs: int = 100
    batch: int = 64
    accumulate: int = 1  # batches to a step
    lr: float = 1e-5
    weight_decay: float = 0.05  # not of norms and biases of the frozen tower, which do not train, nor of one-dimensional parameters
    warm_up: float = 0.025  # share of the steps: 2.5 of 100 epochs
    label_smoothing: float = 0.0
    adapter_ratio: float = 0.25  # width of AIM's adapters, as a share of the tower's
    num_tadapter: int = (
        1  # 2 puts one before the attention over time too, as officially on Something-Something, with scale 1
    )
    scale: float = 0.5  # of the joint adapter
    drop_path: float = 0.2
    head_dropout: float = 0.5  # of the clip before its heads
    gradient_checkpointing: bool = (
        False  # recompute AIM's layers in the backward pass: less memory, more time
    )
    compile: bool = False  # AIM by torch.compile: minutes to begin, faster steps on a GPU
    augment: str = "crop"  # none, crop, strong; pixels only
    factor_weight: float = 0.0  # of the attributes' heads, where the reader has them
    contrast_weight: float = 0.0  # of supervised contrast between clip features
    contrast_temperature: float = 0.1
    shuffle_frames: bool = False  # a control: a new order of the frames at each look
    frame_noise: float = 0.0  # features only: spread of noise added, in units of theirs
    clip_norm: float = 1.0  # largest norm of the gradient
    precision: str = (
        "auto"  # bf16, mixed, where the machine multiplies it faster than float32; or float32, bf16
    )
    save_every_s: float = 60.0  # seconds between checkpoints within an epoch


# Adapters trained from pixels. "paper" is the official code's; the rest was chosen on val of the rendered benchmark.
_ADAPTERS = Stage1Settings(
    epochs=3,
    batch=16,
    lr=2.5e-3,
    warm_up=0.05,
    label_smoothing=0.1,
    adapter_ratio=0.5,
    drop_path=0.0,
    head_dropout=0.2,
    augment="none",
)
STAGE1 = {
    "smoke": replace(_ADAPTERS, epochs=2),
    "mini": _ADAPTERS,
    "sim": replace(_ADAPTERS, epochs=12, batch=64, augment="crop"),
    "released": Stage1Settings(),
    "paper": Stage1Settings(),
}
# Readers of frame features in memory.
_READERS = Stage1Settings(epochs=12, batch=64, lr=2e-3, warm_up=0.1, label_smoothing=0.1, head_dropout=0.2)
STAGE1_READERS = {
    "smoke": replace(_READERS, epochs=6, batch=32),
    "mini": _READERS,
    "sim": replace(_READERS, epochs=30, batch=256),
    "released": replace(_READERS, epochs=30, batch=256),
    "paper": replace(_READERS, epochs=30, batch=256),
}


class Stage1(nn.Module):
    """A reader, and below it the backbone that makes its frame features; None where they are given."""

    def __init__(self, reader: ClipReader, backbone: Aim | None = None):
        super().__init__()
        self.reader, self.backbone = reader, backbone

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Pixels (B, T, 3, S, S) or frame features (B, T, D) -> clip features (B, W) and logits (B, C) by head."""
        return self.reader(inputs if self.backbone is None else self.backbone(inputs))


def fit_stage1(
    model: Stage1,
    clips: PixelClips | FeatureClips,
    label_idx: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    settings: Stage1Settings,
    seed: int = 0,
    *,
    factor_idx: dict[str, np.ndarray] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
    made_of: dict | None = None,
) -> pd.DataFrame:
    """Train `model` in place, leave it at its best epoch on `val`, in eval mode, and return the curve.

    label_idx: (N,) class of each clip; train, val: rows; factor_idx: attribute -> (N,) class of that head. An epoch
    is chosen by top-1 accuracy on val, at a tie the lower loss. `checkpoint` is written after each epoch and every
    `save_every_s`; with `resume` the run goes on from it to the same weights, and not from one that was made of something else
    (`made_of`, JSON). Curve columns: epoch, step, lr, loss, val_loss, val_top1, seconds, clips_per_s. Of several processes each reads
    its slice of every batch, and all end with the weights that one would have, but for dropout and augmentation, which they draw apart.
    """
    _check(model, clips, label_idx, train, val, settings, factor_idx)
    device = next(model.parameters()).device
    processes.copy_weights_from_main(model)
    targets = {
        "label": torch.from_numpy(label_idx),
        **{name: torch.from_numpy(idx) for name, idx in (factor_idx or {}).items()},
    }
    optimiser = torch.optim.AdamW(parameter_groups(model, settings.weight_decay), settings.lr)
    per_epoch = max(1, len(train) // (settings.batch * settings.accumulate))
    total = per_epoch * settings.epochs
    identity = {
        **(made_of or {}),
        "settings": asdict(replace(settings, save_every_s=0.0)),
        "seed": seed,
        "splits": [len(train), len(val)],
    }
    state = {
        "step": 0,
        "history": [],
        "best": None,
        "best_rank": [-1.0, -math.inf],
        "loss_sum": 0.0,
        "seen": 0,
        "seconds": 0.0,
    }
    if model.backbone is not None:
        model.backbone.gradient_checkpointing = settings.gradient_checkpointing
        if settings.compile:
            model.backbone.compile()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        processes.seed_ranks_apart(seed)
        if resume and checkpoint is not None and processes.broadcast_from_main(Path(checkpoint).exists()):
            state = _restore(checkpoint, identity, model, optimiser)
        bar = tqdm(
            total=total,
            initial=state["step"],
            unit="step",
            desc="stage 1",
            mininterval=2,
            disable=not (progress and processes.is_main()),
        )
        saved_at, order = time.monotonic(), None
        started = saved_at - state["seconds"]
        while state["step"] < total:
            epoch, place = divmod(state["step"], per_epoch)
            if order is None or place == 0:
                order = np.random.default_rng([seed, epoch]).permutation(train)
            model.train()
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(settings, state["step"], total)
            optimiser.zero_grad()
            for part in range(settings.accumulate):
                first = (place * settings.accumulate + part) * settings.batch
                rows = order[first : first + settings.batch]
                rng = np.random.default_rng(processes.seed_of_rank(seed, epoch, place, part))
                look = _look(clips, processes.slice_of_rank(rows), rng, settings).to(device)
                loss = _loss(model, look, rows, targets, settings) / settings.accumulate
                loss.backward()
                state["loss_sum"] += loss.item()
                state["seen"] += len(rows)
            trained = [p for p in model.parameters() if p.requires_grad]
            processes.sum_gradients(trained)
            nn.utils.clip_grad_norm_(trained, settings.clip_norm)
            optimiser.step()
            state["step"] += 1
            bar.update()
            ended = state["step"] % per_epoch == 0
            if ended:
                if not math.isfinite(state["loss_sum"]):
                    raise ValueError(
                        f"the loss is {state['loss_sum']} in epoch {epoch}; lower lr, which is {settings.lr}."
                    )
                _close_epoch(state, model, clips, targets["label"], val, optimiser, per_epoch, epoch, started)
                bar.set_postfix(
                    loss=f"{state['history'][-1]['loss']:.3f}", val=f"{state['history'][-1]['val_top1']:.3f}"
                )
                started = time.monotonic()
            state["seconds"] = time.monotonic() - started
            if checkpoint is not None and (
                ended or processes.broadcast_from_main(time.monotonic() - saved_at > settings.save_every_s)
            ):
                _save(checkpoint, identity, model, optimiser, state)
                saved_at = time.monotonic()
        bar.close()
    model.load_state_dict(state["best"], strict=False)
    model.eval()
    return pd.DataFrame(state["history"])


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """What trains, in two groups: without decay what has one dimension and the embeddings over time, as officially."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    spared = {
        name for name, p in trained.items() if p.ndim == 1 or "embedding" in name or "positions" in name
    }
    return [
        {"params": [p for name, p in trained.items() if name not in spared], "weight_decay": weight_decay},
        {"params": [p for name, p in trained.items() if name in spared], "weight_decay": 0.0},
    ]


def learning_rate(settings: Stage1Settings, step: int, total: int) -> float:
    """Linear warm-up, then a cosine to 0."""
    warm_up = max(1, round(settings.warm_up * total))
    if step < warm_up:
        return settings.lr * (step + 1) / warm_up
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


@torch.no_grad()
def predict(
    model: Stage1, clips: PixelClips | FeatureClips, rows: Sequence[int], batch: int = 128
) -> torch.Tensor:
    """Logits (N, C) of the labels for some rows."""
    device, rows = next(model.parameters()).device, np.asarray(rows)
    model.eval()
    return torch.cat(
        [
            model(clips.batch(rows[start : start + batch]).to(device))[1]["label"].float().cpu()
            for start in range(0, len(rows), batch)
        ]
    )


def _predict_together(model, clips, rows) -> torch.Tensor:
    """`predict`, each process at its part of the rows."""
    parts = np.array_split(rows, min(len(rows), processes.world_size()))  # a process may have none
    own = [predict(model, clips, part) for part in parts[processes.rank() :][:1]]
    return torch.cat([logits for one in processes.gather_values(own) for logits in one])


@torch.no_grad()
def read_clip_features(
    model: Stage1, clips: PixelClips | FeatureClips, rows: Sequence[int], batch: int = 128
) -> torch.Tensor:
    """Clip features (N, W) for some rows."""
    device, rows = next(model.parameters()).device, np.asarray(rows)
    model.eval()
    return torch.cat(
        [
            model(clips.batch(rows[start : start + batch]).to(device))[0].float().cpu()
            for start in range(0, len(rows), batch)
        ]
    )


def _look(clips, rows, rng, settings) -> torch.Tensor:
    """One training look at some clips."""
    inputs = clips.batch(rows, rng)
    if settings.shuffle_frames:
        order = torch.from_numpy(rng.permuted(np.tile(np.arange(inputs.shape[1]), (len(rows), 1)), axis=1))
        inputs = inputs[torch.arange(len(rows))[:, None], order]
    if settings.frame_noise:
        spread = inputs.std((0, 1), keepdim=True)
        inputs = inputs + settings.frame_noise * spread * torch.from_numpy(
            rng.standard_normal(inputs.shape, np.float32)
        )
    return inputs


def _loss(model, inputs, rows, targets, settings) -> torch.Tensor:
    """The loss of the whole batch `rows`, of which `inputs` are this process's."""
    with torch.autocast(
        inputs.device.type, torch.bfloat16, enabled=_in_bf16(settings.precision, inputs.device)
    ):
        clip, logits = model(inputs)
    truth = {name: target[rows].to(inputs.device) for name, target in targets.items()}
    logits = {name: processes.gather_with_gradient(value.float()) for name, value in logits.items()}
    losses = {
        name: F.cross_entropy(value, truth[name], label_smoothing=settings.label_smoothing)
        for name, value in logits.items()
    }
    loss = losses.pop("label")
    if losses:
        loss = loss + settings.factor_weight * sum(losses.values()) / len(losses)
    if settings.contrast_weight:
        clip = F.normalize(processes.gather_with_gradient(clip.float()), dim=1)
        loss = loss + settings.contrast_weight * supervised_contrast(
            clip, truth["label"], settings.contrast_temperature
        )
    return loss


def _in_bf16(precision: str, device: torch.device) -> bool:
    if precision == "auto":
        return device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return precision == "bf16"


def _close_epoch(state, model, clips, label_idx, val, optimiser, per_epoch, epoch, started) -> None:
    """Score on val, keep the weights if they are the best so far, and add a row to the curve."""
    logits = _predict_together(model, clips, val)
    truth = label_idx[torch.from_numpy(val)]
    top1, val_loss = (logits.argmax(1) == truth).float().mean().item(), F.cross_entropy(logits, truth).item()
    if [top1, -val_loss] > state["best_rank"]:
        state["best_rank"] = [top1, -val_loss]
        state["best"] = {name: value.detach().cpu().clone() for name, value in trained_state(model).items()}
    state["history"].append(
        {
            "epoch": epoch + 1,
            "step": state["step"],
            "lr": optimiser.param_groups[0]["lr"],
            "loss": state["loss_sum"] / per_epoch,
            "val_loss": val_loss,
            "val_top1": top1,
            "seconds": (seconds := time.monotonic() - started),
            "clips_per_s": state["seen"] / seconds,
        }
    )
    state["loss_sum"], state["seen"] = 0.0, 0


def trained_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights that training changes; the frozen tower has its own file."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def _save(path, identity, model, optimiser, state) -> None:
    random = processes.random_states()
    if processes.is_main():
        write_checkpoint(
            identity,
            {"model": trained_state(model), "optimiser": optimiser.state_dict(), "random": random, **state},
            path,
        )


def _restore(path, identity, model, optimiser) -> dict:
    saved = read_checkpoint(path, identity)
    processes.set_random_states(saved["random"], path)
    model.load_state_dict(saved["model"], strict=False)
    optimiser.load_state_dict(saved["optimiser"])
    return {
        key: saved[key] for key in ("step", "history", "best", "best_rank", "loss_sum", "seen", "seconds")
    }


def _check(model, clips, label_idx, train, val, settings, factor_idx) -> None:
    heads, given = set(model.reader.factors), set(factor_idx or {})
    if heads != given:
        raise ValueError(
            f"the reader has heads for {sorted(heads) or 'no attributes'} and factor_idx holds {sorted(given) or 'none'}; "
            "pass the classes of each attribute that has a head."
        )
    if len(label_idx) != len(clips) or label_idx.max() >= len(model.reader.labels):
        raise ValueError(
            f"label_idx has {len(label_idx)} places up to class {label_idx.max()}; there are {len(clips)} clips and "
            f"{len(model.reader.labels)} labels."
        )
    if len(train) < settings.batch or not len(val):
        raise ValueError(
            f"there are {len(train)} training and {len(val)} validation clips; a batch takes {settings.batch}, val at least 1."
        )
