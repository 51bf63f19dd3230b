"""A benchmark of six labels, small enough for brute force, with clips as files where a test wants them."""
from pathlib import Path

import numpy as np
import pandas as pd

from tfcovr_utils.labels import parse_label
from tfcovr_utils.sources.tables import CLIP_COLUMNS, Source, label_row
from tfcovr_utils.triplets import Benchmark
from tfcovr_utils.video import write_clip

TEXTS = {
    "one": "(FX) salto backward stretched with 1 twist",
    "two": "(FX) salto backward stretched with 2 twist",
    "tuck": "(FX) salto backward tucked with 1 twist",
    "beam": "(BB) salto backward stretched with 1 twist",
    "beam two": "(BB) salto backward stretched with 2 twist",
    "beam tuck": "(BB) salto backward tucked with 1 twist",
}
VIDEOS = {"train": 6, "val": 3, "test": 4}


def small_benchmark(clips_dir: Path | None = None, budget: int = 400) -> Benchmark:
    """Each source video shows each label once, some twice; with `clips_dir`, as a colour that says the label."""
    labels = pd.DataFrame([label_row(label_id, text, "gym", parse_label(text), "") for label_id, text in TEXTS.items()])
    rows = []
    for split, videos in VIDEOS.items():
        for video in range(videos):
            for number, label_id in enumerate([*TEXTS, *list(TEXTS)[video::3]]):
                clip = f"{split}{video}_{number}"
                rows.append([clip, "gym", f"{split}{video}", label_id, split, 0.0, 1.0, f"{clip}.mp4"])
    clips = pd.DataFrame(rows, columns=CLIP_COLUMNS)
    if clips_dir is not None:
        rng = np.random.default_rng(0)
        for clip in clips.itertuples():
            shown = np.array([40 * list(TEXTS).index(clip.label_id), 128, rng.integers(256)])  # and a colour of its own
            frames = np.clip(shown + rng.integers(-20, 20, (8, 32, 32, 3)), 0, 255).astype(np.uint8)
            write_clip(Path(clips_dir) / clip.path, frames, 8)
    return Benchmark.build(Source(clips, labels), budget=budget)
