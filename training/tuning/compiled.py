"""Compiled loops over the candidates of held-out queries; loaded where numba is."""

import numpy as np
from numba import njit

Array = np.ndarray
BLOCK = 256  # candidates whose scores stay in the processor's nearest cache


@njit(cache=True, nogil=True)
def soft_recalls(
    features: Array,
    weights: Array,
    eligible: Array,
    is_target: Array,
    multiplicity: Array,
    max_targets: int,
    half_rank: float,
    out: Array,
) -> None:
    """Write the soft recall of q queries to `out`, shape (q, w).

    Parameters
    ----------
    features
        Unweighted terms, shape (P, q, c).
    weights
        Shape (w, P).
    eligible, is_target
        Shape (q, c).
    multiplicity
        Of each candidate, shape (c,).
    max_targets, half_rank
        See `training.tuning.weights.soft_recalls`.
    """
    order = np.argsort(multiplicity, kind="mergesort")
    members = np.empty(len(order), np.int64)
    for query in range(len(out)):
        targets = np.flatnonzero(is_target[query] & eligible[query])
        targets = targets[:: -(-len(targets) // max_targets)]
        ranks = np.empty((len(targets), len(weights)))
        for target in range(len(targets)):
            ranks[target] = -multiplicity[targets[target]] / 2  # itself, no tie
        position = 0
        while position < len(order):
            size, each = 0, multiplicity[order[position]]
            while position < len(order) and multiplicity[order[position]] == each:
                members[size] = order[position]
                size += int(eligible[query, order[position]])
                position += 1
            ranks += each * _twice_above_targets(features[:, query], weights, targets, members[:size]) / 2
        for weighting in range(len(weights)):
            total = 0.0
            for target in range(len(targets)):
                total += 1 / (1 + ranks[target, weighting] / half_rank)
            out[query, weighting] = total / len(targets)


@njit(cache=True, nogil=True)
def _twice_above_targets(features: Array, weights: Array, targets: Array, candidates: Array) -> Array:
    """Return twice the number of candidates above each target, those tied with it counted once, shape (t, w).

    Parameters
    ----------
    features
        Unweighted terms of every product, shape (P, c).
    weights
        Shape (w, P).
    targets, candidates
        Columns of `features`.
    """
    counts = np.zeros((len(targets), len(weights)), np.int32)
    thresholds = np.empty((len(weights), len(targets)), np.float32)
    block = _columns(features, targets)
    for weighting in range(len(weights)):
        _score(block, weights[weighting], thresholds[weighting])
    for first in range(0, len(candidates), BLOCK):
        block = _columns(features, candidates[first : first + BLOCK])
        scores = np.empty(block.shape[1], np.float32)
        for weighting in range(len(weights)):
            _score(block, weights[weighting], scores)
            for target in range(len(targets)):
                counts[target, weighting] += _twice_above(scores, thresholds[weighting, target])
    return counts


@njit(cache=True, nogil=True)
def _columns(features: Array, columns: Array) -> Array:
    block = np.empty((len(features), len(columns)), np.float32)
    for term in range(len(features)):
        for position in range(len(columns)):
            block[term, position] = features[term, columns[position]]
    return block


@njit(cache=True, nogil=True)
def _score(block: Array, weights: Array, scores: Array) -> None:
    scores[:] = 0.0
    for term in range(len(weights)):
        for position in range(len(scores)):
            scores[position] += weights[term] * block[term, position]


@njit(cache=True, nogil=True)
def _twice_above(scores: Array, threshold: float) -> np.int32:
    count = np.int32(0)
    for position in range(len(scores)):
        count += np.int32(scores[position] > threshold) + np.int32(scores[position] >= threshold)
    return count
