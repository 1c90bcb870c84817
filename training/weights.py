"""Learns the weights of the score from what was chosen later."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from recommender.blocks import BLOCKS, Double, Float
from training.choices import Choices

LEAST_CASES = 20
# No block is switched off for good: a request may turn it up, and a product may have nothing else.
LEAST_SHARE = 0.01
# Pull towards equal weights, in units of one query's log-likelihood.
SHRINK = 1.0
SHARPNESS = 10.0  # of equal weights: scores within one are usually some tenths apart


@dataclass(frozen=True)
class Learned:
    """Weights and how well they explain the choices they were learned on.

    Parameters
    ----------
    weights
        Term name to weight; blocks sum to 1.
    loss
        Mean negative log-likelihood of a chosen product among all candidates, in nats.
    cases
        Number of queries; 0 if the weights are the untrained ones.
    """

    weights: dict[str, float]
    loss: float
    cases: int


def equal(terms: tuple[str, ...], events: bool) -> dict[str, float]:
    """Return the weights of a shop whose events say nothing yet: its content and category blocks alike."""
    blocks = [name for name in terms if name in BLOCKS]
    counted = [name for name in blocks if name != "behaviour"]
    weights = {name: 1.0 / len(counted) if name in counted else 0.0 for name in blocks}
    return weights | ({"cooccurrence": 0.1, "prior": 0.01} if events else {})


def learn(choices: Choices) -> Learned:
    """Fit a conditional logit (McFadden, 1974): the chosen product against all candidates.

    Each query counts once, however much it chose. Weights are at least 0; blocks at least `LEAST_SHARE`.
    """
    width = len(choices.terms)
    start = np.full(width, SHARPNESS / width)
    count = np.maximum(choices.chosen.sum(axis=1), 1)
    target = _mean_of(choices.features, choices.chosen / count[:, None])
    mass = np.where(choices.allowed, np.log(choices.stands_for), -np.inf).astype(np.float32)

    def loss(weights: Double) -> tuple[float, Double]:
        logits = choices.features @ weights.astype(np.float32) + mass
        total = logsumexp(logits, axis=1)
        share = np.exp(logits - total[:, None])
        expected = _mean_of(choices.features, share)
        pull = SHRINK * (weights - start) / SHARPNESS**2 / len(target)
        value = float((total - target @ weights).mean()) + float(pull @ (weights - start)) / 2
        return value, (expected - target).mean(axis=0) + pull

    bounds = [(LEAST_SHARE * SHARPNESS if name in BLOCKS else 0.0, None) for name in choices.terms]
    fitted = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 60})
    return Learned(_scaled(choices.terms, fitted.x), float(fitted.fun), len(target))


def _mean_of(features: Float, share: np.ndarray) -> Double:
    """Average the features of each query's candidates, shape (b, P)."""
    return np.matmul(share[:, None, :].astype(np.float32), features)[:, 0].astype(np.float64)


def _scaled(terms: tuple[str, ...], values: Double) -> dict[str, float]:
    weights = dict(zip(terms, values.tolist(), strict=True))
    blocks = sum(weight for name, weight in weights.items() if name in BLOCKS)
    return {name: weight / blocks for name, weight in weights.items()}


def mixed(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of two weightings: what the trees of one index are shaped by."""
    return {name: (a[name] + b[name]) / 2 for name in a}
