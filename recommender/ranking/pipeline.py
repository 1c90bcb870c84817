"""How every question is answered: scorer, rules, search, arrangement, presentation."""

from collections.abc import Mapping, Sequence

import numpy as np

from recommender.core.blocks import Double, Mask
from recommender.core.scoring import Scorer
from recommender.filters import Subset, SubsetCache, fields_of, parse
from recommender.items.products import Products
from recommender.ranking.presentation import Presenter
from recommender.ranking.request import Filter, Options
from recommender.ranking.rerank import Arranged, Arrangement, arrange
from recommender.ranking.rerankers import create
from recommender.ranking.results import Recommendations, RecommendationTable
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Planner, RowQuery, RowResult


class Answering:
    """Answers questions over one bundle as they are put in rows.

    Parameters
    ----------
    products
        What is known of them.
    search
        Finds and scores rows.
    generation
        The bundle's name.
    """

    def __init__(self, products: Products, search: Planner, generation: str) -> None:
        self.attributes = products.attributes
        self.changes = products.changes
        self.search = search
        self.segment = search.segment
        self.presenter = Presenter(products.attributes, search.segment)
        self._products = products
        self._generation = generation
        self._subsets = SubsetCache(products.attributes, search.segment.groups)

    def answer(
        self,
        question: RowQuery,
        scorer: Scorer,
        strategy: str,
        options: Options,
        warnings: tuple[str, ...] = (),
        seed_row: int | None = None,
        fallback: str | None = None,
        only: Mask | None = None,
    ) -> Recommendations:
        """Answer one question.

        Parameters
        ----------
        seed_row
            The product that `same_as_seed` means.
        only
            Rows beside which nothing may be answered, shape (n,).
        """
        rules = self.rules(options, seed_row, only)
        arranged = self._arranged(question, scorer, rules, options)
        if arranged.relaxed:
            warnings = (*warnings, "too few products keep to max_per; the list is filled up with others")
        found = arranged.found
        return Recommendations(
            items=self.presenter.items(arranged, scorer, question.query, strategy, bool(options.get("explain"))),
            strategy=strategy,
            plan=found.plan,
            eligible=found.eligible,
            candidates=found.candidates,
            generation=self._generation,
            fallback_used=fallback,
            warnings=warnings,
            describe=self._products.described,
        )

    def table(
        self, questions: Sequence[RowQuery], scorers: Sequence[Scorer], strategy: str, k: int, options: Options
    ) -> RecommendationTable:
        """Answer many questions, each by its scorer; diversity and pins are for single ones."""
        rows = np.full((len(questions), k), -1, dtype=np.int32)
        scores = np.full(rows.shape, np.nan)
        rules, plan = self.rules(options), options.get("plan", "auto")
        for scorer in {id(scorer): scorer for scorer in scorers}.values():
            lines = [line for line, own in enumerate(scorers) if own is scorer]
            answers = self.search.search_many(scorer, [questions[line] for line in lines], rules, plan)
            for line, found in zip(lines, answers, strict=True):
                size = len(found.selection.rows)
                rows[line, :size], scores[line, :size] = found.selection.rows, found.selection.scores
        known = {row: self.attributes.id_of(row) for row in np.unique(rows).tolist() if row >= 0}
        ids = np.array([known.get(row) for row in rows.ravel().tolist()], dtype=object).reshape(rows.shape)
        return RecommendationTable(rows, scores, ids, [strategy] * len(questions))

    def scorer(
        self,
        weights: Mapping[str, float],
        options: Options,
        prior: Double | None = None,
        seed_row: int | None = None,
    ) -> Scorer:
        """Return the scorer of one question; `prior` stands in for the bundle's own, shape (n,)."""
        own = self.segment.prior if prior is None else prior.astype(np.float32)
        segment, boost = self.segment, self._boost(options, seed_row)
        return Scorer(segment.vectors, own, segment.layout, weights, boost, segment.places)

    def mask(self, filter: Filter, seed_row: int | None = None) -> Mask:
        """Return the rows that a filter keeps, shape (n,)."""
        changes = self.changes()
        overlay = changes.by_row or None
        return self._subsets.subset(filter, seed_row, overlay, changes.revision, trusted=True).mask

    def rules(self, options: Options, seed_row: int | None = None, only: Mask | None = None) -> Eligibility:
        """Return what may be answered: what is in stock, unless the filter itself asks for availability."""
        collapse = options.get("variants", "collapse") == "collapse"
        filter, changes = options.get("filter"), self.changes()
        whole_range = options.get("stock") == "all" or (filter is not None and _asks_for_stock(filter))
        if filter is None and only is None:
            return changes.rules(self.segment, collapse, whole_range)
        allowed, overlay = changes.allowed(whole_range), changes.by_row or None
        if only is None:
            subset = self._subsets.subset(
                filter, seed_row, overlay, changes.revision, within=allowed, trusted=True
            )
            return Eligibility(self.segment, subset, collapse)
        masks = [allowed, only, None if filter is None else self.mask(filter, seed_row)]
        kept = np.logical_and.reduce([mask for mask in masks if mask is not None])
        return Eligibility(self.segment, Subset(kept, self.segment.groups), collapse)

    def _arranged(self, question: RowQuery, scorer: Scorer, rules: Eligibility, options: Options) -> Arranged:
        def ask(one: RowQuery) -> RowResult:
            return self.search.search(scorer, one, rules, options.get("plan", "auto"))

        diversity, pin = options.get("diversity"), options.get("pin")
        if not diversity and not pin:
            return Arranged(ask(question))
        pinned = {place: self.attributes.row_of(item_id) for place, item_id in (pin or {}).items()}
        pins = {place: row for place, row in pinned.items() if row >= 0}
        arrangement = Arrangement(create(diversity), pins)
        return arrange(ask, scorer, question, rules, arrangement, self.attributes)

    def _boost(self, options: Options, seed_row: int | None) -> Double | None:
        boosts = options.get("boost")
        if not boosts:
            return None
        total = np.zeros(self.segment.n)
        for boost in boosts:
            total += float(boost["add"]) * self.mask(boost["when"], seed_row)
        return total


def _asks_for_stock(filter: Filter) -> bool:
    return "availability" in fields_of(parse(filter, trusted=True))
