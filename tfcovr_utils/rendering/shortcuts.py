"""Does a rendered benchmark have shortcuts? Small networks that look for them.

A *group* of labels shares every factor but one count. A probe is trained to tell the counts of a
group apart from what it is shown: one frame, frames without the athlete, all frames in order, or all
frames shuffled. Chance is one over the number of counts in the group.
"""

import time

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

COUNTS = ("saltos", "twists")
FACTORS = ("apparatus", "family", "base", "direction", "shape", "armstand")


def count_groups(factors: pd.DataFrame, count: str) -> np.ndarray:
    """Number the groups of clips that share all factors but `count`; -1 where a group has a single count. Shape (N,)."""
    keys = [*FACTORS, *(other for other in COUNTS if other != count)]
    grouped = factors.groupby(keys)
    return np.where(grouped[count].transform("nunique") > 1, grouped.ngroup(), -1)


class ClipNetwork(nn.Module):
    """A convolution network on each frame, or features of it, then one-dimensional convolutions over time, then mean and maximum."""

    def __init__(self, n_classes: int, features: int | None = None, width: int = 24):
        super().__init__()
        # Patches of four pixels first: full-size feature maps would be most of the time.
        stages = [(3, 2 * width, 4, 4, 0), (2 * width, 3 * width, 3, 2, 1), (3 * width, 4 * width, 3, 2, 1)]
        self.frame = nn.Sequential(
            *(
                layer
                for a, b, size, stride, padding in stages
                for layer in (
                    nn.Conv2d(a, b, size, stride, padding, bias=False),
                    nn.BatchNorm2d(b),
                    nn.ReLU(inplace=True),
                )
            )
        )
        self.frame = self.frame.to(memory_format=torch.channels_last) if features is None else None
        self.flat = nn.Linear(features or 4 * width * 16, 128)
        self.time = nn.Sequential(
            *(
                layer
                for _ in range(2)
                for layer in (
                    nn.Conv1d(128, 128, 3, padding=1, bias=False),
                    nn.BatchNorm1d(128),
                    nn.ReLU(inplace=True),
                )
            )
        )
        self.classify = nn.Linear(256, n_classes)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (B, T, 3, H, W), or features of them (B, T, D), roughly zero mean, to logits (B, n_classes)."""
        b, t = frames.shape[:2]
        features = frames.flatten(0, 1)
        if self.frame is not None:
            features = F.adaptive_avg_pool2d(
                self.frame(features.contiguous(memory_format=torch.channels_last)), 4
            ).flatten(1)
        features = F.relu(self.flat(features)).view(b, t, -1).transpose(1, 2)
        features = self.time(features)
        return self.classify(torch.cat([features.mean(-1), features.amax(-1)], -1))


def fit_probe(
    frames: np.ndarray,
    label_idx: np.ndarray,
    groups: list[np.ndarray],
    train: np.ndarray,
    *,
    epochs: int,
    shuffle_frames: bool = False,
    seed: int = 0,
    batch: int = 16,
    lr: float = 1e-3,
) -> np.ndarray:
    """Train on frames (N, T, H, W, 3) uint8, or features (N, T, D), of the clips where `train`, and return logits (N, C) for all clips.

    The loss compares a clip's label with the labels of its own group only, summed over `groups`, so the
    network spends nothing on what is not asked. `shuffle_frames` draws a new order of a clip's frames at each
    look, while training and when scored.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n_classes = int(label_idx.max()) + 1
    masks = [torch.from_numpy(_group_mask(label_idx, group, n_classes)) for group in groups]
    used = np.flatnonzero(train)
    if frames.ndim == 3:
        frames = (frames - frames[used].mean((0, 1))) / frames[used].std((0, 1)).clip(1e-6)
    network = ClipNetwork(n_classes, frames.shape[-1] if frames.ndim == 3 else None)
    steps = epochs * (len(used) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.15)
    target = torch.from_numpy(label_idx)
    network.train()
    for _ in range(epochs):
        order = rng.permutation(used)
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            logits = network(_prepare(frames[rows], rng, shuffle_frames))
            loss = sum(F.cross_entropy(logits.masked_fill(~mask[rows], -1e4), target[rows]) for mask in masks)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        return torch.cat(
            [
                network(_prepare(frames[start : start + 256], rng, shuffle_frames))
                for start in range(0, len(frames), 256)
            ]
        ).numpy()


def group_accuracy(logits: np.ndarray, label_idx: np.ndarray, group: np.ndarray, rows: np.ndarray) -> dict:
    """Accuracy within groups over the clips `rows`, beside chance, with the number of clips."""
    rows = rows & (group >= 0)
    mask = _group_mask(label_idx, group, logits.shape[1])[rows]
    hit = np.where(mask, logits[rows], -np.inf).argmax(1) == label_idx[rows]
    return {"accuracy": hit.mean(), "chance": (1 / mask.sum(1)).mean(), "clips": int(rows.sum())}


def _group_mask(label_idx: np.ndarray, group: np.ndarray, n_classes: int) -> np.ndarray:
    """Which labels (N, C) compete for a clip: those of its group, and itself alone where it has none."""
    mask = np.zeros((len(label_idx), n_classes), bool)
    for number in np.unique(group[group >= 0]):
        members = group == number
        mask[np.ix_(members, np.unique(label_idx[members]))] = True
    mask[np.arange(len(label_idx)), label_idx] = True
    return mask


def _prepare(frames: np.ndarray, rng: np.random.Generator, shuffle: bool) -> torch.Tensor:
    if shuffle:
        frames = np.stack([clip[rng.permutation(len(clip))] for clip in frames])
    frames = torch.from_numpy(frames)
    return frames if frames.ndim == 3 else frames.permute(0, 1, 4, 2, 3).float().div_(64.0).sub_(1.7)


def run(
    name: str,
    frames: np.ndarray,
    label_idx: np.ndarray,
    groups: dict[str, np.ndarray],
    held_out: np.ndarray,
    **training,
) -> list[dict]:
    """Fit one probe for all counts on the clips that are in a group and not held out, and score it on those that are.

    A row of a table for each count.
    """
    rows = np.any([group >= 0 for group in groups.values()], axis=0)
    start = time.monotonic()
    logits = fit_probe(
        frames[rows], label_idx[rows], [group[rows] for group in groups.values()], ~held_out[rows], **training
    )
    seconds = time.monotonic() - start
    return [
        {
            "probe": name,
            "count": count,
            **group_accuracy(logits, label_idx[rows], group[rows], held_out[rows]),
            "seconds": seconds,
        }
        for count, group in groups.items()
    ]


def run_hall(
    halls: np.ndarray, factors: pd.DataFrame, label_idx: np.ndarray, held_out: np.ndarray, **training
) -> pd.DataFrame:
    """What frames without the athlete tell: the apparatus, and each factor within an apparatus. A row a factor."""
    everything = np.zeros(len(halls), int)
    logits = fit_probe(halls, label_idx, [everything], ~held_out, **training)
    rows = []
    for factor in ("apparatus", *FACTORS[1:], *COUNTS):
        code, _ = pd.factorize(factors[factor])
        of_label = np.zeros(logits.shape[1], int)
        of_label[label_idx] = code
        within = np.zeros(len(halls), int) if factor == "apparatus" else pd.factorize(factors.apparatus)[0]
        mask = _group_mask(label_idx, within, logits.shape[1])
        guess = of_label[np.where(mask, logits, -np.inf).argmax(1)]
        common = pd.Series(code).groupby(within).transform(lambda values: values.mode()[0]).to_numpy()
        varied = pd.Series(code).groupby(within).transform("nunique").to_numpy() > 1
        scored = held_out & varied
        if scored.any():
            rows.append(
                {
                    "factor": factor,
                    "accuracy": (guess == code)[scored].mean(),
                    "chance": (common == code)[scored].mean(),
                    "clips": int(scored.sum()),
                }
            )
    return pd.DataFrame(rows)


def probe_frame(
    features: torch.Tensor, factors: pd.DataFrame, facts: pd.DataFrame, train: np.ndarray, test: np.ndarray
) -> pd.DataFrame:
    """What a linear map reads from features (N, D) of one frame a clip: a row a fact of the frame, and a row a count.

    A fact is classified among its values, beside always naming the commonest; a count within its groups, beside chance.
    `factors` and `facts` have a row a clip.
    """
    taught = features[torch.from_numpy(np.flatnonzero(train))]
    features = (features - taught.mean(0)) / taught.std(0).clamp_min(1e-6)
    rows = []
    for name in facts:
        code, values = pd.factorize(facts[name])
        guess = _fit_linear(features, code, np.ones((len(code), len(values)), bool), train).argmax(1)
        rows.append(
            {
                "read": name,
                "accuracy": 100 * (guess == code)[test].mean(),
                "by chance": 100 * np.bincount(code[test]).max() / test.sum(),
                "clips": int(test.sum()),
            }
        )
    label_idx = np.array(factors.groupby([*FACTORS, *COUNTS]).ngroup())
    for count in COUNTS:
        group = count_groups(factors, count)
        inside = group >= 0
        logits = _fit_linear(
            features, label_idx, _group_mask(label_idx, group, label_idx.max() + 1), train & inside
        )
        scored = group_accuracy(logits, label_idx, group, test)
        rows.append(
            {
                "read": f"{count} within its group",
                "accuracy": 100 * scored["accuracy"],
                "by chance": 100 * scored["chance"],
                "clips": scored["clips"],
            }
        )
    return pd.DataFrame(rows)


def _fit_linear(
    features: torch.Tensor, classes: np.ndarray, mask: np.ndarray, train: np.ndarray, decay: float = 1e-3
) -> np.ndarray:
    """Logits (N, C) of multinomial logistic regression on the rows `train`, each row among the classes its mask (N, C) allows."""
    weights = torch.zeros(features.shape[1] + 1, mask.shape[1], requires_grad=True)
    inputs = torch.cat([features, torch.ones(len(features), 1)], 1)
    used, target = torch.from_numpy(np.flatnonzero(train)), torch.from_numpy(classes)
    barred = torch.from_numpy(~mask)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = (
            F.cross_entropy((inputs[used] @ weights).masked_fill(barred[used], -1e4), target[used])
            + decay * weights.square().sum()
        )
        value.backward()
        return value

    optimiser.step(loss)
    return (inputs @ weights).detach().masked_fill(barred, -1e4).numpy()
