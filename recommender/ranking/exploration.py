"""Exploration: products drawn at random in a share of the positions, each with a known propensity.

A position shows its ranked product or else one that is drawn from a pool of other products. Positions are drawn
evenly and products by systematic sampling (Madow, "On the Theory of Systematic Sampling", 1949), which draws no
product twice and each with exactly the probability that it is given. Independently, some lists are shuffled, so
that the log tells what ranked products would earn at other positions. So every propensity is known without a
simulation, and those of all products at a position sum to 1.
"""

from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Double, Rows

POOL = 50  # products after the list, and as many new ones, that may be drawn
FLOOR = 0.2  # share of the draws that are even, so that a product of a low score is drawn, too
NEW_DAYS = 30  # a product is new for so long


@dataclass(frozen=True)
class Exploration:
    """How a request explores.

    Parameters
    ----------
    share
        Of the positions that show other products, in expectation; and of the lists that are shuffled.
    seed
        Equal seeds draw equally; of a recommendation id see `recommender.stores.attribution.seed_of`.
    """

    share: float
    seed: bytes


@dataclass(frozen=True)
class ExplorationDraw:
    """Which products of a pool are shown at which positions, and the order of the ranked ones.

    Parameters
    ----------
    order
        Of each of the positions the one whose ranked product it shows, unless a drawn one, (p,).
    chosen, positions
        Of each drawn product its place in the pool and its position from 0, (e,).
    propensities
        Probability of each product of the pool at each of the positions, (c,).
    own, other
        Probability with which a position shows its own ranked product, and that of each other position.
    """

    order: Rows
    chosen: Rows
    positions: Rows
    propensities: Double
    own: float
    other: float


def draw(scores: Double, positions: Rows, exploration: Exploration) -> ExplorationDraw:
    """Draw products of a pool by score for a share of the positions.

    Parameters
    ----------
    scores
        Of the pool, (c,).
    positions
        Those that may explore, (p,).
    """
    count = len(positions)
    inclusion = inclusion_probabilities(softmax_with_floor(scores), exploration.share * count)
    rng = np.random.default_rng(np.frombuffer(exploration.seed, np.uint8))
    chosen = systematic_sample(inclusion, rng)
    where = positions[rng.permutation(count)[: len(chosen)]]
    order = rng.permutation(positions) if rng.random() < exploration.share else positions
    each = max(count, 1)
    retained = 1 - float(inclusion.sum()) / each
    other = exploration.share / each * retained
    own = other + (1 - exploration.share) * retained  # of a shuffled list, and of one in order
    return ExplorationDraw(order, chosen, where, inclusion / each, own, other)


def softmax_with_floor(scores: Double) -> Double:
    """Return probabilities of a softmax over the scores, in units of their spread, mixed with even ones, (c,)."""
    if not len(scores):
        return np.zeros(0)
    spread = float(scores.std()) or 1.0
    shares = np.exp((scores - scores.max()) / spread)
    return np.asarray((1 - FLOOR) * shares / shares.sum() + FLOOR / len(scores))


def inclusion_probabilities(shares: Double, total: float) -> Double:
    """Return probabilities in proportion to `shares`, but at most 1, that sum to `total` or to their number.

    Parameters
    ----------
    shares
        Positive, (c,).
    total
        How many are to be drawn, in expectation.
    """
    total = min(total, float(len(shares)))
    certain = np.zeros(len(shares), bool)
    while True:
        free = total - certain.sum()
        scale = free / max(float(shares[~certain].sum()), np.finfo(float).tiny)
        found = np.where(certain, 1.0, shares * scale)
        if not (over := found > 1.0).any():
            return found
        certain |= over


def systematic_sample(inclusion: Double, rng: np.random.Generator) -> Rows:
    """Draw each position of `inclusion` once at most, with exactly its probability, in random order."""
    order = rng.permutation(len(inclusion))
    steps = np.floor(np.concatenate([[0.0], inclusion[order].cumsum()]) + rng.random())
    return np.asarray(order[np.diff(steps) > 0], np.int32)
