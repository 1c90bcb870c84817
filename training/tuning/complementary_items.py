"""Tunes the weights for complementary products on held-out baskets: pairs, similarity and popularity."""

from collections.abc import Mapping

import numpy as np

from recommender.catalog import Interactions
from recommender.core.blocks import BLOCKS, Double
from recommender.core.segment import Segment
from recommender.core.weights import COMPLEMENTARY, complementary_weights
from recommender.towers.user import UserTower
from training.tuning.held_out import MAX_ITEM_CASES, held_out_terms, item_cases, sample, user_queries
from training.tuning.similar_items import bought_together
from training.tuning.weights import (
    MIN_CASES,
    STEPS,
    TunedWeights,
    best_by_standard_error,
    random_search,
    soft_recalls,
)

MIN_SHARE = 1e-6  # of the largest weight: the way between two weightings is logarithmic


def tune_for_complements(
    segment: Segment,
    user_tower: UserTower,
    later: Interactions,
    weights: Mapping[str, Mapping[str, float]],
    seed: int,
) -> dict[str, TunedWeights]:
    """Move from complementary pairs alone toward the result of a search, as far as held-out baskets support.

    Parameters
    ----------
    segment
        With complementary products and prior.
    user_tower
        Makes queries.
    later
        Held-out interactions.
    weights
        Of users, see `complementary_weights`.
    seed
        Of samples and random search.

    Returns
    -------
    dict
        The kind `COMPLEMENTARY` to its weights; empty with too few baskets, or where nothing is clearly better.
    """
    cases = sample(item_cases(segment, bought_together(later)), MAX_ITEM_CASES, seed)
    if len(cases) < MIN_CASES or not segment.complements.indices.size:
        return {}
    queries = [query.with_table(segment.complements) for query in user_queries(segment, user_tower, cases)]
    terms = held_out_terms(segment, queries, cases, seed)
    pairs = complementary_weights({"user": weights["user"]})
    start = np.array([pairs[term] for term in terms.terms])
    even = np.arange(len(cases)) % 2 == 0
    validated = np.empty((len(cases), len(STEPS)))
    for half in (even, ~even):
        end = random_search(terms.subset(half), seed)
        validated[~half] = soft_recalls(terms.subset(~half), _between(start, end))
    step = best_by_standard_error(validated.T)
    if not step:
        return {}
    tuned = _between(start, random_search(terms, seed))[step]
    tuned /= tuned[[name in BLOCKS for name in terms.terms]].sum()
    named = dict(zip(terms.terms, tuned.tolist(), strict=True))
    return {COMPLEMENTARY: TunedWeights(named, soft_recalls(terms, tuned[None])[:, 0])}


def _between(start: Double, end: Double) -> Double:
    """Return the weightings on the way between two, in steps of equal factors, shape (s, P)."""
    logarithms = [np.log(np.maximum(weights / weights.max(), MIN_SHARE)) for weights in (start, end)]
    return np.exp(logarithms[0] + STEPS[:, None] * (logarithms[1] - logarithms[0]))
