"""Learns the weights of the score from what was chosen later."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recommender.blocks import BLOCKS, Double, Float
from training.choices import Choices

LEAST_CASES = 20
DRAWS = 128
KEPT = 8  # of the best draws, averaged: one alone would be the luckiest
ROUNDS = (0.5, 0.25, 0.12)  # spreads of the draws around the best so far, in natural logarithms
RANKED = 4  # choices of a query that are ranked, evenly taken: more cost time and tell little
HALF_RANK = 20.0  # a choice ranked so low is worth half of one ranked first
# Widest shares of the terms beside the blocks, on the scale of the blocks' sum.
MOST = {"cooccurrence": 4.0, "prior": 0.5}
LEAST = {"cooccurrence": 0.01, "prior": 0.003}


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
    """Return the weights of a shop whose events say nothing yet: its content and category blocks alike."""
    blocks = [name for name in terms if name in BLOCKS]
    counted = [name for name in blocks if name != "behaviour"] or blocks
    weights = {name: 1.0 / len(counted) if name in counted else 0.0 for name in blocks}
    return weights | ({"cooccurrence": 0.1, "prior": 0.01} if events else {})


def learn(choices: Choices, seed: int, draws: int = DRAWS) -> Learned:
    """Search the weights under which later choices rank high.

    Random search (Bergstra and Bengio, JMLR 2012), then closer and closer around the best, rather than a
    likelihood: most choices cannot be foreseen, and a likelihood spends its weights on those; what users see is
    the top of the list. Measured on a fashion shop's cold start, the conditional logit's recall was below that of
    equal weights.
    """
    drawn = np.array([[*draw.values()] for draw in _draws(choices.terms, seed, draws)])
    values = gains(choices, drawn).mean(axis=0)
    generator = np.random.default_rng(seed)
    for spread in ROUNDS if draws == DRAWS else ():
        near = _mean_of_best(drawn, values) * np.exp(generator.normal(0, spread, (draws // 2, drawn.shape[1])))
        drawn = np.concatenate([drawn, near])
        values = np.concatenate([values, gains(choices, near).mean(axis=0)])
    mean = _mean_of_best(drawn, values)
    return Learned(_scaled(choices.terms, mean), gains(choices, mean[None])[:, 0])


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


def _draws(terms: tuple[str, ...], seed: int, count: int) -> list[dict[str, float]]:
    generator = np.random.default_rng(seed)
    blocks = [name for name in terms if name in BLOCKS]
    draws = [equal(terms, events=True)]
    while len(draws) < count:
        draw = dict(zip(blocks, generator.dirichlet(np.ones(len(blocks))).tolist(), strict=True))
        for name in MOST:
            spread = LEAST[name] * (MOST[name] / LEAST[name]) ** generator.random()
            draw[name] = float(spread) if generator.random() < 0.8 else 0.0
        draws.append(draw)
    return draws


def _scaled(terms: tuple[str, ...], values: Double) -> dict[str, float]:
    weights = dict(zip(terms, values.tolist(), strict=True))
    blocks = sum(weight for name, weight in weights.items() if name in BLOCKS)
    return {name: weight / blocks for name, weight in weights.items()}


def mixed(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of two weightings: what the trees of one index are shaped by."""
    return {name: (a[name] + b[name]) / 2 for name in a}
