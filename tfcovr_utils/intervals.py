"""Percentile intervals over queries, of one method and of the difference of two.

A query without a relevant item is undefined: NaN, counted and left out.
"""

from dataclasses import dataclass

import numpy as np

BLOCK = 2**22  # resampled values held at a time; bounds memory, changes no result


@dataclass(frozen=True)
class Interval:
    """A mean over queries with its percentile bootstrap interval."""

    mean: float
    low: float
    high: float
    num_queries: int
    num_undefined: int  # queries without relevant items, left out


@dataclass(frozen=True)
class PairedInterval(Interval):
    """The same for the mean difference a - b between two methods on the same queries."""

    p_value: float  # two-sided, (count + 1) / (resamples + 1), never 0
    share_not_above_zero: float  # share of resamples whose mean difference is <= 0


def mean_over_queries(values):
    """Average per-query values (Q, ...) over the defined queries; return the mean and the number left out."""
    values = np.asarray(values, dtype=np.float64)
    undefined = np.isnan(values.reshape(len(values), -1)).any(axis=1)
    if undefined.all():
        raise ValueError(f"all {len(values)} queries are undefined; pass at least one query with a relevant item.")
    return values[~undefined].mean(axis=0), int(undefined.sum())


def bootstrap_interval(values, seed, resamples=10_000, level=0.95):
    """Return the mean of per-query values (Q,) and its percentile interval over resampled queries."""
    return _summarise(values, _resample_means(values, seed, resamples), level)


def paired_bootstrap(values_a, values_b, seed, resamples=10_000, level=0.95):
    """Compare two methods on the same queries, resampling the differences a - b; see `PairedInterval`."""
    values_a, values_b = np.asarray(values_a, dtype=np.float64), np.asarray(values_b, dtype=np.float64)
    if values_a.shape != values_b.shape or (np.isnan(values_a) != np.isnan(values_b)).any():
        raise ValueError(
            f"values_a and values_b differ in shape, {values_a.shape} and {values_b.shape}, or in which queries are "
            "undefined; pass both methods on the same queries, in the same order."
        )
    means = _resample_means(values_a - values_b, seed, resamples)
    not_above, not_below = int((means <= 0).sum()), int((means >= 0).sum())
    p_value = min(1.0, 2 * (min(not_above, not_below) + 1) / (resamples + 1))
    interval = _summarise(values_a - values_b, means, level)
    return PairedInterval(**vars(interval), p_value=p_value, share_not_above_zero=not_above / resamples)


def _resample_means(values, seed, resamples):
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or np.isinf(values).any() or np.isnan(values).all():
        raise ValueError(f"values has shape {values.shape}; pass one finite number a query (NaN where undefined).")
    values = values[~np.isnan(values)]
    rng = np.random.default_rng(seed)
    step = max(1, BLOCK // len(values))
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    return np.concatenate([values[rng.integers(len(values), size=(size, len(values)))].mean(axis=1) for size in sizes])


def _summarise(values, means, level):
    mean, num_undefined = mean_over_queries(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(mean), float(low), float(high), len(values) - num_undefined, num_undefined)
