"""Tunes the weights for similar items: content decides, as far as products viewed in one session do not differ."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
from scipy import sparse

from recommender.catalog import Interactions
from recommender.core.blocks import Layout, Rows
from recommender.core.segment import Segment
from recommender.progress import progress
from training.cooccurrence.pairs import Pairs, pairs_of
from training.tuning.held_out import (
    MAX_ITEM_CASES,
    HeldOutCase,
    HeldOutTerms,
    held_out_terms,
    item_cases,
    item_queries,
    sample,
)
from training.tuning.weights import MIN_CASES, TunedWeights, default_weights, tune_weights

SIMILAR_ITEMS_PRIOR = {"prior": 0.0}  # popularity makes no product similar to another
VIEWS = ("view_item", "select_item")
SESSION_DAYS = 1 / 48  # between two views of one session
BASKET_DAYS = 0.999  # between two purchases of one basket; less than a day, since some shops know only dates
PAIR_WINDOW = 5  # events of a user within which products are targets of each other
# Categories with their own weights: at least so many cases each, and the largest of them only.
MIN_CATEGORY_CASES, MAX_CATEGORIES = 100, 10
FAMILYWISE_ERROR = 0.05  # probability that any category gets its own weights by chance


def content_weights(layout: Layout, content: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return weights for similar items by content alone: what is bought together with a product is no substitute.

    Parameters
    ----------
    layout
        Of the blocks. Without a content block, all that tells how similar products are is who chose them.
    content
        Content block to weight, sum 1; None: equal weights.
    """
    blocks = [name for name in layout.names if name != "behaviour"]
    terms = (*layout.names, "cooccurrence", "prior")
    if not blocks:
        return default_weights(terms, events=True) | SIMILAR_ITEMS_PRIOR
    content = content or dict.fromkeys(blocks, 1.0 / len(blocks))
    return {name: content.get(name, 0.0) for name in terms}


def substitutes(later: Interactions, known: Interactions, layout: Layout, types: Sequence[str]) -> Pairs:
    """Return the pairs of products that users compared: viewed in one session, of one type, not bought together.

    Without content blocks, which could tell in their place: products that one user chose shortly after another.

    Parameters
    ----------
    later
        Held-out interactions.
    known
        All interactions, for what is bought together.
    layout
        Of the blocks.
    types
        The product type of each product, "" where unknown, length n.
    """
    if set(layout.names) <= {"behaviour"}:
        return pairs_of(later, PAIR_WINDOW)
    views = pairs_of(_of(later, VIEWS), PAIR_WINDOW)
    codes = np.unique(np.array(types, dtype=str), return_inverse=True)[1]
    unknown = np.array([not name for name in types], dtype=bool)
    first, second = views.first, views.second
    same_type = (codes[first] == codes[second]) | unknown[first] | unknown[second]
    baskets = bought_together(known)
    together = np.isin(_keys(first, second), _keys(baskets.first, baskets.second))
    mask = (views.days <= SESSION_DAYS) & same_type & ~together
    return Pairs(first[mask], second[mask], views.gap[mask], views.days[mask])


def bought_together(interactions: Interactions) -> Pairs:
    """Return the pairs of products that one user bought within a day: a shop need not name its baskets."""
    pairs = pairs_of(_of(interactions, ("purchase",)))
    mask = pairs.days <= BASKET_DAYS
    return Pairs(pairs.first[mask], pairs.second[mask], pairs.gap[mask], pairs.days[mask])


def partners(segment: Segment, pairs: Pairs) -> sparse.csr_array:
    """Return the products paired with each product, its variants left out, shape (n, n)."""
    first = np.concatenate([pairs.first, pairs.second])
    second = np.concatenate([pairs.second, pairs.first])
    other = segment.groups[first] != segment.groups[second]
    cells = (np.ones(int(other.sum()), np.int32), (first[other], second[other]))
    return sparse.csr_array(cells, shape=(segment.n, segment.n)) > 0


def tune_for_items(
    segment: Segment, pairs: Pairs, initial: Mapping[str, float], kinds: Sequence[str], seed: int
) -> tuple[dict[str, TunedWeights], tuple[str, ...]]:
    """Move from the initial weights for similar items as far as held-out pairs support.

    The prior takes part in the fit, and its weight is then set to 0. Weights of all products first, then those of
    each category, starting from these: a category differs only where its own pairs clearly support it. With many
    categories some would by chance, hence Bonferroni's correction.

    Parameters
    ----------
    segment
        With prior and co-occurrence.
    pairs
        See `substitutes`.
    initial
        See `content_weights`; they stay where there are too few pairs.
    kinds
        The name that weights of each product's category would have, length n.
    seed
        Of samples and random search.

    Returns
    -------
    tuple
        Kinds of items to weights; and the kinds of categories that had enough cases to be tuned for their own
        weights.
    """
    cases = item_cases(segment, pairs)
    if len(cases) < MIN_CASES:
        return {"item": TunedWeights(dict(initial), np.empty(0))}, ()

    def terms_of(cases: list[HeldOutCase]) -> HeldOutTerms:
        sampled = sample(cases, MAX_ITEM_CASES, seed)
        return held_out_terms(segment, item_queries(segment, sampled), sampled, seed)

    tuned = {"item": tune_weights(terms_of(cases), seed, initial)}
    categories = _largest_categories(cases, kinds)
    errors = NormalDist().inv_cdf(1 - FAMILYWISE_ERROR / max(len(categories), 1))
    for kind, members in progress(categories.items(), "weights of categories", len(categories), "category"):
        weights = tune_weights(terms_of(members), seed, tuned["item"].weights, errors)
        if weights.weights != tuned["item"].weights:
            tuned[kind] = weights
    without_prior = {kind: replace(w, weights=w.weights | SIMILAR_ITEMS_PRIOR) for kind, w in tuned.items()}
    return without_prior, tuple(categories)


def _of(interactions: Interactions, names: Sequence[str]) -> Interactions:
    """Return the events of some names."""
    frame = interactions.frame
    return replace(interactions, frame=frame[frame["event_name"].isin(names)].reset_index(drop=True))


def _keys(first: Rows, second: Rows) -> np.ndarray:
    """Return a number for each pair, whatever its order."""
    return np.minimum(first, second).astype(np.int64) << 32 | np.maximum(first, second)


def _largest_categories(cases: list[HeldOutCase], kinds: Sequence[str]) -> dict[str, list[HeldOutCase]]:
    """Return the cases of each category that has enough of them, the largest first; none if there is only one."""
    by_kind: dict[str, list[HeldOutCase]] = {}
    for case in cases:
        by_kind.setdefault(kinds[case.steps.rows[0]], []).append(case)
    if len(by_kind) == 1:
        return {}
    largest = sorted(by_kind, key=lambda kind: -len(by_kind[kind]))[:MAX_CATEGORIES]
    return {kind: by_kind[kind] for kind in largest if kind != "item" and len(by_kind[kind]) >= MIN_CATEGORY_CASES}
