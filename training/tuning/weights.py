"""Tunes the weights of the score on held-out interactions, by random search over soft recall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import BLOCKS, Double, Float
from training.tuning.held_out import HeldOutTerms

MIN_CASES = 20
SAMPLES = 128  # weightings sampled at random
AVERAGED = 8  # best weightings whose mean is used: the best alone would be the luckiest
SPREADS = (0.5, 0.25, 0.12)  # of the samples around the best so far, in natural logarithms, round by round
MAX_TARGETS = 4  # of a query that are ranked, evenly spaced: more cost time and add little
HALF_RANK = 20.0  # a target at this rank is worth half of one at the top
# The terms beside the blocks, on the scale of the blocks' sum: bounds of the search, and defaults. C is mostly far
# below its maximum.
MIN_WEIGHTS = {"cooccurrence": 0.1, "prior": 0.003}
MAX_WEIGHTS = {"cooccurrence": 50.0, "prior": 2.0}
DEFAULT_WEIGHTS = {"cooccurrence": 8.0, "prior": 0.4}
STEPS = np.linspace(0.0, 1.0, 5)  # from the initial weights to those of the search


@dataclass(frozen=True)
class TunedWeights:
    """Weights of the score and their validation scores.

    Parameters
    ----------
    weights
        Term name to weight; blocks sum to 1.
    soft_recalls
        Soft recall of each query they were tuned on, see `soft_recalls`, shape (b,); empty for default weights.
    """

    weights: dict[str, float]
    soft_recalls: Double

    def metrics(self) -> dict[str, float | None]:
        """Return the number of cases and the mean soft recall, for the manifest."""
        mean = float(self.soft_recalls.mean()) if len(self.soft_recalls) else None
        return {"cases": len(self.soft_recalls), "soft_recall": mean}


def default_weights(terms: tuple[str, ...], events: bool) -> dict[str, float]:
    """Return the weights of an untuned model: equal ones for all blocks."""
    blocks = [name for name in terms if name in BLOCKS]
    return {name: 1.0 / len(blocks) for name in blocks} | (DEFAULT_WEIGHTS if events else {})


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
        direction = random_search(held_out.subset(half), seed) - start
        validated[~half] = soft_recalls(held_out.subset(~half), start + STEPS[:, None] * direction)
    step = STEPS[best_by_standard_error(validated.T, errors)]
    weights = start + step * (random_search(held_out, seed) - start) if step else start
    named = dict(zip(held_out.terms, weights.tolist(), strict=True))
    return TunedWeights(named, soft_recalls(held_out, weights[None])[:, 0])


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


def random_search(held_out: HeldOutTerms, seed: int) -> Double:
    """Return the weights with the highest mean soft recall; blocks sum to 1, shape (P,).

    Random search (Bergstra and Bengio, JMLR 2012), then ever closer around the best, rather than a likelihood:
    most held-out interactions cannot be predicted, and a likelihood spends its weights on those, while users see
    the top of the list. Measured on a fashion shop's cold start, the conditional logit's recall was below that of
    equal weights.
    """
    sampled = np.array([[*weights.values()] for weights in _sample_weights(held_out.terms, seed)])
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
    columns = weights.T.astype(np.float32)
    queries = zip(held_out.features, held_out.eligible, held_out.targets, strict=True)
    for query, (features, eligible, is_target) in enumerate(queries):
        targets = np.flatnonzero(is_target)
        targets = targets[:: -(-len(targets) // MAX_TARGETS)]
        ranks = _ranks(features @ columns, targets, held_out.multiplicity * eligible)
        recalls[query] = (1.0 / (1.0 + ranks / HALF_RANK)).mean(axis=0)
    return recalls


def soft_recall(scores: Float, targets: np.ndarray) -> float:
    """Return the soft recall of one query's targets under scores of all products, shape (n,)."""
    ranks = _ranks(scores[:, None], targets, np.ones(len(scores), dtype=np.float32))
    return float((1.0 / (1.0 + ranks / HALF_RANK)).mean())


def _ranks(scores: Float, targets: np.ndarray, multiplicity: Float) -> Double:
    """Count the products above each target, and half of those tied with it, shape (targets, w)."""
    ranks = np.empty((len(targets), scores.shape[1]))
    for index, target in enumerate(targets):
        # −1, 0 and 1 below, tied and above: the sum is above − below
        above_minus_below = multiplicity @ np.sign(scores - scores[target])
        ranks[index] = (multiplicity.sum() + above_minus_below - multiplicity[target]) / 2
    return ranks


def _sample_weights(terms: tuple[str, ...], seed: int) -> list[dict[str, float]]:
    generator = np.random.default_rng(seed)
    blocks = [name for name in terms if name in BLOCKS]
    samples = [default_weights(terms, events=True)]
    while len(samples) < SAMPLES:
        weights = dict(zip(blocks, generator.dirichlet(np.ones(len(blocks))).tolist(), strict=True))
        for name in MAX_WEIGHTS:
            log_uniform = MIN_WEIGHTS[name] * (MAX_WEIGHTS[name] / MIN_WEIGHTS[name]) ** generator.random()
            weights[name] = float(log_uniform) if generator.random() < 0.8 else 0.0
        samples.append(weights)
    return samples


def mean_weights(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of two weightings: Annoy's trees are built for it."""
    return {name: (a[name] + b[name]) / 2 for name in a}
