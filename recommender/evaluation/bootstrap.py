"""Bootstrap confidence intervals over users: the queries of one user are correlated, so users are drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SAMPLES = 2000
_CELLS = 10_000_000  # draws in memory at once: 80 MB


@dataclass(frozen=True)
class Interval:
    """A mean over queries with its standard error and its 95 % percentile interval."""

    mean: float
    std_error: float
    low: float
    high: float

    @property
    def positive(self) -> bool:
        """Whether the interval lies above 0: a paired difference is significant."""
        return self.low > 0


class Intervals(list[Interval]):
    """The intervals of several columns."""

    def to_frame(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """Return one row per interval: mean, std_error, low and high.

        Parameters
        ----------
        names
            Of the columns, as the index; numbers by default.
        """
        frame = pd.DataFrame([asdict(interval) for interval in self], columns=["mean", "std_error", "low", "high"])
        return frame if names is None else frame.set_axis([*names], axis="index")


def bootstrap(values: NDArray[np.float64], user_ids: NDArray[np.object_], seed: int = 0) -> Intervals:
    """Return the confidence interval of each column's mean, drawing users with replacement (percentile method).

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993.

    Parameters
    ----------
    values
        (q, m) one row per query. Columns share every draw, so that a column with the difference of two rankers
        gives their paired comparison. NaN: the query has no value in that column.
    user_ids
        (q,) the user of each query.
    seed
        Of the draws; equal seeds give equal intervals.

    Returns
    -------
    Intervals
        One per column; NaN throughout where a column has no value.
    """
    _, user = np.unique(user_ids, return_inverse=True)
    known = ~np.isnan(values)
    sums = _by_user(np.where(known, values, 0.0), user)
    sizes = _by_user(known.astype(np.float64), user)
    means, draws = _ratio(sums.sum(axis=0), sizes.sum(axis=0)), _draws(sums, sizes, seed)
    return Intervals(_interval(*column) for column in zip(means, draws.T, strict=True))


def _by_user(values: NDArray[np.float64], user: NDArray[np.intp]) -> NDArray[np.float64]:
    sums = np.zeros((int(user.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, user, values)
    return sums


def _draws(sums: NDArray[np.float64], sizes: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the means of resampled users, (SAMPLES, m)."""
    users = len(sums)
    if users == 0:
        return np.full((1, sums.shape[1]), np.nan)
    both = np.concatenate([sums, sizes], axis=1)
    draws = _remembered(users, seed) if SAMPLES * users <= _CELLS else _drawn(users, seed)
    totals = np.concatenate([times.astype(np.float64) @ both for times in draws])
    return _ratio(*np.split(totals, 2, axis=1))


@lru_cache(maxsize=1)
def _remembered(users: int, seed: int) -> list[NDArray[np.uint16]]:
    """Return the draws of a few users: an evaluation takes as long to draw them as to use them many times."""
    return [*_drawn(users, seed)]


def _drawn(users: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    """Yield how often each user is drawn in each resample, shapes (s, users)."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // users)
    for start in range(0, SAMPLES, step):
        times = rng.multinomial(users, np.full(users, 1 / users), size=min(step, SAMPLES - start))
        yield times.astype(np.uint16)  # a user is drawn a few times


def _ratio(sums: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(sums, sizes, out=np.full(sums.shape, np.nan), where=sizes > 0)


def _interval(mean: float, draws: NDArray[np.float64]) -> Interval:
    draws = draws[~np.isnan(draws)]  # a draw may miss the few users who have a value
    if draws.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(mean), float(draws.std()), float(low), float(high))
