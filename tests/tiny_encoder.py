"""A tiny encoder that counts what it encodes, and clips drawn for it."""

import hashlib
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tfcovr_utils.encoders import Encoder
from tfcovr_utils.video import write_clip

FRAMES = 4


SLOW_S = 0.05  # a batch of the command that is killed


class Tiny(Encoder):
    """A small convolution with weights from a seed; counts what it encodes."""

    name = "tiny"
    image_size = 16
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, seed=0, limit=None, slow_s=0.0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = torch.nn.Conv2d(3, 6, 4, 4)
            self.out = torch.nn.Linear(96, 8)
            self.words = torch.nn.Embedding(256, 8)
        content = b"".join(value.numpy().tobytes() for value in self.state_dict().values())
        self.identity = {"weights": hashlib.sha256(content).hexdigest()}
        self.limit, self.slow_s, self.encoded, self.batches = limit, slow_s, 0, []
        self.eval()

    @classmethod
    def load(cls, weights):
        return cls(int(weights), slow_s=SLOW_S)

    def encode_frames(self, frames):
        self.batches.append(len(frames))
        if self.limit and len(frames) > self.limit:
            raise torch.cuda.OutOfMemoryError("no room")
        time.sleep(self.slow_s)
        self.encoded += len(frames)
        features = torch.relu(self.conv(self.prepare(frames))).flatten(1)
        values = self.out(features).unflatten(0, frames.shape[:2])
        return values + 1e-6 * values.mean(
            0
        )  # the last bits of a product may depend on its other rows; here they do

    def encode_texts(self, texts):
        self.encoded += len(texts)
        return torch.stack([self.words(torch.tensor(list(text.encode()))).mean(0) for text in texts])


def write_drawn(path, seed, n_frames=12, size=32):
    """A clip of coloured blocks that change with every frame."""
    blocks = np.random.default_rng(seed).integers(0, 256, (n_frames, 4, 4, 3), dtype=np.uint8)
    return write_clip(path, blocks.repeat(size // 4, 1).repeat(size // 4, 2), 12)


def table(folder):
    paths = sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.mp4"))
    return pd.DataFrame({"clip_id": [f"id {path}" for path in paths], "path": paths})


def shards(folder):
    return sorted(Path(folder).rglob("shard-*.safetensors"))
