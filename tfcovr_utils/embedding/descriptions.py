"""Clips -> descriptions of their middle frames by a captioner, each written once and kept."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ..encoders.captioner import Captioner
from ..machine.files import write_table
from ..machine.hashing import digest
from ..profiles import data_dir
from ..video import VideoError
from ..video.frames import read_cached, square
from ..video.hashes import hash_clips

AT_ONCE = 64  # captions in a batch
KEEP_EVERY = 512  # what a killed run loses at most


def describe_clips(
    captioner: Captioner,
    clips: pd.DataFrame,
    clips_dir: Path,
    store_dir: Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Describe `clips` (columns clip_id and path): a row a clip that could be read, in the columns of a benchmark's descriptions.

    A description belongs to a file's content and to the captioner's weights, so that a killed run goes on where it was.
    """
    store_dir = Path(store_dir or data_dir() / "embeddings")
    kept_path = store_dir / f"captions-{digest(str(sorted(captioner.identity.items())))[:16]}.parquet"
    files, _ = hash_clips(clips["path"], clips_dir, store_dir, progress)
    kept = dict(pd.read_parquet(kept_path).itertuples(index=False)) if kept_path.exists() else {}
    here = clips[clips["path"].isin(files)]
    keys = [files[path]["sha256"] for path in here["path"]]
    todo = list({key: path for key, path in zip(keys, here["path"]) if key not in kept}.items())
    bar = tqdm(total=len(todo), unit="clip", desc="describe", disable=not progress, mininterval=2)
    for start in range(0, len(todo), AT_ONCE):
        part = [
            (key, _middle(Path(clips_dir) / path, captioner.image_size))
            for key, path in todo[start : start + AT_ONCE]
        ]
        part = [(key, frame) for key, frame in part if frame is not None]
        kept |= zip(
            [key for key, _ in part],
            captioner.describe(np.stack([frame for _, frame in part])) if part else [],
        )
        bar.update(len(todo[start : start + AT_ONCE]))
        if start % KEEP_EVERY == 0 or start + AT_ONCE >= len(todo):
            write_table(pd.DataFrame(kept.items(), columns=["key", "text"]), kept_path)
    bar.close()
    texts = [kept.get(key) for key in keys]
    table = pd.DataFrame(
        {
            "clip_id": here["clip_id"].to_numpy(),
            "label_id": "",
            "style": "short",
            "text": texts,
            "writer": captioner.source,
        }
    )
    return table.dropna(subset=["text"]).reset_index(drop=True)


def _middle(path: Path, size: int) -> np.ndarray | None:
    """The middle frame (S, S, 3), whole numbers; None for a clip that cannot be read."""
    try:
        return (
            square(torch.from_numpy(read_cached(path, "middle", 1)).permute(0, 3, 1, 2), size)
            .permute(0, 2, 3, 1)[0]
            .numpy()
        )
    except VideoError:
        return None
