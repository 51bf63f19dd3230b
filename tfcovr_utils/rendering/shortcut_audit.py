"""The audit of notebook 01: does any cue but motion reveal a count of a rendered clip?"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..video.frames import read_clips
from .dataset import render_hall
from .shortcuts import COUNTS, count_groups, find_count_shortcuts, find_hall_shortcuts

HALL_CLIPS = 2000  # clips whose halls are rendered, at most
AERIAL = ("salto", "dive")  # families in which counts matter most


@dataclass(frozen=True)
class ShortcutAudit:
    """Small networks, each shown one cue only, trained on some sources and scored on others."""

    clips: pd.DataFrame  # columns of a benchmark's clips and of a rendering's factors; rows counted from 0
    clips_dir: Path
    epochs: int
    seed: int = 0

    @cached_property
    def groups(self) -> dict[str, np.ndarray]:
        """Each clip's group (N,) by count: its labels differ in that count alone; -1 for none."""
        return {count: count_groups(self.clips, count) for count in COUNTS}

    @cached_property
    def label_idx(self) -> np.ndarray:
        """The label of each clip, as a number."""
        return pd.factorize(self.clips["label_id"])[0]

    @cached_property
    def held_out(self) -> np.ndarray:
        """Clips of every third source."""
        return pd.factorize(self.clips["source_video"])[0] % 3 == 0

    @cached_property
    def aerial(self) -> np.ndarray:
        """Places of the saltos and dives that belong to a group."""
        grouped = np.any([group >= 0 for group in self.groups.values()], axis=0)
        return np.flatnonzero(self.clips["family"].isin(AERIAL) & grouped)

    def one_frame(self) -> pd.DataFrame:
        """A network that sees the middle frame of half the grouped clips: a row a count."""
        grouped = np.any([group >= 0 for group in self.groups.values()], axis=0)
        half = self.clips[grouped].groupby("label_id").sample(frac=0.5, random_state=0).index
        frames = read_clips([self.clips_dir / path for path in self.clips["path"][half]], 1, "middle")
        return self._find("one frame, the middle", frames, half, self.held_out)

    def hall(self, render_seed: int) -> pd.DataFrame:
        """A network that sees hall, apparatus and camera without the athlete: a row a factor."""
        share = min(1.0, HALL_CLIPS / len(self.clips))
        sample = self.clips.groupby("label_id").sample(frac=share, random_state=0).index
        columns = [self.clips[name][sample] for name in ("apparatus", "clip_id", "source_video")]
        halls = np.stack([render_hall(*row, render_seed) for row in zip(*columns)])
        return find_hall_shortcuts(
            halls,
            self.clips.loc[sample],
            self.label_idx[sample],
            self.held_out[sample],
            epochs=self.epochs,
            seed=self.seed,
        )

    def all_frames(self, features: np.ndarray) -> pd.DataFrame:
        """Networks that see features (N, T, D) of the aerial clips' frames, in order and shuffled."""
        held_out = (self.clips["split"] != "train").to_numpy()
        return pd.concat(
            [
                self._find(f"all frames, {name}", features, self.aerial, held_out, shuffle_frames=shuffled)
                for name, shuffled in (("in order", False), ("shuffled", True))
            ],
            ignore_index=True,
        )

    def _find(self, name: str, frames: np.ndarray, rows: np.ndarray, held_out: np.ndarray, **options):
        groups = {count: group[rows] for count, group in self.groups.items()}
        options |= {"epochs": self.epochs, "seed": self.seed}
        return pd.DataFrame(
            find_count_shortcuts(name, frames, self.label_idx[rows], groups, held_out[rows], **options)
        )
