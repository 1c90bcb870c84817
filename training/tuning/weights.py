"""Learns the weights of the score from what was chosen later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import BLOCKS, Double, Float
from training.tuning.held_out import Choices

LEAST_CASES = 20
DRAWS = 128
KEPT = 8  # of the best draws, averaged: one alone would be the luckiest
ROUNDS = (0.5, 0.25, 0.12)  # spreads of the draws around the best so far, in natural logarithms
RANKED = 4  # choices of a query that are ranked, evenly taken: more cost time and tell little
HALF_RANK = 20.0  # a choice ranked so low is worth half of one ranked first
# Shares of the terms beside the blocks, on the scale of their sum: the widest, and the usual. C is mostly far
# below its largest value.
MOST = {"cooccurrence": 50.0, "prior": 2.0}
LEAST = {"cooccurrence": 0.1, "prior": 0.003}
USUAL = {"cooccurrence": 8.0, "prior": 0.4}
STEPS = np.linspace(0.0, 1.0, 5)  # from the usual weights to those found


@dataclass(frozen=True)
class Learned:
    """Weights and how well they rank the choices they were learned on.

    Parameters
    ----------
    weights
        Term name to weight; blocks sum to 1.
    gains
        Soft recall of each query's later choices, see `gains`, shape (b,); empty if nothing was learned.
    """

    weights: dict[str, float]
    gains: Double

    def stated(self) -> dict[str, float | None]:
        """Return what the manifest says of them."""
        return {"cases": len(self.gains), "soft_recall": float(self.gains.mean()) if len(self.gains) else None}


def equal(terms: tuple[str, ...], events: bool) -> dict[str, float]:
    """Return the usual weights, which need nothing to be learned: all blocks alike."""
    blocks = [name for name in terms if name in BLOCKS]
    return {name: 1.0 / len(blocks) for name in blocks} | (USUAL if events else {})


def learn(choices: Choices, seed: int, start: Mapping[str, float] | None = None, errors: float = 1.0) -> Learned:
    """Go from the usual weights toward those found, as far as choices that took no part in finding them agree.

    Few choices find weights that suit them and no others: each half of the queries is asked how far to go toward
    what the other half found, and the usual weights stay where nothing is clearly better.

    Parameters
    ----------
    start
        Stands in for the usual weights.
    errors
        See `clearly_best`.
    """
    start = start or equal(choices.terms, events=True)
    usual = np.array([start[term] for term in choices.terms])
    first = np.arange(len(choices.chosen)) % 2 == 0
    gained = np.empty((len(first), len(STEPS)))
    for half in (first, ~first):
        way = search(choices.of(half), seed) - usual
        gained[~half] = gains(choices.of(~half), usual + STEPS[:, None] * way)
    step = STEPS[clearly_best(gained.T, errors)]
    weights = usual + step * (search(choices, seed) - usual) if step else usual
    named = dict(zip(choices.terms, weights.tolist(), strict=True))
    return Learned(named, gains(choices, weights[None])[:, 0])


def clearly_best(found: Sequence[Double] | Double, errors: float = 1.0) -> int:
    """Return the place of the best gains, or of the first, the usual, if none are better by a standard error.

    The one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984), paired by query.

    Parameters
    ----------
    found
        Gains of each query under each of several settings, shape (s, b).
    errors
        By how many standard errors; more where many such choices are made, as one of them is lucky.
    """
    above = []
    for tried in found:
        difference = tried - found[0]
        above.append(difference.mean() - errors * difference.std() / len(difference) ** 0.5)
    return int(np.argmax(above)) if max(above) > 0 else 0


def search(choices: Choices, seed: int) -> Double:
    """Search the weights under which later choices rank high; blocks sum to 1, shape (P,).

    Random search (Bergstra and Bengio, JMLR 2012), then closer and closer around the best, rather than a
    likelihood: most choices cannot be foreseen, and a likelihood spends its weights on those; what users see is
    the top of the list. Measured on a fashion shop's cold start, the conditional logit's recall was below that of
    equal weights.
    """
    drawn = np.array([[*draw.values()] for draw in _draws(choices.terms, seed)])
    values = gains(choices, drawn).mean(axis=0)
    generator = np.random.default_rng(seed)
    for spread in ROUNDS:
        near = _mean_of_best(drawn, values) * np.exp(generator.normal(0, spread, (DRAWS // 2, drawn.shape[1])))
        drawn = np.concatenate([drawn, near])
        values = np.concatenate([values, gains(choices, near).mean(axis=0)])
    best = _mean_of_best(drawn, values)
    scaled: Double = best / best[[name in BLOCKS for name in choices.terms]].sum()
    return scaled


def _mean_of_best(drawn: Double, values: Double) -> Double:
    mean: Double = drawn[np.argsort(-values, kind="stable")[:KEPT]].mean(axis=0)
    return mean


def gains(choices: Choices, weights: Double) -> Double:
    """Return the soft recall of each query: a choice at rank r is worth 1 / (1 + r / HALF_RANK).

    Parameters
    ----------
    weights
        Shape (w, P).

    Returns
    -------
    Double
        Mean over each query's choices, shape (b, w). Ties count half.
    """
    found = np.empty((len(choices.chosen), len(weights)))
    columns = weights.T.astype(np.float32)
    asked = zip(choices.features, choices.allowed, choices.chosen, strict=True)
    for query, (features, allowed, chosen) in enumerate(asked):
        scores = features @ columns
        ranked = np.flatnonzero(chosen)
        ranked = ranked[:: -(-len(ranked) // RANKED)]
        ranks = _ranks(scores, ranked, choices.stands_for * allowed)
        found[query] = (1.0 / (1.0 + ranks / HALF_RANK)).mean(axis=0)
    return found


def soft_recall(scores: Float, chosen: np.ndarray) -> float:
    """Return the soft recall of one query's choices under scores of all products, shape (n,)."""
    ranks = _ranks(scores[:, None], chosen, np.ones(len(scores), dtype=np.float32))
    return float((1.0 / (1.0 + ranks / HALF_RANK)).mean())


def _ranks(scores: Float, chosen: np.ndarray, mass: Float) -> Double:
    """Count the products above each chosen one, and half of those level with it, shape (chosen, w)."""
    ranks = np.empty((len(chosen), scores.shape[1]))
    for place, one in enumerate(chosen):
        # −1, 0 and 1 below, level and above: the sum is above − below
        ranks[place] = (mass.sum() + mass @ np.sign(scores - scores[one]) - mass[one]) / 2
    return ranks


def _draws(terms: tuple[str, ...], seed: int) -> list[dict[str, float]]:
    generator = np.random.default_rng(seed)
    blocks = [name for name in terms if name in BLOCKS]
    draws = [equal(terms, events=True)]
    while len(draws) < DRAWS:
        draw = dict(zip(blocks, generator.dirichlet(np.ones(len(blocks))).tolist(), strict=True))
        for name in MOST:
            spread = LEAST[name] * (MOST[name] / LEAST[name]) ** generator.random()
            draw[name] = float(spread) if generator.random() < 0.8 else 0.0
        draws.append(draw)
    return draws


def mixed(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of two weightings: what the trees of one index are shaped by."""
    return {name: (a[name] + b[name]) / 2 for name in a}
