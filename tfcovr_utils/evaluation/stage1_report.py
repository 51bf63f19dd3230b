"""What the encoders that stage 1 taught read from a benchmark's clips: the tables of notebook 04."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..benchmark.benchmark import Benchmark
from ..profiles import Profile
from ..training.label_accuracy import accuracies, accuracy_by_attribute, confusions, flatten, neighbours
from ..training.recipes import RECIPES, embed_frames
from ..training.teaching import Learned


@dataclass(frozen=True)
class Stage1Report:
    """Encoders by name, the frame features (N, T, D) that each has of all clips, and what follows."""

    benchmark: Benchmark
    learned: dict[str, Learned]
    frames: dict[str, torch.Tensor]

    @cached_property
    def label_idx(self) -> np.ndarray:
        """The label of each clip (N,), as a place in the table of labels."""
        return pd.Index(self.benchmark.labels["label_id"]).get_indexer(self.benchmark.clips["label_id"])

    @cached_property
    def logits(self) -> dict[str, torch.Tensor]:
        """Logits (N, C) of the test clips, by encoder."""
        return {name: one.logits(self.frames[name][self.rows("test")]) for name, one in self.learned.items()}

    @cached_property
    def features(self) -> dict[str, torch.Tensor]:
        """Clip features (N, W) of all clips, by encoder; first the mean of the frozen frames."""
        frozen = [self.frames[name].mean(1) for name in self.learned if name.startswith("frozen")]
        learned = {name: one.clip_features(self.frames[name]) for name, one in self.learned.items()}
        return ({"frozen mean": frozen[0]} if frozen else {}) | learned

    def rows(self, *splits: str) -> np.ndarray:
        """Places of the clips of some splits."""
        return np.flatnonzero(self.benchmark.clips["split"].isin(splits))

    def curves(self) -> pd.DataFrame:
        """Training curves of all encoders, with `top-1` on val in per cent."""
        parts = [one.curve.assign(recipe=name) for name, one in self.learned.items()]
        return pd.concat(parts).assign(**{"top-1": lambda table: 100 * table["val_top1"]})

    def costs(self) -> pd.DataFrame:
        """What each encoder took to train, and its best epoch."""
        rows = {
            name: {
                "trained parameters": one.facts["trained"],
                "seconds": one.facts["seconds"],
                "clips a second": one.curve["clips_per_s"].median(),
                "best epoch": one.curve["val_top1"].idxmax() + 1,
                "top-1 on val": 100 * one.curve["val_top1"].max(),
            }
            for name, one in self.learned.items()
        }
        return pd.DataFrame(rows).T

    def best(self) -> str:
        """The encoder with the best top-1 on val."""
        return max(self.learned, key=lambda name: self.learned[name].curve["val_top1"].max())

    def accuracies(self) -> pd.DataFrame:
        """Top-1, top-5 and mean class accuracy on test, in per cent."""
        truth = self.label_idx[self.rows("test")]
        return pd.DataFrame({name: accuracies(logits, truth) for name, logits in self.logits.items()}).T

    def by_attribute(self) -> pd.DataFrame:
        """Accuracy on test of each attribute with more than one value, by encoder."""
        truth, labels = self.label_idx[self.rows("test")], self.benchmark.labels
        parts = [
            accuracy_by_attribute(logits, truth, labels).assign(encoder=name)
            for name, logits in self.logits.items()
        ]
        table = pd.concat(parts)
        return table[table["values"] > 1]

    def confusions(self, name: str) -> pd.DataFrame:
        """Which labels of test clips an encoder takes for which, and in what the two differ."""
        return confusions(self.logits[name], self.label_idx[self.rows("test")], self.benchmark.labels)

    def confused_attributes(self, *names: str) -> pd.DataFrame:
        """How many test clips are taken for a label that differs in an attribute, by encoder."""
        counts = {name: self.confusions(name).groupby("differs in")["clips"].sum() for name in names}
        table = pd.DataFrame(counts).fillna(0).astype(int)
        return table.sort_values(names[0], ascending=False)

    def neighbours(self) -> pd.DataFrame:
        """How often the nearest training clip shares each attribute of a test clip, in per cent."""
        test, train = self.rows("test"), self.rows("train")
        parts = [
            neighbours(values, test, train, self.label_idx, self.benchmark.labels).rename(name)
            for name, values in self.features.items()
        ]
        return pd.concat(parts, axis=1)

    def space(self, groups: pd.Series) -> pd.DataFrame:
        """Two principal axes of the val and test clips whose label has a group: x, y, group, encoder."""
        clips = self.benchmark.clips
        rows = np.flatnonzero(clips["label_id"].isin(groups.index) & (clips["split"] != "train"))
        group = groups[clips["label_id"].iloc[rows]].to_numpy()
        parts = [
            flatten(values[rows]).assign(encoder=name, group=group) for name, values in self.features.items()
        ]
        return pd.concat(parts)


def accuracy_by_frames(
    benchmark: Benchmark, clips_dir: Path, profile: Profile, learned: dict[int, Learned]
) -> pd.DataFrame:
    """Accuracy of each attribute on test, for encoders by the number of frames that they were taught on."""
    clips, labels = benchmark.clips[benchmark.clips["split"] == "test"], benchmark.labels
    truth = pd.Index(labels["label_id"]).get_indexer(clips["label_id"])
    parts = []
    for frames, one in learned.items():
        recipe = RECIPES[one.facts["made_of"]["recipe"]]
        read = embed_frames(recipe, one.encoder, clips, clips_dir, profile, progress=False)
        parts.append(accuracy_by_attribute(one.logits(read.values), truth, labels).assign(frames=frames))
    return pd.concat(parts)
