"""Why a product was recommended: the terms of its score, split by seed where that is exact."""

from collections.abc import Callable

import numpy as np

from recommender.core.blocks import Double
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.ranking.results import Reason

CODES = {
    "image": "visual_similarity",
    "text": "text_similarity",
    "category": "same_category",
    "behaviour": "your_history",
    "cooccurrence": "bought_together",
    "prior": "popular",
    "boost": "promoted",
}
# What stands in for the prior in the strategies that are an order of their own.
ORDERS = {
    "trending": "trending",
    "new": "new_item",
    "recently_viewed": "your_history",
    "buy_again": "your_history",
}
WORDS = {
    "visual_similarity": "Similar look to {}",
    "text_similarity": "Described like {}",
    "same_category": "Same kind as {}",
    "your_history": "Chosen by people who chose {}",
    "bought_together": "Often chosen together with {}",
    "popular": "Popular now",
    "promoted": "Recommended by the shop",
    "trending": "Chosen by many lately",
    "new_item": "New",
}
SEEDLESS = ("prior", "boost")
MIN_SHARE = 0.05
SHOWN = 3


def reasons(
    scorer: Scorer,
    segment: Segment,
    query: Query,
    row: int,
    parts: Double,
    id_of: Callable[[int], str],
    strategy: str = "",
) -> tuple[Reason, ...]:
    """Return the strongest reasons for one answered row.

    Parameters
    ----------
    parts
        The terms of its score, shape (M + 2,) or, with boosts, (M + 3,).
    id_of
        Row to id.
    strategy
        In some, the prior is not popularity but an order of their own.
    """
    positive = np.maximum(parts, 0.0)
    total = positive.sum()
    found = []
    for place in np.argsort(-positive, kind="stable")[:SHOWN]:
        if total <= 0 or positive[place] / total < MIN_SHARE:
            break
        term = scorer.terms[place]
        seed = None if term in SEEDLESS else _strongest_seed(scorer, segment, query, row, term)
        share = float(positive[place] / total)
        code = ORDERS.get(strategy, CODES[term]) if term == "prior" else CODES[term]
        approximate = seed is not None and is_approximate(segment, query, term)
        found.append(Reason(code, None if seed is None else id_of(seed), share, approximate))
    return tuple(found)


def by_seed(scorer: Scorer, segment: Segment, query: Query, row: int, term: str) -> Double:
    """Split one term of a row's score by seed, shape (t,); it sums to the term.

    The prior and boosts have no seed and split into zeros. What a sequence model made does not split exactly: it
    is shared out by how much each seed's own block pulls, and no longer sums where none does.
    """
    weight = scorer.weights.get(term, 0.0)
    if term in segment.layout.slices:
        place = segment.layout.slices[term]
        seeds = segment.vectors[query.rows, place].astype(np.float64)
        stretch = query.stretch[segment.layout.index(term)]
        pulls = query.attention * (seeds @ segment.vectors[row, place].astype(np.float64))
        return weight * (_shared_out(pulls, segment, query, row, place) if np.isnan(stretch) else stretch * pulls)
    if term == "cooccurrence":
        strengths = [_cell(query.table, int(seed), row) for seed in query.rows]
        return weight * query.attention * np.array(strengths, dtype=np.float64)
    return np.zeros(len(query.rows))


def is_approximate(segment: Segment, query: Query, term: str) -> bool:
    """Tell whether a term of the score splits by seed only approximately."""
    return term in segment.layout.slices and bool(np.isnan(query.stretch[segment.layout.index(term)]).any())


def _shared_out(pulls: Double, segment: Segment, query: Query, row: int, place: slice) -> Double:
    term = float(query.vector[place].astype(np.float64) @ segment.vectors[row, place].astype(np.float64))
    toward = np.maximum(pulls, 0.0)
    return term * toward / max(toward.sum(), 1e-12)


def in_words(found: tuple[Reason, ...], title: Callable[[str], str]) -> str | None:
    """Say the strongest reason in words; `title` names a product by its id."""
    if not found:
        return None
    first = found[0]
    words = WORDS.get(first.code, first.code)
    return words.format(title(first.seed)) if first.seed is not None else words.replace(" {}", " your choice")


def _strongest_seed(scorer: Scorer, segment: Segment, query: Query, row: int, term: str) -> int | None:
    if not len(query.rows):
        return None
    return int(query.rows[np.argmax(by_seed(scorer, segment, query, row, term))])


def _cell(table: Cooccurrence, seed: int, row: int) -> float:
    columns, values = table.row(seed)
    hit = np.flatnonzero(columns == row)
    return float(values[hit[0]]) if len(hit) else 0.0
