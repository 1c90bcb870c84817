"""Ways to explore new products, on a simulated shop whose click rates are known.

Each day some products are new: the model's prediction of their click rates is far off, until they are shown. Lists
are the best by prediction times what clicks have corrected; a tenth of the positions explores.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recommender.core.blocks import Double, Rows
from recommender.ranking.exploration import (
    FLOOR,
    NEW_DAYS,
    POOL,
    inclusion_probabilities,
    softmax_with_floor,
)

SEGMENTS, WARM, NEW_A_DAY, DAYS, ANSWERS = 8, 300, 5, 60, 400  # answers of each segment and day
K, SHARE = 10, 0.1
PRIOR_CLICKS = 2.0  # that a prediction is worth
FOUND_SHARE = 0.1  # the best new products by their true rates
SIMULATIONS = 200  # of Thompson's draws, to estimate their probabilities

# From the scores of the pool, its clicks and the clicks that were predicted, to probabilities of a draw.
Explore = Callable[[Double, Double, Double, np.random.Generator], Double]


def even(scores: Double, clicks: Double, predicted: Double, rng: np.random.Generator) -> Double:
    """Draw all products alike."""
    return np.full(len(scores), 1 / len(scores))


def softmax(scores: Double, clicks: Double, predicted: Double, rng: np.random.Generator) -> Double:
    """Draw by a softmax over the scores with a floor."""
    return softmax_with_floor(scores)


def thompson(scores: Double, clicks: Double, predicted: Double, rng: np.random.Generator) -> Double:
    """Draw as often as a product is the best by what clicks leave open, with the same floor (Thompson, 1933)."""
    corrected = np.exp(scores) * (predicted + PRIOR_CLICKS) / (clicks + PRIOR_CLICKS)
    drawn = rng.gamma(clicks + PRIOR_CLICKS, size=(SIMULATIONS, len(scores))) / (predicted + PRIOR_CLICKS)
    best = np.bincount((corrected * drawn).argmax(axis=1), minlength=len(scores)) / SIMULATIONS
    return np.asarray((1 - FLOOR) * best + FLOOR / len(scores))


WAYS: dict[str, Explore | None] = {"none": None, "even": even, "softmax": softmax, "Thompson": thompson}


def measure(runs: int = 10, seed: int = 0) -> dict[str, Any]:
    """Return the clicks of each way to explore, relative to none, and the share of the best new products found."""
    clicks: dict[str, list[float]] = {name: [] for name in WAYS}
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for run in range(runs):
        for name, way in WAYS.items():
            days, share = SimulatedDays(np.random.default_rng([seed, run])).run(way)
            clicks[name].append(sum(days))
            found[name].append(share)
    none = np.array(clicks["none"])
    rows = {}
    for name in WAYS:
        change, shares = np.array(clicks[name]) / none - 1, np.array(found[name])
        error = float(change.std() / max(runs - 1, 1) ** 0.5)
        rows[name] = {"clicks": float(change.mean()), "std_error": error, "found": float(shares.mean())}
    return {"protocol": "exploration", "seed": seed, "runs": runs, "ways": rows}


@dataclass
class SimulatedDays:
    """A shop day by day.

    Parameters
    ----------
    rng
        Draws the shop and its clicks.
    """

    rng: np.random.Generator
    rates: Double = field(init=False)  # (segments, n)
    predicted: Double = field(init=False)
    born: Rows = field(init=False)

    def __post_init__(self) -> None:
        n = WARM + NEW_A_DAY * DAYS
        self.born = np.concatenate([np.full(WARM, -NEW_DAYS), np.repeat(np.arange(DAYS), NEW_A_DAY)])
        quality = self.rng.normal(0, 0.8, n)
        taste = self.rng.normal(0, 0.6, (SEGMENTS, n))
        self.rates = 0.02 * np.exp(quality + taste - 0.5)
        error = np.where(self.born < 0, 0.2, 1.0) * self.rng.normal(size=n)
        known = np.where(self.born < 0, 1.0, 0.3)  # a new product is predicted to be ordinary
        self.predicted = 0.02 * np.exp(known * quality + taste - 0.5 + error - 0.3 * (self.born >= 0))

    def run(self, way: Explore | None) -> tuple[list[float], float]:
        """Return the clicks of each day, and the share of the best new products that lists have at the end."""
        n = self.rates.shape[1]
        clicks, expected = np.zeros(n), np.zeros(n)
        days, listed = [], np.zeros(n, bool)
        for day in range(DAYS):
            scores = np.log(self.predicted * (clicks + PRIOR_CLICKS) / (expected + PRIOR_CLICKS))
            scores[:, self.born > day] = -np.inf
            shown = np.zeros((SEGMENTS, n))
            for segment in range(SEGMENTS):
                shown[segment] = self._shown(scores[segment], day, way, clicks, expected, listed)
            new = self.rng.binomial(shown.astype(np.int64), np.clip(self.rates, 0, 1)).sum(axis=0)
            days.append(float(new.sum()))
            clicks, expected = clicks + new, expected + (shown * self.predicted).sum(axis=0)
        candidates = np.flatnonzero((self.born >= 0) & (self.born < DAYS - NEW_DAYS // 2))
        best = candidates[np.argsort(-self.rates.max(axis=0)[candidates])[: round(FOUND_SHARE * len(candidates))]]
        return days, float(listed[best].mean())

    def _shown(
        self, scores: Double, day: int, way: Explore | None, clicks: Double, expected: Double, listed: Rows
    ) -> Double:
        """Return how often each product is shown to a segment on a day; marks those that are in its list."""
        ranked = np.argsort(-scores)
        top, rest = ranked[:K], ranked[K : int(np.isfinite(scores).sum())]
        listed[top] = True
        shown = np.zeros(len(scores))
        shown[top] = ANSWERS
        if way is None:
            return shown
        new = rest[day - self.born[rest] < NEW_DAYS][:POOL]
        pool = np.union1d(rest[:POOL], new)
        inclusion = inclusion_probabilities(way(scores[pool], clicks[pool], expected[pool], self.rng), SHARE * K)
        shown[top] *= 1 - SHARE
        shown[pool] += self.rng.binomial(ANSWERS, inclusion)
        return shown
