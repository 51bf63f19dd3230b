"""Stage 2: the fusion trained by contrast on embeddings in memory. No file, no tokenizer, no loader in the loop.

Several processes share each batch and contrast across all of it: the batch of the settings is the global one.

`fit_fusion` is for any source of embeddings; the files of a benchmark or of the official release are read in
`inputs.py` and `released.py`.
"""

import hashlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..encoders.tokens import Tokens
from ..machine import processes
from ..machine.tensors import read_checkpoint, write_checkpoint
from . import losses
from .fusion import Fusion
from .settings import STAGE2, Stage2Settings

__all__ = ["STAGE2", "Stage2Settings", "fit_fusion"]


def fit_fusion(
    query_video: torch.Tensor,
    texts: torch.Tensor | Tokens,
    target: torch.Tensor,
    triplets: torch.Tensor,
    settings: Stage2Settings,
    seed: int = 0,
    validate: Callable[[Fusion], float] | None = None,
    *,
    tower: nn.Module | None = None,
    model: nn.Module | None = None,
    target_labels: torch.Tensor | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> tuple[Fusion, pd.DataFrame]:
    """Train a fusion and return it at its best step, in eval mode, with the curve.

    query_video: (N, D) raw clip vectors; texts: (M, Dt) features, or tokens where `tower` trains, a module of
    (input_ids, attention_mask) -> (M, Dt); target: (N2, D) raw; triplets: (R, 3) int64 rows of the three. An
    epoch is one permutation of the triplets, its last partial batch dropped. target_labels: (N2,) int64, needed
    by multi_positive: targets of one label answer the same queries. `tower` is trained in place. `model` takes the place of a
    new Fusion, of which it has forward, target_views and embed_target; what of it requires a gradient is trained, in place.

    `validate` scores a fusion (higher is better) every `select_every` steps; the first best one is returned,
    without `validate` the last. `checkpoint` is written as often, and with `resume` gone on from, to the same
    curve. Everything runs where the tensors are. History columns: step, epoch, lr, loss (mean since the row
    before), val (NaN without `validate`), seconds (of training alone). Several processes end with the weights that one would
    have, but for dropout, which they draw apart; each holds all the tensors.
    """
    if model is None:
        _check_embeddings(query_video, texts, target, settings, tower)
    _check(query_video, texts, target, triplets, settings, target_labels)
    device = query_video.device
    batch = min(settings.batch, len(triplets))
    per_epoch = len(triplets) // batch
    total = settings.steps or settings.epochs * per_epoch
    select_every = settings.select_every or per_epoch
    identity = _identity(query_video, texts, target, triplets, settings, seed)

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        fusion = (
            model if model is not None else _new_fusion(query_video, texts, target, triplets, settings, tower)
        )
        processes.copy_weights_from_main(fusion)
        processes.seed_ranks_apart(seed)
        trained = [parameter for parameter in fusion.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        state = {"step": 0, "history": [], "best_score": -math.inf, "best": None}
        if resume and checkpoint is not None and processes.broadcast_from_main(checkpoint.exists()):
            state = _restore(checkpoint, identity, fusion, optimizer)
        order, loss_sum, since, started = None, 0.0, state["step"], time.perf_counter()
        while state["step"] < total:
            step = state["step"]
            epoch, place = divmod(step, per_epoch)
            if order is None or place == 0:
                order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(len(triplets))).to(
                    device
                )
            rows = triplets[order[place * batch : (place + 1) * batch]]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step, total, per_epoch)

            fusion.train()
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                own = processes.slice_of_rank(rows)
                query_emb = processes.gather_with_gradient(
                    fusion(query_video[own[:, 0]], texts, own[:, 1])
                )  # (B, D)
                loss = sum(
                    weight
                    * _loss(
                        query_emb, processes.gather_with_gradient(view), settings, target_labels, rows[:, 2]
                    )
                    for weight, view in fusion.target_views(target[own[:, 2]])
                )
            optimizer.zero_grad()
            loss.backward()
            processes.sum_gradients(trained)
            optimizer.step()

            loss_sum = loss_sum + loss.detach()
            state["step"] = step + 1
            if state["step"] % select_every == 0 or state["step"] == total:
                seconds = (
                    (state["history"][-1]["seconds"] if state["history"] else 0.0)
                    + time.perf_counter()
                    - started
                )
                row = {
                    "step": step + 1,
                    "epoch": epoch,
                    "lr": optimizer.param_groups[0]["lr"],
                    "loss": float(loss_sum) / (step + 1 - since),
                    "val": math.nan,
                    "seconds": seconds,
                }
                if not math.isfinite(row["loss"]):
                    raise ValueError(
                        f"the loss is {row['loss']} at step {step + 1}; lower lr, which is {settings.lr}."
                    )
                if validate is not None:
                    fusion.eval()
                    with torch.no_grad():
                        row["val"] = float(validate(fusion))
                    if row["val"] > state["best_score"]:
                        state["best_score"] = row["val"]
                        state["best"] = {
                            key: value.detach().clone() for key, value in fusion.state_dict().items()
                        }
                state["history"].append(row)
                if checkpoint is not None:
                    _save(checkpoint, identity, fusion, optimizer, state)
                if progress and processes.is_main():
                    left = (time.perf_counter() - started) / (step + 1 - since) * (total - step - 1)
                    print(
                        f"step {step + 1}/{total}  loss {row['loss']:.4f}  val {row['val']:.4f}  {left:.0f} s left",
                        file=sys.stderr,
                    )
                loss_sum, since, started = 0.0, step + 1, time.perf_counter()
    if state["best"] is not None:
        fusion.load_state_dict(state["best"])
    columns = ["step", "epoch", "lr", "loss", "val", "seconds"]
    return fusion.eval(), pd.DataFrame(state["history"], columns=columns)


def learning_rate(settings: Stage2Settings, step: int, total: int, per_epoch: int) -> float:
    """The rate of a step: linear warm-up times the schedule; cosine to 0 over the epochs, or over the steps."""
    done, all_of_it = (
        (step // per_epoch, math.ceil(total / per_epoch))
        if settings.schedule == "cosine_epoch"
        else (step, total)
    )
    rate = settings.lr * min(1.0, (step + 1) / (settings.warmup + 1))
    return rate if settings.schedule == "constant" else rate * (1 + math.cos(math.pi * done / all_of_it)) / 2


def _loss(query_emb, target_emb, settings, target_labels, target_rows):
    if settings.loss == "info_nce":
        return losses.info_nce(query_emb, target_emb, settings.temperature)
    if settings.loss == "multi_positive":
        label = target_labels[target_rows]
        return losses.multi_positive_nce(
            query_emb, target_emb, label[:, None] == label, settings.temperature, settings.pull_all
        )
    hard = losses.hn_nce if settings.loss == "hn_nce" else losses.hn_nce_official
    return hard(query_emb, target_emb, settings.temperature, settings.beta)


def _new_fusion(query_video, texts, target, triplets, settings, tower):
    if tower is None:
        text_dim = texts.shape[1]
    else:
        words = getattr(getattr(tower, "embeddings", None), "word_embeddings", None)
        tower.requires_grad_(True)
        if words is not None and not settings.train_words:
            words.requires_grad_(False)
        with torch.no_grad():
            text_dim = tower(texts.input_ids[:1], texts.attention_mask[:1]).shape[1]
    fusion = Fusion(
        query_video.shape[1],
        text_dim,
        settings.projection_dim,
        settings.hidden_dim,
        settings.dropout,
        centre=settings.centre,
        unit_video=settings.unit_video,
        use_video=settings.use_video,
        use_text=settings.use_text,
        tower=tower,
    ).to(query_video.device)
    if settings.centre:
        # Of what is trained on, each row once, whatever else the tensors hold.
        used = [column.unique() for column in triplets.T]
        fusion.set_means(query_video[used[0]], target[used[2]], texts[used[1]] if tower is None else None)
    return fusion


def _check_embeddings(query_video, texts, target, settings, tower):
    if query_video.ndim != 2 or target.ndim != 2 or query_video.shape[1] != target.shape[1]:
        raise ValueError(
            f"query_video is {tuple(query_video.shape)} and target {tuple(target.shape)}; pass (N, D) and (N2, D) of one encoder."
        )
    if (tower is not None) != isinstance(texts, Tokens) or (tower is not None) != (
        settings.text_tower == "trained"
    ):
        raise ValueError(
            f"text_tower is {settings.text_tower!r} with texts as {type(texts).__name__} and {'a' if tower else 'no'} tower; pass "
            "Tokens and a tower where it is trained, features and no tower where it is frozen."
        )


def _check(query_video, texts, target, triplets, settings, target_labels):
    if triplets.ndim != 2 or triplets.shape[1] != 3 or triplets.dtype != torch.int64 or len(triplets) < 2:
        raise ValueError(
            f"triplets is {triplets.dtype} of shape {tuple(triplets.shape)}; pass (R, 3) int64 rows, at least two."
        )
    sizes = (len(query_video), len(texts), len(target))
    low, high = triplets.min(0).values.tolist(), triplets.max(0).values.tolist()
    if min(low) < 0 or any(row >= size for row, size in zip(high, sizes)):
        raise ValueError(
            f"triplets name rows from {low} to {high}; there are {sizes} clips, texts and targets, counted from 0."
        )
    if settings.loss == "multi_positive" and target_labels is None:
        raise ValueError(
            "loss is 'multi_positive' without target_labels; pass the label of each row of target, (N2,) int64."
        )


def _identity(query_video, texts, target, triplets, settings, seed) -> dict:
    """What a checkpoint belongs to: another run must not go on from it."""
    digest = hashlib.sha256()
    for tensor in (query_video, target, triplets, texts.input_ids if isinstance(texts, Tokens) else texts):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return {"settings": asdict(settings), "seed": seed, "data": digest.hexdigest()}


def _save(path, identity, fusion, optimizer, state) -> None:
    random = processes.random_states()
    if processes.is_main():
        write_checkpoint(
            identity,
            {"fusion": fusion.state_dict(), "optimizer": optimizer.state_dict(), "random": random, **state},
            path,
        )


def _restore(path, identity, fusion, optimizer) -> dict:
    saved = read_checkpoint(path, identity)
    processes.set_random_states(saved["random"], path)
    fusion.load_state_dict(saved["fusion"])
    optimizer.load_state_dict(saved["optimizer"])
    return {key: saved[key] for key in ("step", "history", "best_score", "best")}
