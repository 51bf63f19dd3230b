"""Building triplets against plain loops: the paper's 180,000 drawn from the training clips, and the whole
product written to a file.

Labels, their pairs and texts are the rendered benchmark's 306 of `sim`; clips are rows of a table, as
unequal over the labels as FineGym's. The plain design goes through all clips of both labels of every pair,
one by one. Drawn triplets differ by their random numbers, so only how many there are is compared; the
product is compared in full.
"""

import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from comparing import compare, main, row

from tfcovr_utils.benchmark.benchmark import write_modifications
from tfcovr_utils.benchmark.triplets import (
    BUDGET,
    PER_PAIR,
    TARGETS_PER_QUERY,
    TRIPLET_COLUMNS,
    draw_triplets,
    stream_all_triplets,
)
from tfcovr_utils.labels.pairing import pair_labels
from tfcovr_utils.rendering.dataset import label_table
from tfcovr_utils.rendering.skills import SKILLS
from tfcovr_utils.sources.source import CLIP_COLUMNS

CLIPS_PER_VIDEO = 30
SIZES, REPEATS = (2_000, 8_000, 27_000), 3  # 27,000 are the paper's
ALL_SIZES = (
    2_000,
    4_000,
    8_000,
)  # the product grows with the square, and the plain design holds it in memory
QUICK_SIZES = (200, 400)


@cache
def labels_and_texts(quick):
    labels = label_table(SKILLS["mini" if quick else "sim"])
    pairs = pair_labels(labels)
    return labels, pairs, write_modifications(labels, pairs)


def make(num_clips, quick):
    """Training clips, label pairs and texts."""
    labels, pairs, texts = labels_and_texts(quick)
    rng = np.random.default_rng(0)
    share = np.exp(rng.normal(0, 1.1, len(labels)))  # as mini.dataset.plan draws them
    label = rng.choice(labels["label_id"], num_clips, p=share / share.sum())
    rows = [
        [
            f"{number:06d}",
            "made",
            f"video-{rng.integers(num_clips // CLIPS_PER_VIDEO)}",
            label[number],
            "train",
            0.0,
            1.0,
            "x.mp4",
        ]
        for number in range(num_clips)
    ]
    return pd.DataFrame(rows, columns=CLIP_COLUMNS), pairs, texts


def loop(clips, pairs, texts):
    """Yield each pair of labels, and every triplet of it whose clips are of different videos."""
    clips_of = {
        label: list(zip(part["clip_id"], part["source_video"])) for label, part in clips.groupby("label_id")
    }
    pairs = pairs.merge(texts[["source_label", "target_label", "modification_id"]])
    for pair in pairs.itertuples():
        yield (
            pair,
            [
                (query, target, pair.modification_id, pair.source_label, pair.target_label)
                for query, query_video in clips_of.get(pair.source_label, ())
                for target, target_video in clips_of.get(pair.target_label, ())
                if query_video != target_video
            ],
        )


def draw_plainly(clips, pairs, texts, budget):
    """List every pair's triplets, shuffle them, take some of each query, and fill the budget from all pairs
    in turn."""
    rng, turns = np.random.default_rng(0), []
    for pair, triplets in loop(clips, pairs, texts):
        taken, place = {}, 0
        for at in rng.permutation(len(triplets)):
            query = triplets[at][0]
            if taken.get(query, 0) < TARGETS_PER_QUERY:
                taken[query] = taken.get(query, 0) + 1
                place += 1
                turns.append((place / PER_PAIR[pair.tier], triplets[at]))
    turns.sort(key=lambda turn: turn[0])
    return len(pd.DataFrame([triplet for _, triplet in turns[:budget]], columns=TRIPLET_COLUMNS))


def draw(clips, pairs, texts, budget):
    return len(draw_triplets(clips, pairs, texts, budget))


def write_plainly(clips, pairs, texts, folder):
    table = pd.DataFrame(
        [triplet for _, triplets in loop(clips, pairs, texts) for triplet in triplets],
        columns=TRIPLET_COLUMNS,
    )
    table.to_parquet(folder / "plain.parquet")
    return len(table)


def write(clips, pairs, texts, folder):
    return stream_all_triplets(clips, pairs, texts, folder / "ours.parquet")


def measure(quick=False):
    rows, budget = [], 500 if quick else BUDGET
    repeats = 1 if quick else REPEATS
    for size in QUICK_SIZES if quick else SIZES:
        designs = {"ours": partial(draw, budget=budget), "plain": partial(draw_plainly, budget=budget)}
        found = compare(designs, make, size, quick, repeats=repeats, quick=quick)
        drawn = [found[name].values[0] for name in designs]
        assert drawn[0] == drawn[1], drawn
        rows.append(
            row(
                f"drawing up to {budget:,} triplets",
                "arrays a label pair",
                "loops over clips, lists",
                size,
                "clips",
                found["ours"],
                found["plain"],
                f"{drawn[0]:,} triplets",
            )
        )
    for size in QUICK_SIZES if quick else ALL_SIZES:
        with tempfile.TemporaryDirectory() as folder:
            designs = {
                "ours": partial(write, folder=Path(folder)),
                "plain": partial(write_plainly, folder=Path(folder)),
            }
            found = compare(designs, make, size, quick, repeats=repeats, quick=quick)
            hashes = [
                np.sort(
                    pd.util.hash_pandas_object(
                        pd.read_parquet(Path(folder) / f"{name}.parquet").astype(str), index=False
                    )
                )
                for name in designs
            ]
            np.testing.assert_array_equal(*hashes)
        rows.append(
            row(
                "writing every triplet to Parquet",
                "arrays a label pair, streamed",
                "loops over clips, one table",
                size,
                "clips",
                found["ours"],
                found["plain"],
                f"{found['ours'].values[0]:,} triplets",
            )
        )
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
