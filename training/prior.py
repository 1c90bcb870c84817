"""The popularity prior of a product: the time-decayed number of its positive events."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.catalog import Catalog, Interactions
from recommender.core.blocks import Float

DAY = 86_400.0


@dataclass(frozen=True)
class PriorShape:
    """How popularity is counted.

    Parameters
    ----------
    half_life_days
        Age at which an event counts half.
    """

    half_life_days: float

    def fit(self, interactions: Interactions, n: int) -> tuple[Float, dict[str, Any]]:
        """Return the prior, shape (n,), in [0, 1], and its description for the manifest.

        prior(x) = log(1 + c_x) / log(1 + max c), c_x the decayed number of its positive events.
        """
        frame = interactions.frame
        weights = np.maximum(np.asarray(interactions.event_weights(), dtype=np.float64), 0.0)
        times = frame["timestamp"].to_numpy().astype("datetime64[s]")
        as_of = times.max()
        ages = (as_of - times).astype(np.float64) / DAY
        decayed = weights * 0.5 ** (ages / self.half_life_days)
        counts = np.bincount(frame["row"].to_numpy(), weights=decayed, minlength=n)
        top = counts.max(initial=0.0)
        prior = np.log1p(counts) / np.log1p(top) if top > 0 else np.zeros(n)
        description = {
            "function": "log decayed count",
            "as_of": str(as_of),
            "half_life_days": self.half_life_days,
        }
        return prior.astype(np.float32), description


def no_prior(catalog: Catalog) -> tuple[Float, dict[str, Any]]:
    """Return the prior of a shop without events, the same for every product, shape (n,), and its description."""
    return np.zeros(len(catalog), dtype=np.float32), {"function": "none"}
