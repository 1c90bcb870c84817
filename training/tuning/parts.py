"""Compares the tuned weights with every single term: the whole is never worse than its best part."""

from dataclasses import replace

import numpy as np

from training.tuning.held_out import HeldOutTerms
from training.tuning.weights import TunedWeights, alone, best_by_standard_error, soft_recalls


def never_worse(held_out: HeldOutTerms, tuned: TunedWeights) -> TunedWeights:
    """Return the tuned weights or, where these are behind by more than a standard error, those of the best part.

    Few queries may support no step from the default weights, and half of them another one than the whole.

    Parameters
    ----------
    held_out
        Queries with their targets.
    tuned
        With the soft recall of each query under weights that were tuned on others.
    """
    weights = alone(held_out.terms)
    parts = soft_recalls(held_out, weights).T
    best = best_by_standard_error([tuned.soft_recalls, *parts])
    means = dict(zip(held_out.terms, np.round(parts.mean(axis=1), 4).tolist(), strict=True))
    if best == 0:
        return replace(tuned, parts=means)
    named = dict(zip(held_out.terms, weights[best - 1].tolist(), strict=True))
    return TunedWeights(named, parts[best - 1], means, [*held_out.terms][best - 1])
