"""Decoding and embedding clips with one, two and four workers, against one clip after another.

Clips are H.264 files of moving blocks, 256 x 256, of which 12 frames are taken; the encoder is the small
CLIP of the rendered benchmark. Workers are threads that decode while the encoder computes; hashing the
files and writing the store are part of it. The plain design decodes a clip, encodes it, writes a file, and
goes on to the next. Both give the same features, or the benchmark stops.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from comparing import compare, main, row

from tfcovr_utils.embedding.batches import Compute
from tfcovr_utils.embedding.embed import embed_clips
from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.profiles import get_profile
from tfcovr_utils.video import read_clip, write_clip
from tfcovr_utils.video.frames import read_cached

CLIPS, REPEATS, WORKERS = 96, 5, (1, 2, 4)
QUICK_CLIPS = 6
FRAMES, LENGTH, BLOCKS, PIXELS = (
    12,
    48,
    16,
    256,
)  # frames read, frames of a clip, blocks a side, pixels a side
SPREAD = 1e-4  # of a feature: the last bits of a product depend on its other rows


def write_clips(folder: Path, count: int) -> None:
    """Clips of coloured blocks that move by a pixel a frame."""
    rng = np.random.default_rng(0)
    for number in range(count):
        picture = (
            rng.integers(0, 256, (BLOCKS, BLOCKS, 3), dtype=np.uint8)
            .repeat(PIXELS // BLOCKS, 0)
            .repeat(PIXELS // BLOCKS, 1)
        )
        write_clip(
            folder / f"{number:03d}.mp4",
            np.stack([np.roll(picture, step, (0, 1)) for step in range(LENGTH)]),
            24,
        )


def make(folder, count):
    clips = pd.DataFrame({"clip_id": [f"{number:03d}" for number in range(count)]})
    return (
        load_encoder("clip", get_profile("mini").clip_weights).eval(),
        clips.assign(path=clips["clip_id"] + ".mp4"),
        folder,
    )


def one_by_one(encoder, clips, folder):
    features = []
    with tempfile.TemporaryDirectory() as out, torch.no_grad():
        for clip_id, path in clips.itertuples(index=False):
            features.append(encoder.encode_frames(read_clip(folder / path, "centre", FRAMES)[None])[0])
            torch.save(features[-1], Path(out) / f"{clip_id}.pth")
    return torch.stack(features).sum(-1).numpy()


def ahead(encoder, clips, folder, workers):
    kept = read_cached.__self__
    kept.clips.clear()  # what this process has decoded before is decoded again
    kept.room = None
    with tempfile.TemporaryDirectory() as out:
        embedded = embed_clips(
            encoder,
            clips,
            folder,
            frames=FRAMES,
            store_dir=Path(out),
            compute=Compute(workers=workers),
            progress=False,
        )
    assert not embedded.missing, embedded.missing
    return embedded.values.sum(-1).numpy()


def measure(quick=False):
    count = QUICK_CLIPS if quick else CLIPS
    designs = {
        f"{workers} workers" if workers > 1 else "1 worker": partial(ahead, workers=workers)
        for workers in WORKERS
    }
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder), count)
        found = compare(
            designs | {"plain": one_by_one},
            make,
            Path(folder),
            count,
            repeats=1 if quick else REPEATS,
            quick=quick,
        )
    for name in designs:
        np.testing.assert_allclose(found[name].values[0], found["plain"].values[0], atol=SPREAD, rtol=SPREAD)
    return [
        row(
            f"decoding and embedding, {FRAMES} frames of {LENGTH}",
            name,
            "one clip after another",
            count,
            "clips",
            found[name],
            found["plain"],
            f"{count / found[name].seconds:,.1f} clips/s",
        )
        for name in designs
    ]


if __name__ == "__main__":
    main(measure, __doc__)
