"""Tunes the weights of the score on held-out interactions, by random search over soft recall."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from typing import Any

import numpy as np

from recommender.core.blocks import BLOCKS, Double, Float, Mask
from training.cooccurrence.pairs import kernels
from training.tuning.held_out import HeldOutTerms

MIN_CASES = 20
SAMPLES = 128  # weightings sampled at random
AVERAGED = 8  # best weightings whose mean is used: the best alone would be the luckiest
SPREADS = (0.5, 0.25, 0.12)  # of the samples around the best so far, in natural logarithms, round by round
MAX_TARGETS = 4  # of a query that are ranked, evenly spaced: more cost time and add little
CHUNK = 64  # queries of a task of a thread
HALF_RANK = 20.0  # a target at this rank is worth half of one at the top
# The terms beside the blocks, on the scale of the blocks' sum: bounds of the search, at whose upper end a term
# decides alone, and defaults. C is mostly far below its maximum.
MIN_WEIGHTS = {"cooccurrence": 0.1, "similarity": 0.1, "autoencoder": 0.1, "prior": 0.003}
MAX_WEIGHTS = {"cooccurrence": 100.0, "similarity": 50.0, "autoencoder": 100.0, "prior": 20.0}
DEFAULT_WEIGHTS = {"cooccurrence": 10.0, "prior": 0.4}
STEPS = np.linspace(0.0, 1.0, 5)  # from the initial weights to those of the search


@dataclass(frozen=True)
class TunedWeights:
    """Weights of the score and their validation scores.

    Parameters
    ----------
    weights
        Term name to weight; blocks sum to 1.
    soft_recalls
        Soft recall of each query, see `soft_recalls`, under weights that were tuned in the same way on the other
        half of the queries, shape (b,); empty for default weights.
    parts
        Mean soft recall of each term alone, by name, where the weights were compared with them.
    part
        The term that decides alone, since it was clearly better than the tuned weights; None where none was.
    """

    weights: dict[str, float]
    soft_recalls: Double
    parts: Mapping[str, float] = field(default_factory=dict)
    part: str | None = None

    def metrics(self) -> dict[str, Any]:
        """Return the number of cases, the mean soft recall and the comparison with the parts, for the manifest."""
        mean = float(self.soft_recalls.mean()) if len(self.soft_recalls) else None
        compared = {"parts": dict(self.parts), "part": self.part} if self.parts else {}
        return {"cases": len(self.soft_recalls), "soft_recall": mean, **compared}


def default_weights(terms: Iterable[str], events: bool) -> dict[str, float]:
    """Return the weights of an untuned model: equal ones for all blocks."""
    terms = [*terms]
    blocks = [name for name in terms if name in BLOCKS]
    others = {name: weight for name, weight in DEFAULT_WEIGHTS.items() if events and name in terms}
    return {name: 1.0 / len(blocks) for name in blocks} | others


def tune_weights(
    held_out: HeldOutTerms, seed: int, initial: Mapping[str, float] | None = None, errors: float = 1.0
) -> TunedWeights:
    """Move from the initial weights toward those of a search, as far as cross-validation supports.

    Few queries overfit: for each half of them, the step toward the result of the other half is validated, and the
    initial weights stay where no step is clearly better.

    Parameters
    ----------
    held_out
        Queries with their targets.
    seed
        Of the search.
    initial
        By default `default_weights`.
    errors
        See `best_by_standard_error`.
    """
    initial = initial or default_weights(held_out.terms, events=True)
    start = np.array([initial[term] for term in held_out.terms])
    even = np.arange(len(held_out.targets)) % 2 == 0
    validated = np.empty((len(even), len(STEPS)))
    for half in (even, ~even):
        direction = random_search(held_out.subset(half), seed, start) - start
        validated[~half] = soft_recalls(held_out.subset(~half), start + STEPS[:, None] * direction)
    best = best_by_standard_error(validated.T, errors)
    weights = start + STEPS[best] * (random_search(held_out, seed, start) - start) if best else start
    named = dict(zip(held_out.terms, weights.tolist(), strict=True))
    return TunedWeights(named, validated[:, best])


def best_by_standard_error(scores: Sequence[Double] | Double, errors: float = 1.0) -> int:
    """Return the index of the best option, or 0, the default, if none is better by a standard error.

    The one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984), paired by query.

    Parameters
    ----------
    scores
        Of each of s options on each query, shape (s, b).
    errors
        By how many standard errors; more where many options are compared, as the best of them is lucky.
    """
    bounds = []
    for option in scores:
        difference = option - scores[0]
        bounds.append(difference.mean() - errors * difference.std() / len(difference) ** 0.5)
    return int(np.argmax(bounds)) if max(bounds) > 0 else 0


def cross_fitted(recalls: Double) -> Double:
    """Return the soft recall of each query under the option that is best for the other half of the queries.

    Parameters
    ----------
    recalls
        Of each query under each option, shape (b, w).
    """
    even = np.arange(len(recalls)) % 2 == 0
    chosen = np.empty(len(recalls))
    for half in (even, ~even):
        chosen[half] = recalls[half, recalls[~half].mean(axis=0).argmax()]
    return chosen


def random_search(held_out: HeldOutTerms, seed: int, start: Double | None = None) -> Double:
    """Return the weights with the highest mean soft recall; blocks sum to 1, shape (P,).

    Among the samples are `start`, by default the default weights, and each term almost alone.

    Random search (Bergstra and Bengio, JMLR 2012), then ever closer around the best, rather than a likelihood:
    most held-out interactions cannot be predicted, and a likelihood spends its weights on those, while users see
    the top of the list. Measured on a fashion shop's cold start, the conditional logit's recall was below that of
    equal weights.
    """
    if start is None:
        default = default_weights(held_out.terms, events=True)
        start = np.array([default.get(term, 0.0) for term in held_out.terms])
    drawn = _sample_weights([*held_out.terms], seed)
    sampled = np.concatenate([start[None], alone(held_out.terms), drawn])[:SAMPLES]
    values = soft_recalls(held_out, sampled).mean(axis=0)
    generator = np.random.default_rng(seed)
    for spread in SPREADS:
        factors = np.exp(generator.normal(0, spread, (SAMPLES // 2, sampled.shape[1])))
        near = _mean_of_best(sampled, values) * factors
        sampled = np.concatenate([sampled, near])
        values = np.concatenate([values, soft_recalls(held_out, near).mean(axis=0)])
    best = _mean_of_best(sampled, values)
    scaled: Double = best / best[[name in BLOCKS for name in held_out.terms]].sum()
    return scaled


def _mean_of_best(sampled: Double, values: Double) -> Double:
    mean: Double = sampled[np.argsort(-values, kind="stable")[:AVERAGED]].mean(axis=0)
    return mean


def soft_recalls(held_out: HeldOutTerms, weights: Double) -> Double:
    """Return the soft recall of each query: the mean over its targets of 1 / (1 + rank / HALF_RANK).

    Parameters
    ----------
    held_out
        b queries.
    weights
        Shape (w, P).

    Returns
    -------
    Double
        Shape (b, w). Ties count half.
    """
    recalls = np.empty((len(held_out.targets), len(weights)))
    columns = np.ascontiguousarray(weights, dtype=np.float32)
    recalls_of = _soft_recalls if kernels() is None else _compiled_soft_recalls

    def fill(start: int) -> None:
        queries = slice(start, start + CHUNK)
        features = np.stack([values[queries] for values in held_out.terms.values()], dtype=np.float32)
        masks = held_out.eligible[queries], held_out.targets[queries]
        recalls_of(features, columns, *masks, held_out.multiplicity, recalls[queries])

    with ThreadPoolExecutor(cpu_count()) as pool:  # the loops release the GIL
        for _ in pool.map(fill, range(0, len(recalls), CHUNK)):
            pass
    return recalls


def _compiled_soft_recalls(
    features: Float, weights: Float, eligible: Mask, is_target: Mask, multiplicity: Float, out: Double
) -> None:
    from training.tuning import compiled

    compiled.soft_recalls(features, weights, eligible, is_target, multiplicity, MAX_TARGETS, HALF_RANK, out)


def _soft_recalls(
    features: Float, weights: Float, eligible: Mask, is_target: Mask, multiplicity: Float, out: Double
) -> None:
    """Write the soft recall of q queries to `out`, (q, w), without numba; see `compiled.soft_recalls`."""
    for query, line in enumerate(out):
        with np.errstate(invalid="ignore"):  # some kernels of OpenBLAS flag lanes that they discard
            scores = weights @ features[:, query]
        targets = np.flatnonzero(is_target[query] & eligible[query])
        targets = targets[:: -(-len(targets) // MAX_TARGETS)]
        ranks = np.repeat(-multiplicity[targets, None] / 2.0, len(weights), axis=1)  # itself, no tie
        for each in np.unique(multiplicity):
            members = np.flatnonzero(eligible[query] & (multiplicity == each))
            ranks += each * _count_above(scores[:, members], scores[:, targets])
        line[:] = (1.0 / (1.0 + ranks / HALF_RANK)).mean(axis=0)


def soft_recall(scores: Float, targets: np.ndarray) -> float:
    """Return the soft recall of one query's targets under scores of all products, shape (n,)."""
    ascending = np.sort(scores)
    below = [np.searchsorted(ascending, scores[targets], side) for side in ("left", "right")]
    ranks = len(scores) - (below[0] + below[1] + 1) / 2  # itself, no tie
    return float((1.0 / (1.0 + ranks / HALF_RANK)).mean())


def _count_above(scores: Float, thresholds: Float) -> Double:
    """Count the scores above each threshold, and half of those equal to it, shape (t, w).

    Parameters
    ----------
    scores, thresholds
        Under each weighting, shapes (w, c) and (w, t).
    """
    above = [_count(scores > each[:, None]) + _count(scores >= each[:, None]) for each in thresholds.T]
    return np.array(above).reshape(len(above), len(scores)) / 2


def _count(mask: Mask) -> Double:
    """Count the true values of each row, as bits: several times as fast as a sum."""
    return np.bitwise_count(np.packbits(mask, axis=1)).sum(axis=1, dtype=np.float64)


def alone(terms: Iterable[str]) -> Double:
    """Return weights under which each term decides alone, the blocks breaking ties of the others, shape (P, P)."""
    terms = [*terms]
    is_block = np.array([name in BLOCKS for name in terms])
    weights = np.diag([MAX_WEIGHTS.get(name, 1.0) for name in terms])
    weights[np.ix_(~is_block, is_block)] = 1.0 / is_block.sum()
    return weights


def _sample_weights(terms: Sequence[str], seed: int) -> Double:
    generator = np.random.default_rng(seed)
    is_block = np.array([name in BLOCKS for name in terms])
    samples = np.empty((SAMPLES, len(terms)))
    for line in samples:
        line[is_block] = generator.dirichlet(np.ones(is_block.sum()))
        for index in np.flatnonzero(~is_block).tolist():
            least, most = MIN_WEIGHTS[terms[index]], MAX_WEIGHTS[terms[index]]
            log_uniform = least * (most / least) ** generator.random()
            line[index] = log_uniform if generator.random() < 0.8 else 0.0
    return samples


def mean_weights(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of two weightings: Annoy's trees are built for it."""
    return {name: (a[name] + b[name]) / 2 for name in a}
