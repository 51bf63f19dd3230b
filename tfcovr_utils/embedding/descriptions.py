"""Have a captioner describe clips by their middle frames; each description is written once and kept."""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ..encoders.captioner import Captioner
from ..machine.files import write_table
from ..machine.hashing import hash_text
from ..profiles import data_dir
from ..video.frames import decode_clips
from ..video.hashes import hash_clips

BATCH = 64  # clips described at once; a killed run loses at most so many


def describe_clips(
    captioner: Captioner,
    clips: pd.DataFrame,
    clips_dir: Path,
    store_dir: Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Describe clips (columns clip_id and path): one row for each that can be read, as in a benchmark's
    descriptions.

    A description belongs to a file's content and to the captioner's weights, so an interrupted run resumes.
    """
    store_dir = Path(store_dir or data_dir() / "embeddings")
    cache_path = store_dir / f"captions-{hash_text(str(sorted(captioner.identity.items())))}.parquet"
    files, _ = hash_clips(clips["path"], clips_dir, store_dir, progress)
    known = dict(pd.read_parquet(cache_path).itertuples(index=False)) if cache_path.exists() else {}
    clips = clips[clips["path"].isin(files)]
    keys = [files[path]["sha256"] for path in clips["path"]]
    todo = list({key: path for key, path in zip(keys, clips["path"]) if key not in known}.items())
    starts = range(0, len(todo), BATCH)
    for start in tqdm(starts, "describe", unit="batch", disable=not progress, mininterval=2):
        batch = todo[start : start + BATCH]
        paths = [Path(clips_dir) / path for _, path in batch]
        frames, broken = decode_clips(paths, 1, size=captioner.image_size, policy="middle")
        readable = [row for row in range(len(batch)) if row not in broken]
        if readable:
            texts = captioner.describe(frames[readable, 0])
            known |= {batch[row][0]: text for row, text in zip(readable, texts)}
            write_table(pd.DataFrame(known.items(), columns=["key", "text"]), cache_path)
    table = pd.DataFrame({"clip_id": clips["clip_id"].to_numpy(), "label_id": "", "style": "short"})
    table = table.assign(text=[known.get(key) for key in keys], writer=captioner.source)
    return table.dropna(subset=["text"]).reset_index(drop=True)
