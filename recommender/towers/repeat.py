"""Repeat purchases: from a user's own purchases to what is likely to be bought again, and when it is due.

repeat(u, x) = log(1 + steepness · Σ 0.5^(age / half-life) · rate(x) · due(last age / τ(u, x))) / scale

The sum is over the days on which u bought x. τ, the usual interval, is the geometric mean of the user's own
intervals and the product's, by their numbers. After the repeat rate and time distribution of Bhagat et al.,
Buy It Again: Modeling Repeat Purchase Recommendations (KDD 2018).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Double, Float, Rows
from recommender.core.scoring import NO_REPEATS, Repeats
from recommender.events import Steps
from recommender.items.moments import EARLIEST

DAY = 86_400.0
# Classes of age / τ end here: half octaves from an eighth of the interval to eight of them.
DUE_EDGES: Double = 2.0 ** (np.arange(-6, 7) / 2)
OWN_INTERVALS = 2.0  # so many intervals of the user weigh as much as the product's
# Purchases age no further than so many days after the last known event: the users of old data are not all gone.
MAX_IDLE_DAYS = 30.0
DEFAULT_HALF_LIFE_DAYS = 120.0
PRODUCTS_FILE = "repeat_products.npy"


@dataclass(frozen=True)
class RepeatModel:
    """Estimates how likely users buy again what they bought before.

    Parameters
    ----------
    half_life_days
        Age at which a purchase counts half.
    steepness
        How soon the value saturates: the larger, the more any purchase is worth beside the number of them.
    due
        Factor of each class of age / τ between the `DUE_EDGES`: observed by expected repeat purchases.
    scale
        Divides the values, such that 95 % of those of the training are at most 1.
    interval
        τ of a product without intervals of its own, in days.
    latest
        POSIX seconds of the last event of the training; 0 if unknown.
    products
        Usual interval in days and rate of each product, shape (2, n); those of later products are `interval` and
        1. The rate is how often the product is bought again, 1 on average.
    """

    half_life_days: float = DEFAULT_HALF_LIFE_DAYS
    steepness: float = 1.0
    due: tuple[float, ...] = (1.0,) * (len(DUE_EDGES) + 1)
    scale: float = 1.0
    interval: float = 30.0
    latest: float = 0.0
    products: Float = field(default_factory=lambda: np.empty((2, 0), dtype=np.float32), compare=False, repr=False)

    def repeats(self, steps: Steps, now: float | None = None) -> Repeats:
        """Return what a user bought before, net of refunds, with the value of each product.

        Parameters
        ----------
        steps
            The user's history.
        now
            POSIX seconds of the request; by default right after the history.
        """
        bought, times = purchases(steps)
        if not len(bought):
            return NO_REPEATS
        ages = np.maximum(self._moment(steps.times[-1], now) - times, 0.0) / DAY
        rows, starts = np.unique(bought, return_index=True)
        counts = np.diff(np.append(starts, len(bought))).astype(np.float64)
        last, first = ages[starts + counts.astype(np.intp) - 1], ages[starts]
        decayed = np.add.reduceat(0.5 ** (ages / self.half_life_days), starts)
        return Repeats(rows, self.values(rows, decayed, counts, first - last, last), counts, last)

    def values(self, rows: Rows, decayed: Double, counts: Double, spans: Double, ages: Double) -> Double:
        """Return the value of purchased products, above 0, shape (s,).

        Parameters
        ----------
        rows
            The products, shape (s,).
        decayed, counts
            Number of purchases, with and without decay, shape (s,).
        spans, ages
            Days between the first and the last purchase, and since the last, shape (s,).
        """
        intervals, rates = self.of_products(rows)
        due = np.array(self.due)[due_classes(ages, counts, spans, intervals)]
        value: Double = np.log1p(self.steepness * decayed * rates * due) / self.scale
        return value

    def of_products(self, rows: Rows) -> tuple[Double, Double]:
        """Return the usual interval in days and the rate of products, shape (s,) each."""
        known = rows < self.products.shape[1]
        intervals, rates = np.full(len(rows), self.interval), np.ones(len(rows))
        intervals[known], rates[known] = self.products[:, rows[known]]
        return intervals, rates

    def of_rows(self, rows: Rows) -> "RepeatModel":
        """Return the model for renumbered products: of each new row its present one, shape (n,)."""
        return replace(self, products=np.stack(self.of_products(rows)).astype(np.float32))

    def _moment(self, last: float, now: float | None) -> float:
        """Return the moment of a request: no earlier than the user's last event, nor long after all known ones.

        Events without a date, such as the ids of a list, are as old as their order says. Requests count whole
        days, so that equal requests of one day have equal answers.
        """
        if now is None or last < EARLIEST.timestamp():
            return last
        return max(last, min(now // DAY * DAY, max(last, self.latest) + MAX_IDLE_DAYS * DAY))

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the values of the products to the folder of the base part; return the rest as JSON values."""
        np.save(folder / PRODUCTS_FILE, self.products)
        return {
            "half_life_days": self.half_life_days,
            "steepness": self.steepness,
            "due": list(self.due),
            "scale": self.scale,
            "interval": self.interval,
            "latest": self.latest,
        }

    @classmethod
    def open(cls, exported: Mapping[str, Any], products: Float) -> "RepeatModel":
        """Return a saved model."""
        return cls(**{**exported, "due": tuple(exported["due"])}, products=products)


def due_classes(ages: Double, counts: Double, spans: Double, intervals: Double) -> NDArray[np.intp]:
    """Return the class of age / τ of purchased products, shape (s,); see `RepeatModel.values`.

    Parameters
    ----------
    intervals
        Usual intervals of the products, shape (s,).
    """
    own = counts - 1
    logs = own * np.log(np.maximum(spans / np.maximum(own, 1), 1.0)) + OWN_INTERVALS * np.log(intervals)
    usual = np.exp(logs / (own + OWN_INTERVALS))
    return np.searchsorted(DUE_EDGES, ages / usual)


def purchases(steps: Steps) -> tuple[Rows, Double]:
    """Return the product and the time of purchases, by product and time: one a day, without refunded ones.

    A refund cancels the purchase of the product before it.
    """
    retained = _retained(steps)
    order = retained[np.lexsort((steps.times[retained], steps.rows[retained]))]
    rows, times = steps.rows[order], steps.times[order]
    days = np.floor(times / DAY)
    first = np.append(True, (rows[1:] != rows[:-1]) | (days[1:] != days[:-1]))[: len(rows)]
    return rows[first], times[first]


def _retained(steps: Steps) -> NDArray[np.intp]:
    """Return the steps that are purchases which no refund cancels."""
    if "refund" not in steps.names:
        return np.array([step for step, name in enumerate(steps.names) if name == "purchase"], dtype=np.intp)
    open_: dict[int, list[int]] = {}
    for step, (row, name) in enumerate(zip(steps.rows.tolist(), steps.names, strict=True)):
        if name == "purchase":
            open_.setdefault(row, []).append(step)
        elif name == "refund" and open_.get(row):
            open_[row].pop()
    return np.array(sorted(step for each in open_.values() for step in each), dtype=np.intp)
