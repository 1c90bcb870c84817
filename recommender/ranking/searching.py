"""Search: which products match a text, and the terms of their scores that the text decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import NO_ROWS, WORDS, Double, Float, Layout, Mask, Rows
from recommender.core.scoring import Query, Scorer
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Planner, RowQuery
from recommender.search.current import CurrentIndex
from recommender.search.index import QueryWord, WordMatch
from recommender.search.query import parse_query
from recommender.search.settings import OF_BEST, PRIOR_WEIGHT, SearchSettings

IDENTIFIER = "identifier"
CONTENT = ("image", "text")
# More than all other terms of a score can add up to, without boosts.
IDENTIFIER_SCORE = 10.0
SIMILAR = 300  # products that match by their vectors alone, at most
SORT = "sort"
# Order of a result to the column that it goes by and whether the largest is first; "popular" goes by the prior.
SORTS: dict[str, tuple[str, bool]] = {
    "price_ascending": ("price", False),
    "price_descending": ("price", True),
    "newest": ("published_at", True),
    "popular": ("", True),
}


@dataclass(frozen=True)
class TextQuery:
    """The text of a search against the products as they are now.

    Parameters
    ----------
    text
        As it was typed.
    match
        How well each row matches its words.
    identified
        Rows whose id, SKU or barcode it is.
    content
        The query of the text, and of an image beside it, by the encoder; None without one.
    settings
        With the relevance floor.
    has_image
        Whether an image was given, too: the floor is that of texts.
    """

    text: str
    match: WordMatch
    identified: Rows
    content: Query | None
    settings: SearchSettings
    has_image: bool = False

    def terms(self, weights: Mapping[str, float], most: float) -> dict[str, Double]:
        """Return the terms that the text adds to scores, each of shape (n,).

        Parameters
        ----------
        most
            What the request itself may add to or take off a score.
        """
        terms = {}
        if len(self.identified):
            terms[IDENTIFIER] = np.zeros(len(self.match.values))
            terms[IDENTIFIER][self.identified] = IDENTIFIER_SCORE + most
        if weight := weights.get(WORDS, 0.0):
            terms[WORDS] = weight * self.match.values.astype(np.float64)
        return terms

    def matches(
        self, planner: Planner, scorer: Scorer, eligibility: Eligibility, excluded: Rows, by_words: bool
    ) -> Mask:
        """Return the eligible rows that reach the relevance floor, by their words or their vectors, shape (n,).

        Parameters
        ----------
        scorer
            Of the content alone.
        eligibility
            Of all variants.
        by_words
            Whether words count.
        """
        mask = np.zeros(len(self.match.values), dtype=bool)
        if by_words:
            coverage = self.match.coverage
            allowed = coverage if eligibility.subset is None else coverage * eligibility.subset.mask
            floor = max(self.settings.min_coverage, OF_BEST * float(allowed.max(initial=0.0)))
            mask |= allowed >= floor
        if self.content is not None:
            mask[self._similar(planner, scorer, self.content, eligibility, excluded)] = True
        mask[self.identified] = True
        if eligibility.subset is not None:
            mask &= eligibility.subset.mask
        mask[excluded] = False
        return mask

    def _similar(
        self, planner: Planner, scorer: Scorer, content: Query, eligibility: Eligibility, excluded: Rows
    ) -> Rows:
        if not scorer.weighted(content).any():
            return NO_ROWS
        best = planner.search(scorer, RowQuery(content, SIMILAR, excluded), eligibility).selection
        floor = self.settings.min_similarity
        if floor is None or self.has_image or not len(best.rows):
            return best.rows
        return best.rows[best.scores >= max(floor, OF_BEST * float(best.scores[0]))]


def corrections(words: Sequence[QueryWord]) -> tuple[str, ...]:
    """Return the warnings that name the words that no product has, and what was searched instead."""
    corrected = [f"{word.word} → {', '.join(word.corrected)}" for word in words if word.corrected]
    unknown = [word.word for word in words if not word.terms]
    return (
        *((f"words corrected: {'; '.join(corrected)}",) if corrected else ()),
        *((f"no product has the words: {', '.join(unknown)}",) if unknown else ()),
    )


def fewer_words(words: Sequence[QueryWord]) -> list[str]:
    """Return texts of some of the words of a query: those that products have, then each of them alone."""
    known = [word.word for word in words if word.terms]
    together = [" ".join(known)] if 1 < len(known) < len(words) else []
    alone = known if len(words) > 1 else []
    return [*together, *alone]


def order_of(values: Double | Float, largest_first: bool) -> Double:
    """Return values in (0, 1] that rank rows by others, 0 where these are NaN; equal ones stay equal."""
    known = np.isfinite(values)
    distinct, positions = np.unique(values[known], return_inverse=True)
    order = np.zeros(len(values))
    order[known] = (positions + 1 if largest_first else len(distinct) - positions) / max(len(distinct), 1)
    return order


def similarity_weights(
    layout: Layout, weights: Mapping[str, float], content: Query | None, given: Mapping[str, float]
) -> dict[str, float]:
    """Return the weights of the similarity to a query of text and image: of the blocks that it has, sum 1.

    Parameters
    ----------
    layout
        Of the blocks.
    weights
        Of the request.
    given
        Those that the request itself has; a block that it gives no weight has none.
    """
    blocks = [
        name
        for name, columns in layout.slices.items()
        if content is not None and content.vector[columns].any() and given.get(name, 1.0)
    ]
    total = sum(weights.get(name, 0.0) for name in blocks)
    shares = {name: weights[name] / total if total else 1 / len(blocks) for name in blocks}
    return dict.fromkeys(weights, 0.0) | shares


class TextQueries:
    """Makes the queries of texts.

    Parameters
    ----------
    index
        The products' words.
    layout
        Of the blocks.
    settings
        Of the bundle.
    """

    def __init__(self, index: CurrentIndex, layout: Layout, settings: SearchSettings) -> None:
        self.index, self.settings, self._layout = index, settings, layout

    def query(self, text: str, content: Query | None, has_image: bool) -> TextQuery:
        """Return the query of a text; `content` is its query by the encoder."""
        index = self.index.get()
        match = index.match(parse_query(index, text))
        return TextQuery(text, match, index.rows_of(text), content, self.settings, has_image)

    def weights(self, learned: Mapping[str, float], content: Query | None) -> dict[str, float]:
        """Return the weights of a search without history and without weights of its own."""
        weights = similarity_weights(self._layout, learned, content, {}) | {WORDS: self.settings.words_weight}
        if content is None:  # there is no similarity to weigh, and weights of the request may be 0 for words
            weights |= {name: learned[name] for name in CONTENT if name in learned}
        return weights | ({"prior": PRIOR_WEIGHT} if "prior" in learned else {})
