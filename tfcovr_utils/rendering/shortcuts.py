"""Shortcuts of a rendered benchmark: small networks look for cues other than motion.

A *group* of labels shares every factor but one count. A network learns to tell the labels of a group
apart from one frame, from frames without the athlete, or from all frames in order or shuffled. If any cue
but motion revealed the count, a network given only that cue would beat chance.
"""

import time

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

COUNTS = ("saltos", "twists")
FACTORS = ("apparatus", "family", "base", "direction", "shape", "armstand")
WIDTH, BATCH, LR = 24, 16, 1e-3
DECAY = 1e-3  # of the linear map's weights


def count_groups(factors: pd.DataFrame, count: str) -> np.ndarray:
    """Number (N,) the groups of clips that share all factors but `count`; -1 where a group has one count.

    >>> table = pd.DataFrame({**dict.fromkeys(FACTORS, ["x", "x", "y"]), "saltos": 1, "twists": [0, 1, 1]})
    >>> count_groups(table, "twists").tolist()
    [0, 0, -1]
    """
    grouped = factors.groupby([*FACTORS, *(other for other in COUNTS if other != count)])
    return np.where(grouped[count].transform("nunique") > 1, grouped.ngroup(), -1)


class ClipNetwork(nn.Module):
    """Convolutions over each frame, or its features; then over time; then the mean and maximum."""

    def __init__(self, n_classes: int, n_features: int | None = None):
        super().__init__()
        # Patches of four pixels first: full-size feature maps would take most of the time.
        stages = [(3, 2 * WIDTH, 4, 4, 0), (2 * WIDTH, 3 * WIDTH, 3, 2, 1), (3 * WIDTH, 4 * WIDTH, 3, 2, 1)]
        frame = nn.Sequential(*(_block(nn.Conv2d, nn.BatchNorm2d, *stage) for stage in stages))
        # Features need no frame layers, but a seed must draw the same weights for the layers after them.
        self.frame = None if n_features else frame.to(memory_format=torch.channels_last)
        self.flat = nn.Linear(n_features or 4 * WIDTH * 16, 128)
        self.time = nn.Sequential(*(_block(nn.Conv1d, nn.BatchNorm1d, 128, 128, 3, 1, 1) for _ in range(2)))
        self.classify = nn.Linear(256, n_classes)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Map frames (B, T, 3, H, W) or features (B, T, D), roughly zero mean, to logits (B, C)."""
        features = frames.flatten(0, 1)
        if self.frame is not None:
            maps = self.frame(features.contiguous(memory_format=torch.channels_last))
            features = F.adaptive_avg_pool2d(maps, 4).flatten(1)
        features = self.time(F.relu(self.flat(features)).view(*frames.shape[:2], -1).transpose(1, 2))
        return self.classify(torch.cat([features.mean(-1), features.amax(-1)], -1))


def fit_network(
    frames: np.ndarray,
    label_idx: np.ndarray,
    groups: list[np.ndarray],
    train: np.ndarray,
    *,
    epochs: int,
    shuffle_frames: bool = False,
    seed: int = 0,
) -> np.ndarray:
    """Train on the clips where `train`, and return logits (N, C) for all clips.

    `frames` are uint8 (N, T, H, W, 3), or features (N, T, D). The loss compares a clip's label with the
    labels of its own group only, summed over `groups`. `shuffle_frames` draws a new order of a clip's
    frames each time it is read, in training and in scoring.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n_classes, used = int(label_idx.max()) + 1, np.flatnonzero(train)
    masks = [torch.from_numpy(_group_mask(label_idx, group, n_classes)) for group in groups]
    if frames.ndim == 3:
        frames = (frames - frames[used].mean((0, 1))) / frames[used].std((0, 1)).clip(1e-6)
    network = ClipNetwork(n_classes, frames.shape[-1] if frames.ndim == 3 else None)
    optimiser = torch.optim.AdamW(network.parameters(), LR, weight_decay=0.02, fused=True)
    steps = epochs * (len(used) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=steps, pct_start=0.15)
    target = torch.from_numpy(label_idx)
    network.train()
    for _ in range(epochs):
        order = rng.permutation(used)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            logits = network(_prepare(frames[rows], rng, shuffle_frames))
            loss = sum(F.cross_entropy(logits.masked_fill(~mask[rows], -1e4), target[rows]) for mask in masks)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    parts = [frames[start : start + 256] for start in range(0, len(frames), 256)]
    with torch.no_grad():
        return torch.cat([network(_prepare(part, rng, shuffle_frames)) for part in parts]).numpy()


def find_count_shortcuts(
    name: str,
    frames: np.ndarray,
    label_idx: np.ndarray,
    groups: dict[str, np.ndarray],
    held_out: np.ndarray,
    **training,
) -> list[dict]:
    """Fit one network on the grouped clips that are not held out, score it on the others: a row a count."""
    rows = np.any([group >= 0 for group in groups.values()], axis=0)
    frames, label_idx, held_out = frames[rows], label_idx[rows], held_out[rows]
    groups = {count: group[rows] for count, group in groups.items()}
    start = time.monotonic()
    logits = fit_network(frames, label_idx, list(groups.values()), ~held_out, **training)
    seconds = time.monotonic() - start
    return [
        {"probe": name, "count": count, **_score(logits, label_idx, group, held_out), "seconds": seconds}
        for count, group in groups.items()
    ]


def find_hall_shortcuts(
    halls: np.ndarray, factors: pd.DataFrame, label_idx: np.ndarray, held_out: np.ndarray, **training
) -> pd.DataFrame:
    """Score what frames without the athlete reveal: the apparatus, and each factor within an apparatus.

    A row a factor; by chance one would guess its most frequent value.
    """
    everything = np.zeros(len(halls), int)
    logits = fit_network(halls, label_idx, [everything], ~held_out, **training)
    rows = []
    for factor in (*FACTORS, *COUNTS):
        code = pd.Series(pd.factorize(factors[factor])[0])
        of_label = np.zeros(logits.shape[1], int)
        of_label[label_idx] = code
        within = everything if factor == "apparatus" else pd.factorize(factors.apparatus)[0]
        guess = of_label[_best(logits, _group_mask(label_idx, within, logits.shape[1]))]
        grouped = code.groupby(within)
        scored = held_out & (grouped.transform("nunique") > 1).to_numpy()
        if scored.any():
            common = grouped.transform(lambda values: values.mode()[0])
            hits, by_chance = (guess == code)[scored], (common == code)[scored]
            row = {"factor": factor, "accuracy": hits.mean(), "chance": by_chance.mean(), "clips": len(hits)}
            rows.append(row)
    return pd.DataFrame(rows)


def find_frame_shortcuts(
    features: torch.Tensor, factors: pd.DataFrame, facts: pd.DataFrame, train: np.ndarray, test: np.ndarray
) -> pd.DataFrame:
    """Score what a linear map reads from features (N, D) of one frame a clip: its facts and its counts.

    `factors` and `facts` have a row a clip. By chance one would guess a fact's most frequent value, and
    any count of a group.
    """
    taught = features[torch.from_numpy(np.flatnonzero(train))]
    features = (features - taught.mean(0)) / taught.std(0).clamp_min(1e-6)
    rows = []
    for name in facts:
        code, values = pd.factorize(facts[name])
        hits = _fit_linear(features, code, np.ones((len(code), len(values)), bool), train).argmax(1) == code
        commonest = 100 * np.bincount(code[test]).max() / test.sum()
        rows.append((name, 100 * hits[test].mean(), commonest, int(test.sum())))
    label_idx = np.array(factors.groupby([*FACTORS, *COUNTS]).ngroup())
    for count in COUNTS:
        group = count_groups(factors, count)
        mask = _group_mask(label_idx, group, label_idx.max() + 1)
        logits = _fit_linear(features, label_idx, mask, train & (group >= 0))
        score = _score(logits, label_idx, group, test)
        name = f"{count} within its group"
        rows.append((name, 100 * score["accuracy"], 100 * score["chance"], score["clips"]))
    return pd.DataFrame(rows, columns=["read", "accuracy", "by chance", "clips"])


def _block(convolution: type, norm: type, width_in: int, width: int, *shape: int) -> nn.Sequential:
    return nn.Sequential(convolution(width_in, width, *shape, bias=False), norm(width), nn.ReLU(inplace=True))


def _prepare(frames: np.ndarray, rng: np.random.Generator, shuffle: bool) -> torch.Tensor:
    if shuffle:
        frames = np.stack([clip[rng.permutation(len(clip))] for clip in frames])
    frames = torch.from_numpy(frames)
    return frames if frames.ndim == 3 else frames.permute(0, 1, 4, 2, 3).float().div_(64.0).sub_(1.7)


def _group_mask(label_idx: np.ndarray, group: np.ndarray, n_classes: int) -> np.ndarray:
    """Mark which labels (N, C) compete for a clip: those of its group, or its own label alone."""
    mask = np.zeros((len(label_idx), n_classes), bool)
    for number in np.unique(group[group >= 0]):
        members = group == number
        mask[np.ix_(members, np.unique(label_idx[members]))] = True
    mask[np.arange(len(label_idx)), label_idx] = True
    return mask


def _best(logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, logits, -np.inf).argmax(1)


def _score(logits: np.ndarray, label_idx: np.ndarray, group: np.ndarray, rows: np.ndarray) -> dict:
    """Accuracy within groups over the clips `rows`, chance, and the number of clips."""
    rows = rows & (group >= 0)
    mask = _group_mask(label_idx, group, logits.shape[1])[rows]
    hits = _best(logits[rows], mask) == label_idx[rows]
    return {"accuracy": hits.mean(), "chance": (1 / mask.sum(1)).mean(), "clips": int(rows.sum())}


def _fit_linear(
    features: torch.Tensor, classes: np.ndarray, mask: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """Logits (N, C) of a logistic regression on `train`; the mask (N, C) says which classes compete."""
    weights = torch.zeros(features.shape[1] + 1, mask.shape[1], requires_grad=True)
    inputs = torch.cat([features, torch.ones(len(features), 1)], 1)
    used, target = torch.from_numpy(np.flatnonzero(train)), torch.from_numpy(classes)
    barred = torch.from_numpy(~mask)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = (inputs[used] @ weights).masked_fill(barred[used], -1e4)
        value = F.cross_entropy(logits, target[used]) + DECAY * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return (inputs @ weights).detach().masked_fill(barred, -1e4).numpy()
