"""Time and peak memory of a whole evaluation, 473 queries against 36,000 clips, embeddings given.

Beside `evaluate` stand its parts: the product of the embeddings, a plain top-k, and a full sort with loops, all in
one run, each in a process of its own so that peaks do not mix. Linux and macOS (needs `resource`).
"""

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from tfcovr_utils.evaluation import DEPTH, evaluate
from tfcovr_utils.labels import parse_label
from tfcovr_utils.methods import stored
from tfcovr_utils.metrics import RANKS
from tfcovr_utils.protocols import make_task
from tfcovr_utils.sources.tables import CLIP_COLUMNS, Source, label_row
from tfcovr_utils.triplets import Benchmark

CLIPS_PER_LABEL = 13  # enough for the 473 queries of a split
NUM_GALLERY = 36_000
DIM = 768
REPEATS = 3
MIB_PER_RSS_UNIT = 1 / 2**20 if sys.platform == "darwin" else 1 / 2**10
TURNS = [f"(FX) salto backward {shape} with {turns} twist" for shape in ("tucked", "piked", "stretched") for turns in (1, 2, 3)]


def make_inputs():
    """A benchmark with a test gallery of that size whose queries have a few targets each, and random unit vectors."""
    labels = pd.DataFrame([label_row(text, text, "made", parse_label(text), "") for text in TURNS])
    rows = [[f"{split}-{number}-{text}", "made", f"{split}{number}", text, split, 0.0, 1.0, "x.mp4"]
            for split, count in (("train", 2), ("test", CLIPS_PER_LABEL)) for text in TURNS for number in range(count)]  # fmt: skip
    benchmark = Benchmark.build(Source(pd.DataFrame(rows, columns=CLIP_COLUMNS), labels), budget=10)
    # The rest of the gallery answers nothing.
    rest = [f"rest-{number}" for number in range(NUM_GALLERY - CLIPS_PER_LABEL * len(TURNS))]
    clips = pd.DataFrame({"clip_id": rest}).reindex(columns=CLIP_COLUMNS, fill_value="")
    gallery = pd.DataFrame({"gallery": "full", "split": "test", "clip_id": rest})
    benchmark = replace(benchmark, clips=pd.concat([benchmark.clips, clips]), gallery=pd.concat([benchmark.gallery, gallery]))
    task = make_task(benchmark)
    generator = torch.Generator().manual_seed(0)
    query_emb, clip_emb = (torch.randn(n, DIM, generator=generator) for n in (len(task.queries), len(task.gallery)))
    for vectors in (query_emb, clip_emb):
        vectors /= vectors.norm(dim=1, keepdim=True)  # in place, so that no copy hides a peak
    return benchmark, task, query_emb, clip_emb


def whole(benchmark, task, query_emb, clip_emb):
    return evaluate(stored(task.queries["query_id"], query_emb, task.gallery, clip_emb), benchmark)["ap@50"].to_numpy()


def product(benchmark, task, query_emb, clip_emb):
    return (query_emb @ clip_emb.T).numpy()


def product_and_topk(benchmark, task, query_emb, clip_emb):
    return (query_emb @ clip_emb.T).topk(DEPTH + 1).indices.numpy()


def sort_and_loop(benchmark, task, query_emb, clip_emb):
    """Sort every row in full and walk it rank by rank, for each cut-off."""
    scores, own, values = (query_emb @ clip_emb.T).numpy(), task.own_idx(), np.empty((len(query_emb), len(RANKS)))
    for query, (ranked, right) in enumerate(zip(np.argsort(-scores, axis=1, kind="stable"), map(set, task.answers_idx()))):
        ranked = ranked[ranked != own[query]]
        for column, k in enumerate(RANKS):
            hits, total = 0, 0.0
            for rank, clip in enumerate(ranked[:k], start=1):
                if clip in right:
                    hits += 1
                    total += hits / rank
            values[query, column] = total / min(k, len(right))
    return values[:, -1]


def measure(function):
    inputs = make_inputs()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter(), time.process_time()
        values = function(*inputs)
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return np.min(seconds, axis=0), peak * MIB_PER_RSS_UNIT, values, (len(inputs[2]), len(inputs[3]))


def main():
    found = {}
    for function in (product, product_and_topk, whole, sort_and_loop):
        # A fresh process each: a peak never goes down again.
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found[function] = pool.submit(measure, function).result()
    print("{} queries x {:,} clips x {} dimensions, best of {}, {} threads".format(*found[whole][3], DIM, REPEATS, torch.get_num_threads()))
    for function, ((wall_s, cpu_s), mib, *_) in found.items():
        print(f"{function.__name__:<18} {wall_s:8.3f} s ({cpu_s:.3f} s of processor)   {mib:8.1f} MiB above the inputs")
    print(f"largest difference between loops and evaluate: {np.abs(found[whole][2] - found[sort_and_loop][2]).max():.1e}")


if __name__ == "__main__":
    main()
