"""Time and peak memory of AP@5/10/25/50 against a full sort and plain loops, at the paper's gallery size.

Both are measured in the same run, each in a process of its own so that peaks do not mix; the ratio is
what carries over to other machines. Linux and macOS (needs `resource`).
"""

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from tfcovr_utils.metrics import RANKS, average_precision_at

NUM_QUERIES = 473
NUM_GALLERY = 36_000
NUM_RELEVANT = 4
REPEATS = 3
MIB_PER_RSS_UNIT = 1 / 2**20 if sys.platform == "darwin" else 1 / 2**10


def sort_and_loop(scores, relevant, ks):
    """Sort every row in full, then walk it rank by rank."""
    values = np.empty((len(scores), len(ks)))
    order = np.argsort(-scores, axis=1, kind="stable")
    for query, ranked in enumerate(order):
        for column, k in enumerate(ks):
            hits, total = 0, 0.0
            for rank, clip in enumerate(ranked[:k], start=1):
                if relevant[query, clip]:
                    hits += 1
                    total += hits / rank
            values[query, column] = total / min(k, relevant[query].sum())
    return values


def measure(function):
    rng = np.random.default_rng(0)
    scores = rng.random((NUM_QUERIES, NUM_GALLERY), dtype=np.float32)
    relevant = np.zeros(scores.shape, dtype=bool)
    for row in range(NUM_QUERIES):
        relevant[row, rng.choice(NUM_GALLERY, NUM_RELEVANT, replace=False)] = True
    scores[relevant] += 0.1  # answers near the top, so that there is something to count
    function(scores[:2], relevant[:2], RANKS)  # loads what is loaded on first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        values = function(scores, relevant, RANKS)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return min(seconds), peak * MIB_PER_RSS_UNIT, values


def run_alone(function):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(measure, function).result()


def main():
    print(f"AP@{'/'.join(map(str, RANKS))}, {NUM_QUERIES} queries x {NUM_GALLERY:,} clips, best of {REPEATS}")
    plain_s, plain_mib, plain = run_alone(sort_and_loop)
    ours_s, ours_mib, ours = run_alone(average_precision_at)
    print(f"full sort and loops   {plain_s:8.3f} s   {plain_mib:8.1f} MiB above the inputs")
    print(f"average_precision_at  {ours_s:8.3f} s   {ours_mib:8.1f} MiB above the inputs")
    print(f"ratio                 {plain_s / ours_s:8.1f} x   {plain_mib / max(ours_mib, 1):8.1f} x")
    print(f"largest difference    {np.abs(plain - ours).max():.1e}")


if __name__ == "__main__":
    main()
