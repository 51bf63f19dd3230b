"""A benchmark of six labels, small enough for brute force, with clips as files where a test wants them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.labels import parse_label
from tfcovr_utils.methods import Setting
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.sources.source import CLIP_COLUMNS, Source, label_row
from tfcovr_utils.training.pretraining.captioned import Pretraining
from tfcovr_utils.training.pretraining.mini_clip import build_model, build_tokenizer, save
from tfcovr_utils.training.settings import STAGE2
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
    """Each source video shows each label once, some twice; with `clips_dir`, as a colour that says the
    label."""
    labels = pd.DataFrame(
        [label_row(label_id, text, "gym", parse_label(text), "") for label_id, text in TEXTS.items()]
    )
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
            shown = np.array(
                [40 * list(TEXTS).index(clip.label_id), 128, rng.integers(256)]
            )  # and a colour of its own
            frames = np.clip(shown + rng.integers(-20, 20, (8, 32, 32, 3)), 0, 255).astype(np.uint8)
            write_clip(Path(clips_dir) / clip.path, frames, 8)
    return Benchmark.build(Source(clips, labels), budget=budget)


def small_setting(tmp_path_factory, **options) -> Setting:
    """This benchmark with clips, a CLIP of two layers and a stage 2 of twenty steps; a folder for what
    rows train."""
    folder, weights = tmp_path_factory.mktemp("clips"), tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["show with 2.5 twists on the beam"])
    save(
        build_model(tokenizer, Pretraining(width=32, layers=2, heads=2, text_layers=1, projection=16)).eval(),
        tokenizer,
        weights,
    )
    stage2 = replace(STAGE2["smoke"], steps=20, select_every=10, projection_dim=16, hidden_dim=32)
    return Setting(
        small_benchmark(folder),
        folder,
        replace(PROFILES["smoke"], frames=5),
        folder=tmp_path_factory.mktemp("run") / "row",
        weights={"clip": str(weights)},
        stage2=stage2,
        store_dir=tmp_path_factory.mktemp("store"),
        **options,
    )
