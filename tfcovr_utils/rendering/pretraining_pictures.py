"""Single frames with captions, for pretraining the foundation weights of the rendered benchmark.

They come from sources of their own, so no split of a benchmark shares a scene, athlete or camera with
them, and pass through the same H.264. The skills are those of the long list, but a picture keeps only
what its caption says.
"""

import json
import tempfile
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..machine.files import create_array, replacing, write_table
from ..machine.hashing import hash_rooms, hash_text
from ..machine.workers import make_pool
from ..profiles import data_dir
from ..video import read_clip, write_clip
from .build import hash_renderer
from .captions import frame_facts
from .dataset import render_clip, scene_of
from .skills import SKILLS

SOURCES, CLIPS_PER_SOURCE, FRAMES_PER_CLIP = 2000, 8, 12
SIZE = 64


def source_name(source: int) -> str:
    """Name a pretraining source; those of a benchmark are named gym-... and dive-..., so none is shared.

    >>> source_name(7)
    'pretraining-0007'
    """
    return f"pretraining-{source:04d}"


def render_pictures(
    n_sources: int = SOURCES, seed: int = 0, workers: int = 2, progress: bool = True
) -> tuple[np.ndarray, pd.DataFrame]:
    """Render frames, or read those already rendered: uint8 (N, 64, 64, 3) and their facts, a row a frame.

    The columns of the facts are place, shape, head, chest, arms, phase, and `source_video`.
    """
    code = [hash_renderer(), hash_rooms("rendering/captions.py")]
    key = hash_text(json.dumps([n_sources, CLIPS_PER_SOURCE, FRAMES_PER_CLIP, SIZE, seed, *code]))[:10]
    folder = data_dir() / "pictures" / key
    if not (folder / "facts.parquet").exists():
        per_source = CLIPS_PER_SOURCE * FRAMES_PER_CLIP
        tables = [None] * n_sources
        bar = tqdm(total=n_sources, desc="render pictures", disable=not progress, mininterval=2)
        with replacing(folder / "frames.npy") as temporary, make_pool(workers) as pool, bar:
            frames = create_array(temporary, (n_sources * per_source, SIZE, SIZE, 3))
            futures = {pool.submit(_render_source, source, seed): source for source in range(n_sources)}
            for future in as_completed(futures):
                source = futures.pop(future)
                frames[source * per_source : (source + 1) * per_source], tables[source] = future.result()
                bar.update()
            frames.flush()
        write_table(pd.concat(tables, ignore_index=True), folder / "facts.parquet")
    return np.load(folder / "frames.npy", mmap_mode="r"), pd.read_parquet(folder / "facts.parquet")


def _render_source(source: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Render a few clips of one source and take some frames of each."""
    rng = np.random.default_rng([seed, source])
    name, scene = source_name(source), scene_of(seed, source_name(source))
    skills = rng.choice(np.array(SKILLS["sim"], dtype=object), CLIPS_PER_SOURCE, replace=False)
    pictures, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for take, skill in enumerate(skills):
            clip_id, path = f"{name}_{take}", Path(folder) / f"{take}.mp4"
            clip = render_clip(skill, clip_id, name, seed, SIZE)
            write_clip(path, clip, scene.fps, crf=scene.crf)
            chosen = np.sort(rng.choice(len(clip), FRAMES_PER_CLIP, replace=False))
            pictures.append(read_clip(path, chosen))
            facts = frame_facts(skill, clip_id, name, seed)
            rows += [facts[frame] for frame in chosen]
    return np.concatenate(pictures), pd.DataFrame(rows).assign(source_video=name)
