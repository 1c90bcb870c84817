"""Answers that ask for no likeness: the popular, the newest, or an order from elsewhere."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from recommender.core.blocks import Double, Mask, Rows
from recommender.core.scoring import Query, Scorer
from recommender.ranking.orders import newest
from recommender.ranking.pipeline import Answering
from recommender.ranking.request import Options, count
from recommender.ranking.results import Recommendations, RecommendationTable
from recommender.retrieval.planner import RowQuery

NO_POPULARITY = "this bundle knows no popularity; products are in order of id"


class Ordered:
    """Answers by the prior alone, or by an order that stands in for it; always the exact plan.

    Parameters
    ----------
    answering
        Of the bundle.
    terms
        Of the score; all but the prior weigh nothing here.
    """

    def __init__(self, answering: Answering, terms: Iterable[str]) -> None:
        self._answering = answering
        self._weights = dict.fromkeys(terms, 0.0) | {"prior": 1.0}
        segment = answering.segment
        self._query = Query.free(np.zeros(segment.layout.d, np.float32))
        self._anything_popular = bool(segment.prior[np.asarray(answering.attributes.ids.in_order)].any())

    def popular(
        self,
        k: int,
        excluded: Rows,
        options: Options,
        fallback: str | None = None,
        warnings: tuple[str, ...] = (),
    ) -> Recommendations:
        """Return the products chosen most lately; `fallback` is set where they stand in for something else."""
        if not self._anything_popular:
            warnings = (*warnings, NO_POPULARITY)
        question, scorer = RowQuery(self._query, count(k), excluded), self._scorer(options)
        return self._answering.answer(question, scorer, "popular", _exact(options), warnings, None, fallback)

    def popular_table(self, questions: Sequence[RowQuery], k: int, options: Options) -> RecommendationTable:
        """Answer many questions by what is popular."""
        asked = [replace(question, query=self._query) for question in questions]
        return self._answering.table(asked, [self._scorer(options)] * len(asked), "popular", k, _exact(options))

    def newest(self, k: int, excluded: Rows, options: Options) -> Recommendations:
        """Return the products published last; where no dates are known, the popular."""
        order = newest(self._answering.attributes)
        if order is None:
            return self.popular(k, excluded, options, "popular", ("this catalogue has no published_at",))
        return self.by(order, "new", k, excluded, options)

    def by(
        self, order: Double, strategy: str, k: int, excluded: Rows, options: Options, only: Mask | None = None
    ) -> Recommendations:
        """Return the products of largest value in an order, see `Recommender.ordered`."""
        question, scorer = RowQuery(self._query, count(k), excluded), self._scorer(options, order)
        return self._answering.answer(question, scorer, strategy, _exact(options), only=only)

    def _scorer(self, options: Options, order: Double | None = None) -> Scorer:
        return self._answering.scorer(self._weights, options, order)


def _exact(options: Options) -> Options:
    return {**options, "plan": "exact"}
