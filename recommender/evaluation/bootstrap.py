"""How sure a figure is: a bootstrap over customers, since one customer's queries are alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLES = 2000
_CELLS = 10_000_000  # draws held at once: 80 MB


@dataclass(frozen=True)
class Interval:
    """A mean over queries with its standard error and the 95 % percentile interval."""

    mean: float
    error: float
    low: float
    high: float

    @property
    def positive(self) -> bool:
        """Whether the interval lies above 0: of a paired difference, whether one beats the other."""
        return self.low > 0


def bootstrap(values: NDArray[np.float64], customers: NDArray[np.object_], seed: int = 0) -> list[Interval]:
    """Interval of each column's mean, drawing customers with replacement (Efron's percentile method).

    Parameters
    ----------
    values
        (q, m) one row per query. Columns share every draw, and a column that holds the difference of two
        rankers gives their paired comparison. NaN: the query has no value in that column.
    customers
        (q,) whose query it is.
    seed
        Of the draws; equal seeds give equal intervals.

    Returns
    -------
    list of Interval
        One per column; NaN throughout where a column has no value.
    """
    _, customer = np.unique(customers, return_inverse=True)
    known = ~np.isnan(values)
    sums = _by_customer(np.where(known, values, 0.0), customer)
    sizes = _by_customer(known.astype(np.float64), customer)
    means, draws = _ratio(sums.sum(axis=0), sizes.sum(axis=0)), _draws(sums, sizes, seed)
    return [_interval(*column) for column in zip(means, draws.T, strict=True)]


def _by_customer(values: NDArray[np.float64], customer: NDArray[np.intp]) -> NDArray[np.float64]:
    sums = np.zeros((int(customer.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, customer, values)
    return sums


def _draws(sums: NDArray[np.float64], sizes: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of resampled customers, (SAMPLES, m)."""
    people = len(sums)
    if people == 0:
        return np.full((1, sums.shape[1]), np.nan)
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // people)
    means = []
    for start in range(0, SAMPLES, step):
        times = rng.multinomial(people, np.full(people, 1 / people), size=min(step, SAMPLES - start))
        means.append(_ratio(times @ sums, times @ sizes))
    return np.concatenate(means)


def _ratio(sums: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(sums, sizes, out=np.full(sums.shape, np.nan), where=sizes > 0)


def _interval(mean: float, draws: NDArray[np.float64]) -> Interval:
    draws = draws[~np.isnan(draws)]  # a draw may miss the few customers who have a value
    if draws.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(mean), float(draws.std()), float(low), float(high))
