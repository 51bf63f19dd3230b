"""Means over queries with percentile bootstrap intervals; a query without answers (NaN) is left out."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BLOCK = 2**22  # resampled values held in memory at a time; changes no result
CACHED_VALUES = 2**23  # drawings of up to so many values are cached for the next row of a table


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
    """The mean difference a - b of two methods on the same queries, with its interval."""

    p_value: float  # two-sided, (count + 1) / (resamples + 1), never 0
    share_not_above_zero: float  # share of resamples whose mean difference is <= 0


def mean_over_queries(values):
    """Average per-query values (Q, ...) over the defined queries; return the mean and the number left out."""
    values = np.asarray(values, dtype=np.float64)
    undefined = np.isnan(values.reshape(len(values), -1)).any(axis=1)
    if undefined.all():
        raise ValueError(
            f"all {len(values)} queries are undefined; pass at least one query with a relevant item."
        )
    return values[~undefined].mean(axis=0), int(undefined.sum())


def bootstrap_interval(values, seed, resamples=10_000, level=0.95):
    """Return the mean of per-query values (Q,) and its percentile interval over resampled queries.

    >>> bootstrap_interval([1.0, 1.0, float("nan")], seed=0, resamples=10)
    Interval(mean=1.0, low=1.0, high=1.0, num_queries=2, num_undefined=1)
    """
    return bootstrap_intervals(np.asarray(values)[:, None], seed, resamples, level)[0]


def bootstrap_intervals(values, seed, resamples=10_000, level=0.95):
    """Return `bootstrap_interval` of each column of (Q, K); a row with a NaN is undefined in all."""
    values = np.asarray(values, dtype=np.float64)
    means = _resample_means(values, seed, resamples)
    undefined = np.isnan(values).any(axis=1)
    return [
        _summarise(np.where(undefined, np.nan, column), of_column, level)
        for column, of_column in zip(values.T, means.T)
    ]


def paired_bootstrap(values_a, values_b, seed, resamples=10_000, level=0.95):
    """Compare two methods on the same queries, resampling the differences a - b; see `PairedInterval`."""
    values_a, values_b = np.asarray(values_a, dtype=np.float64), np.asarray(values_b, dtype=np.float64)
    if values_a.shape != values_b.shape or (np.isnan(values_a) != np.isnan(values_b)).any():
        raise ValueError(
            f"values_a and values_b differ in shape, {values_a.shape} and {values_b.shape}, or in which "
            "queries are undefined; pass both methods on the same queries, in the same order."
        )
    means = _resample_means((values_a - values_b)[:, None], seed, resamples)[:, 0]
    not_above, not_below = int((means <= 0).sum()), int((means >= 0).sum())
    p_value = min(1.0, 2 * (min(not_above, not_below) + 1) / (resamples + 1))
    interval = _summarise(values_a - values_b, means, level)
    return PairedInterval(**vars(interval), p_value=p_value, share_not_above_zero=not_above / resamples)


def _resample_means(values, seed, resamples):
    """Return means (resamples, K) of values (Q, K) over resampled queries; rows with a NaN are left out."""
    undefined = np.isnan(values).any(axis=tuple(range(1, values.ndim)))
    if values.ndim != 2 or np.isinf(values).any() or undefined.all():
        raise ValueError(
            f"values has shape {values.shape}; pass one finite number a query (NaN where undefined)."
        )
    values = values[~undefined]
    num = len(values)
    drawings = (_cached_drawings if num * resamples <= CACHED_VALUES else _times_drawn)(num, seed, resamples)
    return np.concatenate([times @ values / num for times in drawings])


@lru_cache(maxsize=1)  # the rows of a table share their queries, and so their drawings
def _cached_drawings(num, seed, resamples):
    return list(_times_drawn(num, seed, resamples))


def _times_drawn(num, seed, resamples):
    """Yield how often each of `num` queries is drawn in each resample: blocks of floats (rows, num)."""
    rng, step = np.random.default_rng(seed), max(1, BLOCK // num)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        place = rng.integers(num, size=(size, num)) + num * np.arange(size)[:, None]
        yield np.bincount(place.ravel(), minlength=size * num).reshape(size, num).astype(np.float64)


def _summarise(values, means, level):
    mean, num_undefined = mean_over_queries(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(mean), float(low), float(high), len(values) - num_undefined, num_undefined)
