"""A small problem for stage 1: clips whose label is the order of their frames, and a tiny AIM."""

import numpy as np
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from tfcovr_utils.encoders.aim_model import Aim
from tfcovr_utils.training.loop import Run
from tfcovr_utils.training.readers import ClipReader, Readout
from tfcovr_utils.training.settings import Stage1Settings
from tfcovr_utils.training.stage1 import Stage1, Stage1Data, fit_stage1
from tfcovr_utils.training.stage1_clips import FeatureClips

QUICK = Stage1Settings(epochs=6, batch=16, lr=3e-3, warm_up=0.1)


ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)]


def ordered_clips(n: int = 160, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Features (N, 3, 6) of clips whose label is the order of the same three frames: the mean over frames
    tells nothing."""
    rng = np.random.default_rng(seed)
    label_idx = rng.integers(len(ORDERS), size=n)
    frames = 3 * np.eye(3, 6)
    features = np.stack([frames[list(ORDERS[label])] for label in label_idx]) + 0.1 * rng.standard_normal(
        (n, 3, 6)
    )
    return torch.from_numpy(features.astype(np.float32)), label_idx


def fit(kind: str, features, label_idx, settings=QUICK, seed=0, factors=None, **keywords):
    torch.manual_seed(5)
    reader = ClipReader(
        Readout(kind, features.shape[2], num_frames=3, width=16, heads=2, layers=1, dropout=0.0),
        list("abcd"),
        factors and {"parity": ["even", "odd"]},
        dropout=0.0,
    )
    reader.readout.set_statistics(features)
    model = Stage1(reader)
    train, val = np.arange(120), np.arange(120, len(features))
    factor_idx = {"parity": label_idx % 2} if factors else None
    data = Stage1Data(FeatureClips(features), label_idx, train, val, factor_idx)
    return model, fit_stage1(model, data, settings, seed, Run(**keywords))


def tiny_aim(num_frames: int = 3) -> Aim:
    torch.manual_seed(0)
    tower = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
        )
    )
    return Aim(tower, num_frames=num_frames)
