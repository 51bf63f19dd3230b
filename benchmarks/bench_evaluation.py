"""Time and peak memory of a whole evaluation, 473 queries against 36,000 clips, embeddings given.

Beside `evaluate` stand its parts: the product of the embeddings, and a plain top-k. All against the
product, a full sort of every row, and loops. Both give the same values, or the benchmark stops.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from comparing import compare, main, row

from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.benchmark.protocols import make_task
from tfcovr_utils.evaluation.scoring import DEPTH, evaluate
from tfcovr_utils.labels import parse_label
from tfcovr_utils.methods import stored
from tfcovr_utils.metrics.ranking import RANKS
from tfcovr_utils.sources.source import CLIP_COLUMNS, Source, label_row

CLIPS_PER_LABEL = 13  # enough for the 473 queries of a split
NUM_GALLERY, QUICK_GALLERY = 36_000, 600
DIM = 768
REPEATS = 3
TURNS = [
    f"(FX) salto backward {shape} with {turns} twist"
    for shape in ("tucked", "piked", "stretched")
    for turns in (1, 2, 3)
]


def make(num_gallery):
    """A benchmark with a test gallery of that size whose queries have a few targets each, and random unit
    vectors."""
    labels = pd.DataFrame([label_row(text, text, "made", parse_label(text), "") for text in TURNS])
    rows = [
        [f"{split}-{number}-{text}", "made", f"{split}{number}", text, split, 0.0, 1.0, "x.mp4"]
        for split, count in (("train", 2), ("test", CLIPS_PER_LABEL))
        for text in TURNS
        for number in range(count)
    ]
    benchmark = Benchmark.build(Source(pd.DataFrame(rows, columns=CLIP_COLUMNS), labels), budget=10)
    # The rest of the gallery answers nothing.
    rest = [f"rest-{number}" for number in range(num_gallery - CLIPS_PER_LABEL * len(TURNS))]
    clips = pd.DataFrame({"clip_id": rest}).reindex(columns=CLIP_COLUMNS, fill_value="")
    gallery = pd.DataFrame({"gallery": "full", "split": "test", "clip_id": rest})
    benchmark = replace(
        benchmark, clips=pd.concat([benchmark.clips, clips]), gallery=pd.concat([benchmark.gallery, gallery])
    )
    task = make_task(benchmark)
    generator = torch.Generator().manual_seed(0)
    query_emb, clip_emb = (
        torch.randn(n, DIM, generator=generator) for n in (len(task.queries), len(task.gallery))
    )
    for vectors in (query_emb, clip_emb):
        vectors /= vectors.norm(dim=1, keepdim=True)  # in place, so that no copy hides a peak
    return benchmark, task, query_emb, clip_emb


def whole(benchmark, task, query_emb, clip_emb):
    return evaluate(stored(task.queries["query_id"], query_emb, task.gallery, clip_emb), benchmark)[
        "ap@50"
    ].to_numpy()


def product(benchmark, task, query_emb, clip_emb):
    return len(
        query_emb @ clip_emb.T
    )  # only its length leaves the process: what is sent would count as memory


def product_and_topk(benchmark, task, query_emb, clip_emb):
    return len((query_emb @ clip_emb.T).topk(DEPTH + 1).indices)


def sort_and_loop(benchmark, task, query_emb, clip_emb):
    """Sort every row in full and walk it rank by rank, for each cut-off."""
    scores, own, values = (
        (query_emb @ clip_emb.T).numpy(),
        task.own_idx(),
        np.empty((len(query_emb), len(RANKS))),
    )
    for query, (ranked, right) in enumerate(
        zip(np.argsort(-scores, axis=1, kind="stable"), map(set, task.answers_idx()))
    ):
        ranked = ranked[ranked != own[query]]
        for column, k in enumerate(RANKS):
            hits, total = 0, 0.0
            for rank, clip in enumerate(ranked[:k], start=1):
                if clip in right:
                    hits += 1
                    total += hits / rank
            values[query, column] = total / min(k, len(right))
    return values[:, -1]


def measure(quick=False):
    size = QUICK_GALLERY if quick else NUM_GALLERY
    designs = {
        "evaluate": whole,
        "of which product and top-k": product_and_topk,
        "of which product": product,
        "plain": sort_and_loop,
    }
    found = compare(designs, make, size, repeats=1 if quick else REPEATS, quick=quick)
    np.testing.assert_allclose(found["evaluate"].values[0], found["plain"].values[0], atol=1e-6)
    what = f"mAP of {len(found['plain'].values[0])} queries, embeddings of {DIM} given"
    return [
        row(what, name, "product, rows sorted in full, loops", size, "clips", found[name], found["plain"])
        for name in designs
        if name != "plain"
    ]


if __name__ == "__main__":
    main(measure, __doc__)
