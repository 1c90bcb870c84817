"""Autocompletion: queries and products for what a user has typed so far."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np

from recommender.core.blocks import NO_ROWS, WORDS, Mask
from recommender.core.scoring import Query
from recommender.ranking.pipeline import Pipeline
from recommender.ranking.request import Request
from recommender.ranking.results import Recommendation, item_dict
from recommender.ranking.searching import TextQuery
from recommender.ranking.strategies import ResolvedRequest
from recommender.search.current import CurrentIndex
from recommender.search.index import SearchIndex
from recommender.search.phrases import Phrases
from recommender.search.query import parse_prefix, parse_query
from recommender.search.settings import PRIOR_WEIGHT, SearchSettings

ALL_WORDS = 0.99  # coverage of a product that has all words of a phrase


@dataclass(frozen=True)
class Completions:
    """What a text may become.

    Parameters
    ----------
    queries
        Phrases of titles, categories and brands with the number of products that have all of their words, those
        that most products have first.
    items
        Products that match the text, whose last word may be unfinished; best first.
    """

    queries: tuple[tuple[str, int], ...]
    items: tuple[Recommendation, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the members of the HTTP response."""
        queries = [{"text": text, "count": count} for text, count in self.queries]
        return {"queries": queries, "items": [item_dict(item) for item in self.items]}


class Completer:
    """Completes what is typed, over one bundle.

    Parameters
    ----------
    pipeline
        Ranks the products.
    index
        Their words.
    settings
        Of the bundle's search.
    open_phrases
        Opens or makes the phrases, on first use.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        index: CurrentIndex,
        settings: SearchSettings,
        open_phrases: Callable[[], Phrases],
    ) -> None:
        self._pipeline, self._index, self._settings = pipeline, index, settings
        self._open_phrases, self._lock = open_phrases, Lock()
        self._phrases: Phrases | None = None

    def complete(self, text: str, queries: int, request: Request) -> Completions:
        """Return queries and products for a text; the request has its number of products and its filter."""
        index = self._index.get()
        words = parse_prefix(index, text)
        found = TextQuery(text, index.match(words), index.rows_of(text), None, self._settings)
        resolved = self._resolved(request, found)
        mask = self._pipeline.eligibility(replace(resolved, only=None)).subset
        allowed = None if mask is None else mask.mask
        return Completions(
            tuple(islice(self._queries(index, text, allowed), queries)), self._pipeline.items_of(resolved)
        )

    def _resolved(self, request: Request, text: TextQuery) -> ResolvedRequest:
        segment = self._pipeline.segment
        weights = dict.fromkeys(segment.layout.names, 0.0) | {"prior": PRIOR_WEIGHT, WORDS: 1.0}
        query = Query.free(np.zeros(segment.layout.d, dtype=np.float32))
        return ResolvedRequest(request, "autocomplete", query, weights, NO_ROWS, text=text)

    def _queries(self, index: SearchIndex, text: str, allowed: Mask | None) -> Iterator[tuple[str, int]]:
        """Yield the phrases that an eligible product has all words of, with the number of these products."""
        groups = self._pipeline.segment.groups
        for phrase in self._opened().completing(text):
            has = index.match(parse_query(index, phrase)).coverage >= ALL_WORDS
            rows = np.flatnonzero(has if allowed is None else has & allowed)
            if len(rows):
                yield phrase, len(np.unique(groups[rows]))

    def _opened(self) -> Phrases:
        with self._lock:
            if self._phrases is None:
                self._phrases = self._open_phrases()
            return self._phrases
