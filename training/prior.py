"""The popularity prior of a product: the time-decayed number of its positive events."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from recommender.catalog import Catalog, Interactions
from recommender.core.blocks import Double, Float, Rows

DAY = 86_400.0
# How a product's decayed count becomes its prior, by name; the largest count becomes 1.
CURVES: dict[str, Callable[[Double], Double]] = {"log": np.log1p, "root": np.sqrt, "linear": np.asarray}


@dataclass(frozen=True)
class PopularityEvents:
    """What popularity is counted from: the columns of interactions that it needs, positive events only.

    Parameters
    ----------
    rows
        Product of each event, shape (e,).
    weights
        Weight of each event, above 0, shape (e,).
    times
        When each happened, shape (e,).
    last
        Moment of the last event of all, positive or not; ages count from it.
    """

    rows: Rows
    weights: Double
    times: np.ndarray
    last: np.datetime64

    @classmethod
    def of(cls, interactions: Interactions) -> "PopularityEvents":
        """Take the positive events of interactions, of which there is at least one."""
        frame, weights = interactions.frame, np.asarray(interactions.event_weights(), dtype=np.float64)
        positive, times = weights > 0, frame["timestamp"].to_numpy().astype("datetime64[s]")
        return cls(frame["row"].to_numpy(np.int32)[positive], weights[positive], times[positive], times.max())

    def before(self, moment: datetime) -> "PopularityEvents":
        """Return the events before a moment, which without any is the last."""
        known = self.times < np.datetime64(moment, "s")
        times = self.times[known]
        last = times.max() if len(times) else np.datetime64(moment, "s")
        return PopularityEvents(self.rows[known], self.weights[known], times, last)

    def counts(self, half_life_days: float, n: int) -> Double:
        """Return the decayed number of each product's events, shape (n,)."""
        ages = (self.last - self.times).astype(np.float64) / DAY
        decayed = self.weights * 0.5 ** (ages / half_life_days)
        return np.bincount(self.rows, weights=decayed, minlength=n).astype(np.float64)


@dataclass(frozen=True)
class PriorShape:
    """How popularity is counted.

    Parameters
    ----------
    half_life_days
        Age at which an event counts half.
    curve
        How a count becomes the prior: the more it bends, the less the first products differ; see `CURVES`.
    """

    half_life_days: float
    curve: str = "log"

    def fit(self, interactions: Interactions, n: int) -> tuple[Float, dict[str, Any]]:
        """Return the prior, shape (n,), in [0, 1], and its description for the manifest.

        prior(x) = f(c_x) / f(max c), c_x the decayed number of its positive events, f the curve.
        """
        events = PopularityEvents.of(interactions)
        description = {
            "function": f"{self.curve} decayed count",
            "as_of": str(events.last),
            "half_life_days": self.half_life_days,
        }
        return self.of_counts(events.counts(self.half_life_days, n)), description

    def of_counts(self, counts: Double) -> Float:
        """Return the prior of decayed counts, shape (n,), in [0, 1]."""
        top = counts.max(initial=0.0)
        if top <= 0:
            return np.zeros(len(counts), dtype=np.float32)
        curve = CURVES[self.curve]
        return (curve(counts) / curve(top)).astype(np.float32)


def no_prior(catalog: Catalog) -> tuple[Float, dict[str, Any]]:
    """Return the prior of a shop without events, the same for every product, shape (n,), and its description."""
    return np.zeros(len(catalog), dtype=np.float32), {"function": "none"}
