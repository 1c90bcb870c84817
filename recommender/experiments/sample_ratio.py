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
    The Bayes factor of a Dirichlet prior, centred on the shares with a weight of 10,000, against the shares
    themselves; the inverse of its largest value so far is a p-value at all looks (Lindon and Malek, "Anytime-Valid
    Inference for Multinomial Count Data", NeurIPS 2022).
    """
    expected = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    seen = np.asarray(counts, dtype=np.float64).reshape(-1, len(expected))
    log_factors = np.array([_log_bayes_factor(row, expected) for row in seen])
    largest = np.maximum.accumulate(np.maximum(log_factors, 0.0)) if len(seen) else log_factors
    return SampleRatio(tuple(np.exp(-largest).tolist()))


_WEIGHT = 10_000.0


def _log_bayes_factor(counts: Double, shares: Double) -> float:
    prior = _WEIGHT * shares
    total = math.lgamma(_WEIGHT) - math.lgamma(_WEIGHT + counts.sum())
    terms = (
        math.lgamma(a + n) - math.lgamma(a) - n * math.log(p)
        for a, n, p in zip(prior, counts, shares, strict=True)
    )
    return total + sum(terms)
