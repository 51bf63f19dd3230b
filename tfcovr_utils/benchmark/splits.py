"""Train, val and test by source video, drawn from annotation counts only, never from a model's results."""

import numpy as np
import pandas as pd

SHARE = 0.1  # of a dataset's sources that go to test; of the rest, the share that goes to val
DRAWS = 200
TOLERANCE = 0.05  # allowed relative error of a draw's share of the clips


def split_by_source(clips: pd.DataFrame, pairs: pd.DataFrame, seed: int = 0) -> tuple[pd.Series, dict]:
    """Return a split for each clip, and the choices that made it: test is drawn first, then val.

    A source leaves train only if every label keeps a training clip. Of `DRAWS` draws, the first with the
    most directed label pairs that have clips on both sides wins.

    >>> clips = pd.DataFrame({"source_video": list("abcd"), "dataset": "gym", "label_id": "salto"})
    >>> split, choices = split_by_source(clips, pd.DataFrame(columns=["source_label", "target_label"]))
    >>> sorted(split)
    ['test', 'train', 'train', 'val']
    """
    sources = clips.groupby("source_video", sort=True)["dataset"].first()
    labels = pd.Index(sorted(clips["label_id"].unique()))
    source_idx = sources.index.get_indexer(clips["source_video"])
    counts = np.zeros((len(sources), len(labels)), dtype=np.int64)  # clips: (sources, labels)
    np.add.at(counts, (source_idx, labels.get_indexer(clips["label_id"])), 1)
    known = pairs["source_label"].isin(labels) & pairs["target_label"].isin(labels)
    ends = [labels.get_indexer(pairs.loc[known, f"{end}_label"]) for end in ("source", "target")]

    split = np.full(len(sources), "train", dtype=object)
    choices: dict = {"split_seed": seed}
    for name in ("test", "val"):
        free = np.flatnonzero(split == "train")
        taken, draw = _best_draw(counts[free], sources.to_numpy()[free], ends, seed)
        split[free[taken]] = name
        choices |= {f"{name}_draw": draw, f"{name}_sources": sources.index[free[taken]].tolist()}
    return pd.Series(split[source_idx], index=clips.index, dtype=str), choices


def _best_draw(
    counts: np.ndarray, dataset: np.ndarray, ends: list[np.ndarray], seed: int
) -> tuple[list[int], int]:
    best_score = (False, -1)
    for draw in range(DRAWS):
        taken = _draw(counts, dataset, np.random.default_rng([seed, draw]))
        held_out = counts[taken].sum(axis=0)
        share = held_out.sum() / max(counts.sum(), 1)
        supported = int(((held_out[ends[0]] > 0) & (held_out[ends[1]] > 0)).sum())
        score = (abs(share - SHARE) <= TOLERANCE * SHARE, supported)
        if score > best_score:
            best_score, best = score, (taken, draw)
    return best


def _draw(counts: np.ndarray, dataset: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Take a random share of each dataset's sources, so that each label keeps a clip."""
    left = counts.sum(axis=0)
    order = rng.random(len(counts)).argsort()
    taken = []
    for name in sorted(set(dataset)):
        members = order[dataset[order] == name]
        wanted = round(SHARE * len(members)) or (1 if len(members) > 2 else 0)
        for source in members:
            if wanted == 0:
                break
            if ((left - counts[source])[counts[source] > 0] > 0).all():
                left = left - counts[source]
                taken.append(int(source))
                wanted -= 1
    return sorted(taken)
