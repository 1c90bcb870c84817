"""Confidence sequences and p-values that hold at every look, however often there is one.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
theory and asymptotic confidence sequences" (Annals of Statistics, 2024): with n observations, an estimate of
variance V and a parameter ρ, the interval

    estimate ± sqrt(V · 2 (nρ² + 1) / (nρ²) · log(sqrt(nρ² + 1) / α))

covers the truth at all n at once with a probability that tends to 1 − α the later the first look is. It inverts
the mixture sequential probability ratio test with a normal mixture (Robbins 1970; Johari, Koomen, Pekelis and
Walsh, "Always Valid Inference: Continuous Monitoring of A/B Tests", Operations Research 2022).
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from recommender.core.blocks import Double

# Orders of each arm, or visitors with a value, before which no normal distribution is assumed of a mean.
MIN_NONZERO = 20


def tuning(planned: float, alpha: float) -> float:
    """Return ρ², with which the confidence sequence is narrowest after `planned` observations.

    The minimum of the radius over u = nρ² is where u = log(u + 1) − 2 log α.
    """
    u = -2 * math.log(alpha)
    for _ in range(50):  # a contraction: its slope is below 1/7
        u = math.log(u + 1) - 2 * math.log(alpha)
    return u / planned


def radius(n: ArrayLike, variance: ArrayLike, planned: float, alpha: float = 0.05) -> Double:
    """Return half the width of the confidence sequence; infinite without observations.

    Parameters
    ----------
    n
        Number of observations of all arms together, at each look.
    variance
        Of the estimate at each look: the squared standard error.
    planned
        The number of observations at which it is narrowest, fixed before the start. It is valid at any other.
    alpha
        Error rate over all looks together.
    """
    u = np.asarray(n, dtype=np.float64) * tuning(planned, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = 2 * (u + 1) / u * np.log(np.sqrt(u + 1) / alpha)
        return np.where(u > 0, np.sqrt(np.asarray(variance, dtype=np.float64) * factor), np.inf)


def confidence_sequence(
    estimate: ArrayLike, n: ArrayLike, variance: ArrayLike, planned: float, alpha: float = 0.05
) -> tuple[Double, Double]:
    """Return the lower and upper bounds of an estimate at each look; see `radius`."""
    center, half = np.asarray(estimate, dtype=np.float64), radius(n, variance, planned, alpha)
    return center - half, center + half


def p_value(estimate: ArrayLike, n: ArrayLike, variance: ArrayLike, planned: float, alpha: float = 0.05) -> Double:
    """Return at each look the p-value that holds at all of them: below `alpha` once an interval left 0 out.

    It is the inverse of the largest mixture likelihood ratio so far, exp(Z²u / (2(u + 1))) / sqrt(u + 1) with
    Z² = estimate² / variance and u = nρ²; and 1 at most. Parameters as in `radius`.
    """
    u = np.asarray(n, dtype=np.float64) * tuning(planned, alpha)
    spread = np.asarray(variance, dtype=np.float64)
    usable = np.isfinite(spread) & (spread > 0)
    z2 = np.divide(np.square(estimate), spread, out=np.zeros_like(u), where=usable)
    log_ratio = z2 * u / (2 * (u + 1)) - np.log1p(u) / 2
    return np.exp(-np.maximum.accumulate(np.maximum(log_ratio, 0.0)))
