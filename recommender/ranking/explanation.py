"""Explanations: the terms of a score, split by seed item where that is exact, as reasons and as text."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from recommender.core.blocks import Double, Rows
from recommender.core.scoring import Query, Repeats, Scorer
from recommender.core.segment import Segment
from recommender.items import Attributes
from recommender.ranking.results import Reason, Recommendation

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
    "words": "matching_words",
    "identifier": "matching_identifier",
    "sort": "sorted",
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
    "explored": "Something new to discover",
    "matching_words": "Has the words of the search",
    "matching_identifier": "Has this id, SKU or barcode",
    "sorted": "In the order asked for",
}
SEEDLESS_TERMS = ("prior", "repeat", "profile", "boost", "words", "identifier", "sort")
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
        self,
        rows: Rows,
        ranks: Iterable[int],
        scorer: Scorer,
        query: Query,
        strategy: str = "",
        first: Mapping[int, str] = MappingProxyType({}),
    ) -> tuple[Recommendation, ...]:
        """Return rows with ranks and explanations, in their order; `first` has reasons that go first, by row."""
        parts = scorer.parts(query, rows)
        positive = np.maximum(parts, 0.0)
        shares = positive / np.maximum(positive.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        strongest = np.argsort(-positive, axis=1, kind="stable")[:, :MAX_REASONS]
        seeds = StrongestSeeds(scorer, self._segment, query, rows)
        columns = (rows.tolist(), ranks, scorer.total(parts).tolist(), parts.tolist(), shares.tolist())
        items = []
        for position, (row, rank, score, terms, share) in enumerate(zip(*columns, strict=True)):
            wanted = [column for column in strongest[position].tolist() if share[column] >= MIN_SHARE]
            found = tuple(self._reason(seeds, position, column, share[column], strategy) for column in wanted)
            if row in first:
                found = (Reason(first[row], None, 0.0), *found)
            text = text_of(found, self._title, bought_text(query.repeats, row))
            named = dict(zip(scorer.terms, terms, strict=True))
            items.append(Recommendation(self._attributes.id_of(row), rank, score, named, found, text))
        return tuple(items)

    def _reason(self, seeds: "StrongestSeeds", position: int, column: int, share: float, strategy: str) -> Reason:
        """Return the reason that a term, the one in a column of the parts, is for the row at a position."""
        term = seeds.scorer.terms[column]
        seed = seeds.of(term, position)
        row = int(seeds.rows[position])
        code = _prior_code(self._segment, row, strategy) if term == "prior" else CODES[term]
        approximate = seed is not None and is_approximate(self._segment, seeds.query, term)
        return Reason(code, None if seed is None else self._attributes.id_of(seed), share, approximate)

    def _title(self, item_id: str) -> str:
        row = self._attributes.row_of(item_id)
        title = self._attributes.value("title", row) if row >= 0 and "title" in self._attributes.names else None
        return str(title or item_id)


class StrongestSeeds:
    """The seed that adds most to a term of the score of each of some rows; a term is split when it is asked for.

    Parameters
    ----------
    scorer, segment, query
        Of the request.
    rows
        Shape (c,).
    """

    def __init__(self, scorer: Scorer, segment: Segment, query: Query, rows: Rows) -> None:
        self.scorer, self.query, self.rows = scorer, query, rows
        self._segment = segment
        self._strongest: dict[str, list[int]] = {}

    def of(self, term: str, position: int) -> int | None:
        """Return the row of the seed for the row at a position; None if the term has no seeds."""
        if term in SEEDLESS_TERMS or not len(self.query.rows):
            return None
        if term not in self._strongest:
            split = by_seed(self.scorer, self._segment, self.query, self.rows, term)
            self._strongest[term] = self.query.rows[np.argmax(split, axis=1)].tolist()
        return self._strongest[term][position]


def _prior_code(segment: Segment, row: int, strategy: str) -> str:
    """Return the code of the prior, or of the order that replaces it; the prior of a new product is predicted."""
    names = segment.layout.names
    if "behaviour" in names and not segment.present[row, names.index("behaviour")]:
        return ORDER_CODES.get(strategy, "new_item")
    return ORDER_CODES.get(strategy, CODES["prior"])


def by_seed(scorer: Scorer, segment: Segment, query: Query, rows: Rows, term: str) -> Double:
    """Split one term of the scores of rows by seed, shape (c, t); the split sums to the term.

    The prior and boosts have no seed and split into zeros. A block that a sequence model made does not split
    exactly: its term is shared in proportion to the similarity of each seed's own block, and no longer sums to the
    term where no seed is similar.
    """
    weight = scorer.weights.get(term, 0.0)
    if term in segment.layout.slices:
        columns = segment.layout.slices[term]
        items, seeds = (segment.vectors[each, columns].astype(np.float64) for each in (rows, query.rows))
        similarity = query.attention * (items @ seeds.T)
        scale = query.block_scales[segment.layout.index(term)]
        if np.isnan(scale):
            return weight * _shared(similarity, items @ query.vector[columns].astype(np.float64))
        return weight * (scale * similarity)
    if term == "cooccurrence":
        return weight * query.attention * query.table.cells(query.rows, rows).T
    return np.zeros((len(rows), len(query.rows)))


def is_approximate(segment: Segment, query: Query, term: str) -> bool:
    """Return whether a term of the score splits by seed only approximately."""
    return term in segment.layout.slices and bool(np.isnan(query.block_scales[segment.layout.index(term)]))


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


def _shared(similarity: Double, terms: Double) -> Double:
    """Share the term of each row, shape (c,), in proportion to the positive similarities, shape (c, t)."""
    positive = np.maximum(similarity, 0.0)
    return terms[:, None] * positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-12)
