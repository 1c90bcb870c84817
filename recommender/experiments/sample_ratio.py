"""Check that arms have visitors in the ratio of their shares: where not, the experiment is broken."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recommender.core.blocks import Double

# A mismatch stops an experiment from being believed, so that a false alarm must be rare.
ALPHA = 0.001


@dataclass(frozen=True)
class SampleRatio:
    """Whether arms have the visitors that their shares promise.

    Parameters
    ----------
    p_values
        At each look, valid at all of them together.
    """

    p_values: tuple[float, ...]

    @property
    def p_value(self) -> float:
        """At the last look; 1 before the first."""
        return self.p_values[-1] if self.p_values else 1.0

    @property
    def is_mismatch(self) -> bool:
        """Whether the ratio is wrong: something else than the draw decides who is counted."""
        return self.p_value < ALPHA


def sample_ratio(counts: ArrayLike, shares: Sequence[float]) -> SampleRatio:
    """Test at every look whether the counts of visitors come from a draw by these shares.

    Parameters
    ----------
    counts
        Visitors so far, shape (looks, arms).
    shares
        Of each arm, positive; they are divided by their sum.

    Notes
    -----
    The Bayes factor of a Dirichlet prior, centred on the shares, against the shares themselves; the inverse of its
    largest value so far is a p-value at all looks (Lindon and Malek, "Anytime-Valid Inference for Multinomial
    Count Data", NeurIPS 2022). It is the mean of the factors of three priors: the narrow ones find small
    mismatches among many visitors, the wide one large mismatches among few.
    """
    expected = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    seen = np.asarray(counts, dtype=np.float64).reshape(-1, len(expected))
    log_factors = np.array([_log_bayes_factor(row, expected) for row in seen])
    largest = np.maximum.accumulate(np.maximum(log_factors, 0.0)) if len(seen) else log_factors
    return SampleRatio(tuple(np.exp(-largest).tolist()))


# Weights of the priors: standard deviations of a share of one half of 0.05, 0.016 and 0.005.
_WEIGHTS = (100.0, 1_000.0, 10_000.0)


def _log_bayes_factor(counts: Double, shares: Double) -> float:
    factors = np.array([_log_factor(counts, weight * shares, shares) for weight in _WEIGHTS])
    return float(factors.max() + np.log(np.mean(np.exp(factors - factors.max()))))


def _log_factor(counts: Double, prior: Double, shares: Double) -> float:
    total = math.lgamma(prior.sum()) - math.lgamma(prior.sum() + counts.sum())
    each = zip(prior, counts, shares, strict=True)
    return total + sum(math.lgamma(a + n) - math.lgamma(a) - n * math.log(share) for a, n, share in each)
