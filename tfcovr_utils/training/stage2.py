"""Stage 2: the fusion learns by contrast, z_qm = MLP(z_q, z_m) towards z_t under L_v (the paper's section 4).

It trains on embeddings in memory; `stage2_inputs` reads those of a benchmark, `from_release` those of the
authors. Several ranks share each batch and contrast across all of it: the batch of the settings is the global
one.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..encoders.tokens import Tokens
from ..machine import processes
from . import losses
from .fusion import Fusion
from .loop import Plan, Run, epoch_batches, score_by, seeded, train
from .settings import Stage2Settings

CURVE = ["step", "epoch", "lr", "loss", "val", "seconds"]


@dataclass(frozen=True)
class Stage2Data:
    """What stage 2 trains on; training runs on the device of the tensors.

    query_video: (N, D) raw clip vectors; texts: (M, Dt) features, or tokens where `tower` trains, a module of
    (input_ids, attention_mask) -> (M, Dt); target: (N2, D) raw; triplets: (R, 3) int64 rows of the three.
    target_labels: (N2,) int64, needed by multi_positive: targets of one label answer the same queries.
    target_captions: (N2, E) unit vectors of the targets' descriptions, needed by caption_weight.
    """

    query_video: torch.Tensor
    texts: torch.Tensor | Tokens
    target: torch.Tensor
    triplets: torch.Tensor
    target_labels: torch.Tensor | None = None
    target_captions: torch.Tensor | None = None
    tower: nn.Module | None = None


def fit_fusion(
    data: Stage2Data,
    settings: Stage2Settings,
    seed: int = 0,
    validate: Callable[[Fusion], float] | None = None,
    model: nn.Module | None = None,
    run: Run | None = None,
) -> tuple[Fusion, pd.DataFrame]:
    """Train a fusion and return it at its best step, in eval mode, with the curve (columns: `CURVE`).

    `validate` scores a fusion, higher is better, every `select_every` steps; without it the last step is
    returned. A `tower` is trained in place. `model` takes the place of a new Fusion and is trained in place;
    it has forward, target_views and embed_target.
    """
    if model is None:
        _check_embeddings(data, settings)
    _check(data, settings)
    device, batch = data.query_video.device, min(settings.batch, len(data.triplets))
    per_epoch = len(data.triplets) // batch
    next_rows = epoch_batches(np.arange(len(data.triplets)), batch, seed)
    plan = Plan(
        steps=settings.steps or settings.epochs * per_epoch,
        lr=settings.lr,
        draw=lambda step: data.triplets[torch.from_numpy(next_rows(step)).to(device)],
        losses=lambda rows: {"loss": loss_of(fusion, data, rows, settings)},
        validate=score_by(validate),
        validate_every=settings.select_every or per_epoch,
        per_epoch=per_epoch,
        schedule=settings.schedule,
        warm_up=settings.warmup + 1,
        seed=seed,
        name="stage 2",
        identity={"settings": asdict(settings), "seed": seed, "data": _hash_data(data)},
    )
    with seeded(seed, device):
        fusion = _new_fusion(data, settings) if model is None else model
        trained = [parameter for parameter in fusion.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(trained, settings.lr, weight_decay=settings.weight_decay, fused=True)
        curve = train(fusion, optimiser, plan, run)
    return fusion, curve.reindex(columns=CURVE)


def loss_of(fusion: Fusion, data: Stage2Data, rows: torch.Tensor, settings: Stage2Settings) -> torch.Tensor:
    """Compute the loss of a global batch of triplets (B, 3), of which this rank embeds its slice."""
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        own = processes.slice_of_rank(rows)
        query_emb = fusion(data.query_video[own[:, 0]], data.texts, own[:, 1])
        query_emb = processes.gather_with_gradient(query_emb)  # (B, D)
        label = None if data.target_labels is None else data.target_labels[rows[:, 2]]
        views = fusion.target_views(data.target[own[:, 2]])
        if share := settings.caption_weight:
            views = [((1 - share) * weight, target_emb) for weight, target_emb in views]
            views.append((share, data.target_captions[own[:, 2]]))
        return sum(
            weight * contrast(query_emb, processes.gather_with_gradient(target_emb), settings, label)
            for weight, target_emb in views
        )


def contrast(query_emb, target_emb, settings: Stage2Settings, label=None) -> torch.Tensor:
    """Compute the contrastive loss that the settings name, of (B, D) queries and targets with labels (B,)."""
    pair, temperature = (query_emb, target_emb), settings.temperature
    if settings.loss == "info_nce":
        return losses.info_nce(*pair, temperature)
    if settings.loss == "multi_positive":
        return losses.multi_positive_nce(*pair, label[:, None] == label, temperature, settings.pull_all)
    hard_negative = losses.hn_nce if settings.loss == "hn_nce" else losses.hn_nce_official
    return hard_negative(*pair, temperature, settings.beta)


def _new_fusion(data: Stage2Data, settings: Stage2Settings) -> Fusion:
    text_dim = None if isinstance(data.texts, Tokens) else data.texts.shape[1]
    if data.tower is not None:
        words = getattr(getattr(data.tower, "embeddings", None), "word_embeddings", None)
        data.tower.requires_grad_(True)
        if words is not None and not settings.train_words:
            words.requires_grad_(False)
        with torch.no_grad():
            text_dim = data.tower(data.texts.input_ids[:1], data.texts.attention_mask[:1]).shape[1]
    sizes = (
        data.query_video.shape[1],
        text_dim,
        settings.projection_dim,
        settings.hidden_dim,
        settings.dropout,
    )
    options = {name: getattr(settings, name) for name in ("centre", "unit_video", "use_video")}
    fusion = Fusion(*sizes, **options, tower=data.tower).to(data.query_video.device)
    if settings.centre:  # on the means of the training rows, each counted once
        query, text, target = (column.unique() for column in data.triplets.T)
        text_emb = data.texts[text] if data.tower is None else None
        fusion.set_means(data.query_video[query], data.target[target], text_emb)
    return fusion


def _check_embeddings(data: Stage2Data, settings: Stage2Settings) -> None:
    query, target = tuple(data.query_video.shape), tuple(data.target.shape)
    if len(query) != 2 or len(target) != 2 or query[1] != target[1]:
        raise ValueError(f"query_video is {query} and target {target}; pass (N, D) and (N2, D).")
    has_tower = data.tower is not None
    if {isinstance(data.texts, Tokens), settings.text_tower == "trained"} != {has_tower}:
        given = f"texts as {type(data.texts).__name__} and {'a' if has_tower else 'no'} tower"
        advice = "pass Tokens and a tower where it is trained, features and no tower where it is frozen."
        raise ValueError(f"text_tower is {settings.text_tower!r} with {given}; {advice}")


def _check(data: Stage2Data, settings: Stage2Settings) -> None:
    triplets, sizes = data.triplets, (len(data.query_video), len(data.texts), len(data.target))
    if triplets.ndim != 2 or triplets.shape[1] != 3 or triplets.dtype != torch.int64 or len(triplets) < 2:
        found = f"{triplets.dtype} of shape {tuple(triplets.shape)}"
        raise ValueError(f"triplets is {found}; pass (R, 3) int64 rows, at least two.")
    low, high = triplets.min(0).values.tolist(), triplets.max(0).values.tolist()
    if min(low) < 0 or any(row >= size for row, size in zip(high, sizes)):
        there = f"there are {sizes} clips, texts and targets, counted from 0"
        raise ValueError(f"triplets name rows from {low} to {high}; {there}.")
    if settings.loss == "multi_positive" and data.target_labels is None:
        advice = "pass the label of each target, (N2,) int64."
        raise ValueError(f"loss is 'multi_positive' without target_labels; {advice}")
    if settings.caption_weight and data.target_captions is None:
        advice = "set it to 0, or train the row that reads descriptions, blip-covr-captions-ft."
        raise ValueError(f"caption_weight is {settings.caption_weight} without target_captions; {advice}")


def _hash_data(data: Stage2Data) -> str:
    """Hash what is trained on: a run on other data must not resume from its checkpoint."""
    digest = hashlib.sha256()
    texts = data.texts.input_ids if isinstance(data.texts, Tokens) else data.texts
    tensors = (data.query_video, data.target, data.triplets, texts, data.target_captions)
    for tensor in (tensor for tensor in tensors if tensor is not None):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
