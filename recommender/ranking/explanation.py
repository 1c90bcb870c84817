"""Explanations: the terms of a score, split by seed item where that is exact, as reasons and as text."""

from collections.abc import Callable

import numpy as np

from recommender.core.blocks import Double
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.scoring import Query, Repeats, Scorer
from recommender.core.segment import Segment
from recommender.items import Attributes
from recommender.ranking.results import Reason, Recommendation
from recommender.retrieval.selection import Selection

CODES = {
    "image": "visual_similarity",
    "text": "text_similarity",
    "category": "same_category",
    "behaviour": "your_history",
    "cooccurrence": "bought_together",
    "prior": "popular",
    "repeat": "bought_before",
    "boost": "promoted",
    "profile": "your_profile",
}
# Strategies in which another order replaces the prior, and the code of that order.
ORDER_CODES = {
    "trending": "trending",
    "new": "new_item",
    "recently_viewed": "your_history",
    "buy_again": "bought_before",
}
TEXTS = {
    "visual_similarity": "Similar look to {}",
    "text_similarity": "Described like {}",
    "same_category": "Same kind as {}",
    "your_history": "Chosen by people who chose {}",
    "bought_together": "Often chosen together with {}",
    "popular": "Popular now",
    "promoted": "Recommended by the shop",
    "trending": "Chosen by many lately",
    "new_item": "New",
    "your_profile": "Popular with customers like you",
    "bought_before": "Bought before",
}
SEEDLESS_TERMS = ("prior", "repeat", "profile", "boost")
# Units of an age: the least days that are shown in the unit, the days of one, its name.
AGE_UNITS = ((730, 365.25, "years"), (60, 30.44, "months"), (14, 7, "weeks"), (0, 1, "days"))
MIN_SHARE = 0.05  # of the positive part of a score, for a term to be a reason
MAX_REASONS = 3


class Explainer:
    """Explains the rows of one bundle.

    Parameters
    ----------
    attributes
        Knows ids and titles.
    segment
        The items.
    """

    def __init__(self, attributes: Attributes, segment: Segment) -> None:
        self._attributes, self._segment = attributes, segment

    def items(
        self, best: Selection, scorer: Scorer, query: Query, strategy: str, pinned: frozenset[int]
    ) -> tuple[Recommendation, ...]:
        """Return selected rows with their explanations, best first."""
        rows, parts = best.rows.tolist(), scorer.parts(query, best.rows)
        return tuple(
            self.item(row, rank, terms, scorer, query, strategy, row in pinned)
            for rank, (row, terms) in enumerate(zip(rows, parts, strict=True), start=1)
        )

    def item(
        self,
        row: int,
        rank: int,
        parts: Double,
        scorer: Scorer,
        query: Query,
        strategy: str,
        pinned: bool = False,
    ) -> Recommendation:
        """Return one row with its explanation; `parts` are the terms of its score, see `Scorer.parts`."""
        id_of = self._attributes.id_of
        found = reasons(scorer, self._segment, query, row, parts, id_of, strategy)
        if pinned:
            found = (Reason("promoted", None, 0.0), *found)
        named = {name: float(value) for name, value in zip(scorer.terms, parts, strict=True)}
        score = float(scorer.total(parts[None])[0])
        text = text_of(found, self._title, bought_text(query.repeats, row))
        return Recommendation(id_of(row), rank, score, named, found, text)

    def _title(self, item_id: str) -> str:
        row = self._attributes.row_of(item_id)
        title = self._attributes.value("title", row) if row >= 0 and "title" in self._attributes.names else None
        return str(title or item_id)


def reasons(
    scorer: Scorer,
    segment: Segment,
    query: Query,
    row: int,
    parts: Double,
    id_of: Callable[[int], str],
    strategy: str = "",
) -> tuple[Reason, ...]:
    """Return the strongest reasons for one row.

    Parameters
    ----------
    parts
        The terms of its score, shape (M + 2,) or, with boosts, (M + 3,).
    id_of
        Row to id.
    strategy
        In some, another order replaces the prior.
    """
    positive = np.maximum(parts, 0.0)
    total = positive.sum()
    found = []
    for position in np.argsort(-positive, kind="stable")[:MAX_REASONS]:
        if total <= 0 or positive[position] / total < MIN_SHARE:
            break
        term = scorer.terms[position]
        seed = None if term in SEEDLESS_TERMS else _strongest_seed(scorer, segment, query, row, term)
        share = float(positive[position] / total)
        code = _prior_code(segment, row, strategy) if term == "prior" else CODES[term]
        approximate = seed is not None and is_approximate(segment, query, term)
        found.append(Reason(code, None if seed is None else id_of(seed), share, approximate))
    return tuple(found)


def _prior_code(segment: Segment, row: int, strategy: str) -> str:
    """Return the code of the prior, or of the order that replaces it; the prior of a new product is predicted."""
    names = segment.layout.names
    if "behaviour" in names and not segment.present[row, names.index("behaviour")]:
        return ORDER_CODES.get(strategy, "new_item")
    return ORDER_CODES.get(strategy, CODES["prior"])


def by_seed(scorer: Scorer, segment: Segment, query: Query, row: int, term: str) -> Double:
    """Split one term of a row's score by seed, shape (t,); the split sums to the term.

    The prior and boosts have no seed and split into zeros. A block that a sequence model made does not split
    exactly: its term is shared in proportion to the similarity of each seed's own block, and no longer sums to the
    term where no seed is similar.
    """
    weight = scorer.weights.get(term, 0.0)
    if term in segment.layout.slices:
        columns = segment.layout.slices[term]
        seeds = segment.vectors[query.rows, columns].astype(np.float64)
        scale = query.block_scales[segment.layout.index(term)]
        similarity = query.attention * (seeds @ segment.vectors[row, columns].astype(np.float64))
        if np.isnan(scale):
            return weight * _shared(similarity, segment, query, row, columns)
        return weight * (scale * similarity)
    if term == "cooccurrence":
        strengths = [_cell(query.table, int(seed), row) for seed in query.rows]
        return weight * query.attention * np.array(strengths, dtype=np.float64)
    return np.zeros(len(query.rows))


def is_approximate(segment: Segment, query: Query, term: str) -> bool:
    """Return whether a term of the score splits by seed only approximately."""
    return term in segment.layout.slices and bool(np.isnan(query.block_scales[segment.layout.index(term)]).any())


def bought_text(repeats: Repeats, row: int) -> str:
    """Return how often and when a product was bought; empty if it was not.

    >>> rows = np.array([7], dtype=np.int32)
    >>> bought_text(Repeats(rows, np.ones(1), np.array([5.0]), np.array([21.5])), 7)
    'Bought 5 times, last 3 weeks ago'
    """
    position = int(np.searchsorted(repeats.rows, row))
    if position == len(repeats.rows) or repeats.rows[position] != row:
        return ""
    count, age = int(repeats.counts[position]), int(repeats.ages[position])
    number, unit = next((int(age // days), unit) for least, days, unit in AGE_UNITS if age >= least)
    when = ("today", "yesterday")[age] if age < 2 else f"{number} {unit} ago"
    return f"Bought {when}" if count == 1 else f"Bought {count} times, last {when}"


def text_of(found: tuple[Reason, ...], title: Callable[[str], str], bought: str = "") -> str | None:
    """Return the strongest reason as text.

    Parameters
    ----------
    title
        Returns a product's title by its id.
    bought
        See `bought_text`.
    """
    if not found:
        return None
    first = found[0]
    if first.code == "bought_before" and bought:
        return bought
    text = TEXTS.get(first.code, first.code)
    return text.format(title(first.seed)) if first.seed is not None else text.replace(" {}", " your choice")


def _shared(similarity: Double, segment: Segment, query: Query, row: int, columns: slice) -> Double:
    term = float(query.vector[columns].astype(np.float64) @ segment.vectors[row, columns].astype(np.float64))
    positive = np.maximum(similarity, 0.0)
    return term * positive / max(positive.sum(), 1e-12)


def _strongest_seed(scorer: Scorer, segment: Segment, query: Query, row: int, term: str) -> int | None:
    if not len(query.rows):
        return None
    return int(query.rows[np.argmax(by_seed(scorer, segment, query, row, term))])


def _cell(table: Cooccurrence, seed: int, row: int) -> float:
    columns, values = table.row(seed)
    hit = np.flatnonzero(columns == row)
    return float(values[hit[0]]) if len(hit) else 0.0
