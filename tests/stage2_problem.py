"""A small problem for stage 2: targets that are the query clip moved by the text, and a tiny text tower."""

from dataclasses import replace

import torch

from tfcovr_utils.metrics.ranking import average_precision_at
from tfcovr_utils.training.fusion import Fusion
from tfcovr_utils.training.loop import Run
from tfcovr_utils.training.settings import STAGE2
from tfcovr_utils.training.stage2 import Stage2Data, fit_fusion
from tfcovr_utils.training.towers import TextTower, tower_config

SIZES = {
    "vocab_size": 40,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 40,
}


def tiny_tower() -> TextTower:
    torch.manual_seed(3)
    return TextTower(tower_config(**SIZES)).eval()


SMALL = replace(STAGE2["smoke"], batch=16, steps=24, select_every=8, projection_dim=16, hidden_dim=32)


CLIPS, TEXTS, TRIPLETS, DIM = 40, 6, 96, 8


def problem():
    """Targets that are the query clip moved by the text: nothing that either input alone could tell."""
    generator = torch.Generator().manual_seed(0)
    video, texts = torch.randn(CLIPS, DIM, generator=generator), torch.randn(TEXTS, 5, generator=generator)
    move = texts @ torch.randn(5, DIM, generator=generator)
    drawn = torch.randperm(CLIPS * TEXTS, generator=generator)[:TRIPLETS]
    ends = [drawn // TEXTS, drawn % TEXTS]
    target = video[ends[0]] + move[ends[1]]
    return video, texts, target, torch.stack([*ends, torch.arange(TRIPLETS)], 1)


def fit(settings=SMALL, seed=0, validate=None, target_labels=None, **run):
    return fit_fusion(Stage2Data(*problem(), target_labels), settings, seed, validate, run=Run(**run))


def same(one: Fusion, other: Fusion) -> bool:
    return all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


def agreement(fusion: Fusion) -> float:
    """Mean AP of each triplet's own target among all."""
    video, texts, target, rows = problem()
    scores = fusion(video[rows[:, 0]], texts, rows[:, 1]) @ fusion.embed_target(target).T
    return float(average_precision_at(scores, [[row] for row in range(len(rows))], [50]).mean())
