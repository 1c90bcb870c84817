"""Tunes the weights for similar items on held-out interactions, and those of each category."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

from recommender.catalog import Interactions
from recommender.core.segment import Segment
from recommender.progress import progress
from training.cooccurrence.pairs import pairs_of
from training.tuning.held_out import (
    MAX_ITEM_CASES,
    HeldOutCase,
    HeldOutTerms,
    held_out_terms,
    item_cases,
    item_queries,
    sample,
)
from training.tuning.weights import MIN_CASES, TunedWeights, tune_weights

SIMILAR_ITEMS_PRIOR = {"prior": 0.0}  # popularity makes no product similar to another
# Categories with their own weights: at least so many cases each, and the largest of them only.
MIN_CATEGORY_CASES, MAX_CATEGORIES = 100, 10
FAMILYWISE_ERROR = 0.05  # probability that any category gets its own weights by chance
PAIR_WINDOW = 5  # events of a user within which products are targets of each other


def tune_for_items(
    segment: Segment, later: Interactions, kinds: Sequence[str], seed: int
) -> tuple[dict[str, TunedWeights], tuple[str, ...]]:
    """Tune the weights for similar items; the prior takes part in the fit, and its weight is then set to 0.

    Weights of all products first, then those of each category, starting from these: a category differs only where
    its own held-out interactions clearly support it. With many categories some would by chance, hence Bonferroni's
    correction.

    Parameters
    ----------
    segment
        With prior and co-occurrence.
    later
        Held-out interactions.
    kinds
        The name that weights of each product's category would have, length n.
    seed
        Of samples and random search.

    Returns
    -------
    tuple
        Kinds of items to weights, none where there are too few cases; and the kinds of categories that had enough
        cases to be tuned for their own weights.
    """
    cases = item_cases(segment, pairs_of(later, PAIR_WINDOW))
    if len(cases) < MIN_CASES:
        return {}, ()

    def terms_of(cases: list[HeldOutCase]) -> HeldOutTerms:
        sampled = sample(cases, MAX_ITEM_CASES, seed)
        return held_out_terms(segment, item_queries(segment, sampled), sampled, seed)

    tuned = {"item": tune_weights(terms_of(cases), seed)}
    categories = _largest_categories(cases, kinds)
    errors = NormalDist().inv_cdf(1 - FAMILYWISE_ERROR / max(len(categories), 1))
    for kind, members in progress(categories.items(), "weights of categories", len(categories), "category"):
        weights = tune_weights(terms_of(members), seed, tuned["item"].weights, errors)
        if weights.weights != tuned["item"].weights:
            tuned[kind] = weights
    without_prior = {kind: replace(w, weights=w.weights | SIMILAR_ITEMS_PRIOR) for kind, w in tuned.items()}
    return without_prior, tuple(categories)


def _largest_categories(cases: list[HeldOutCase], kinds: Sequence[str]) -> dict[str, list[HeldOutCase]]:
    """Return the cases of each category that has enough of them, the largest first; none if there is only one."""
    by_kind: dict[str, list[HeldOutCase]] = {}
    for case in cases:
        by_kind.setdefault(kinds[case.steps.rows[0]], []).append(case)
    if len(by_kind) == 1:
        return {}
    largest = sorted(by_kind, key=lambda kind: -len(by_kind[kind]))[:MAX_CATEGORIES]
    return {kind: by_kind[kind] for kind in largest if kind != "item" and len(by_kind[kind]) >= MIN_CATEGORY_CASES}
