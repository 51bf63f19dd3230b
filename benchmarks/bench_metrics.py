"""Time and peak memory of AP@5/10/25/50 against a full sort and plain loops, up to the paper's gallery size.

The ratio is what carries over to other machines. Both give the same values, or the benchmark stops.
"""

import numpy as np
from comparing import compare, main, row

from tfcovr_utils.metrics.ranking import RANKS, average_precision_at

NUM_QUERIES, NUM_RELEVANT = 473, 4
SIZES, REPEATS = (2_250, 9_000, 36_000), 5
QUICK_SIZES, QUICK_REPEATS = (300, 900), 2


def sort_and_loop(scores, relevant):
    """Sort every row in full, then walk it rank by rank."""
    values = np.empty((len(scores), len(RANKS)))
    order = np.argsort(-scores, axis=1, kind="stable")
    for query, ranked in enumerate(order):
        for column, k in enumerate(RANKS):
            hits, total = 0, 0.0
            for rank, clip in enumerate(ranked[:k], start=1):
                if relevant[query, clip]:
                    hits += 1
                    total += hits / rank
            values[query, column] = total / min(k, relevant[query].sum())
    return values


def ours(scores, relevant):
    return average_precision_at(scores, relevant, RANKS)


def make(num_gallery):
    rng = np.random.default_rng(0)
    scores = rng.random((NUM_QUERIES, num_gallery), dtype=np.float32)
    relevant = np.zeros(scores.shape, dtype=bool)
    for query in range(NUM_QUERIES):
        relevant[query, rng.choice(num_gallery, NUM_RELEVANT, replace=False)] = True
    scores[relevant] += 0.1  # answers near the top, so that there is something to count
    return scores, relevant


def measure(quick=False):
    rows = []
    for size in QUICK_SIZES if quick else SIZES:
        found = compare(
            {"ours": ours, "plain": sort_and_loop},
            make,
            size,
            repeats=QUICK_REPEATS if quick else REPEATS,
            quick=quick,
        )
        np.testing.assert_allclose(found["ours"].values[0], found["plain"].values[0], atol=1e-12)
        rows.append(
            row(
                f"AP@{'/'.join(map(str, RANKS))} of {NUM_QUERIES} queries, scores given",
                "top-k, no loops",
                "rows sorted in full, loops",
                size,
                "clips",
                found["ours"],
                found["plain"],
            )
        )
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
