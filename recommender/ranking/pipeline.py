"""The pipeline: resolve a request, retrieve candidates, score them exactly, re-rank and explain them."""

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from typing import cast
from weakref import ref

import numpy as np

from recommender.core.blocks import Double, Mask
from recommender.core.scoring import Scorer
from recommender.filters import Node, Subset, SubsetCache
from recommender.items.products import Products
from recommender.ranking.explanation import Explainer
from recommender.ranking.others import Others
from recommender.ranking.request import Boost, Request
from recommender.ranking.rerank import MAX_POOL, Ranked, rerank
from recommender.ranking.results import Recommendation, Recommendations, RecommendationTable
from recommender.ranking.strategies import ResolvedRequest, Strategies
from recommender.ranking.why_not import ItemStatus, WhyNot
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Planner, RowQuery, RowResult

RELAXED = f"max_per relaxed: of the best {MAX_POOL:,} products, fewer than k satisfy it"
SCORERS = 256  # cached, by weights
FOUND = 8  # results that a query remembers, of at most 2 kB each


class Pipeline:
    """Answers requests over one bundle.

    Parameters
    ----------
    products
        The products as they are now.
    planner
        Retrieves and scores rows.
    strategies
        Resolve requests.
    generation
        The bundle's name.
    """

    def __init__(self, products: Products, planner: Planner, strategies: Strategies, generation: str) -> None:
        self.products, self.planner, self.segment = products, planner, planner.segment
        self.explainer = Explainer(products.attributes, planner.segment)
        self._strategies, self._generation = strategies, generation
        self._subsets = SubsetCache(products.attributes, planner.segment.groups)
        self._plain_scorer = lru_cache(SCORERS)(self._new_scorer)

    def run(self, request: Request) -> Recommendations:
        """Answer one request."""
        resolved = self._strategies.resolve(request)
        scorer, eligibility = self.scorer(resolved), self.eligibility(resolved)
        ranked = self._ranked(resolved, scorer, eligibility)
        result = ranked.result
        return Recommendations(
            items=self._items(resolved, scorer, ranked),
            strategy=resolved.strategy,
            plan=result.plan,
            eligible=result.eligible,
            candidates=result.candidates,
            generation=self._generation,
            fallback_used=resolved.fallback_used,
            warnings=_warnings(resolved, ranked),
            describe=self.products.described,
        )

    def run_many(self, requests: Sequence[Request]) -> RecommendationTable:
        """Answer many requests, each exactly as `run` would; those of the same rules by matrix products.

        Returns
        -------
        RecommendationTable
            As wide as the largest k.
        """
        return self.run_resolved(self.resolve_many(requests))

    def resolve_many(self, requests: Sequence[Request]) -> list[ResolvedRequest]:
        """Resolve many requests."""
        return [self._strategies.resolve(request) for request in requests]

    def run_resolved(
        self, resolved: Sequence[ResolvedRequest], rules: Request | None = None
    ) -> RecommendationTable:
        """Answer many resolved requests; with `rules`, under its weights, filter, plan and k."""
        if rules is not None:
            resolved = self._strategies.under(resolved, rules)
        groups: dict[Hashable, list[int]] = {}
        for position, one in enumerate(resolved):
            groups.setdefault(_rules_of(one), []).append(position)
        table = RecommendationTable.empty(
            [one.strategy for one in resolved], max((one.request.k for one in resolved), default=0)
        )
        for positions in groups.values():
            group = [resolved[position] for position in positions]
            scorer, eligibility = self.scorer(group[0]), self.eligibility(group[0])
            results = self._ranked_many(group, scorer, eligibility)
            for position, one, ranked in zip(positions, group, results, strict=True):
                best = ranked.result.selection
                items = self._items(one, scorer, ranked) if one.request.explain else None
                table.put(position, best.rows, best.scores, items, _warnings(one, ranked))
        return table.with_ids(self.products.attributes.id_of)

    def why_not(self, request: Request, item_ids: Iterable[str]) -> list[ItemStatus]:
        """Return the rank of items for a request with their explanation, or why they are not eligible."""
        resolved = self._strategies.resolve_history(request)
        scorer, eligibility = self.scorer(resolved), self.eligibility(resolved)
        return WhyNot(self.products, self.explainer, resolved, scorer, eligibility).of([*item_ids])

    def scorer(self, resolved: ResolvedRequest) -> Scorer:
        """Return the scorer of a request."""
        boosts = resolved.request.boosts
        if resolved.order is None and not boosts:
            return self._plain_scorer(tuple(resolved.weights.items()))
        segment = self.segment
        prior = segment.prior if resolved.order is None else resolved.order
        boost = self._boost(boosts, resolved.seed_row) if boosts else None
        return Scorer(segment.vectors, prior, segment.layout, resolved.weights, boost, segment.id_ranks)

    def eligibility(self, resolved: ResolvedRequest) -> Eligibility:
        """Return which rows may be returned: what is in stock, unless the filter itself names availability."""
        request, node, overlay = resolved.request, resolved.request.node, self.products.overlay_state()
        collapse = resolved.variants == "collapse"
        whole_range = request.stock == "all" or (node is not None and request.names_availability)
        if node is None and resolved.only is None:
            return overlay.eligibility(self.segment, collapse, whole_range)
        allowed = overlay.allowed(whole_range)
        if node is not None and resolved.only is None:
            return Eligibility(self.segment, self._subset(node, resolved.seed_row, allowed), collapse)
        masks = [allowed, resolved.only, None if node is None else self.mask(node, resolved.seed_row)]
        mask = np.logical_and.reduce([mask for mask in masks if mask is not None])
        return Eligibility(self.segment, Subset(mask, self.segment.groups), collapse)

    def mask(self, node: Node, seed_row: int | None = None) -> Mask:
        """Return the rows that match a filter, shape (n,)."""
        return self._subset(node, seed_row).mask

    def _subset(self, node: Node, seed_row: int | None, within: Mask | None = None) -> Subset:
        overlay = self.products.overlay_state()
        return self._subsets.subset(node, seed_row, overlay.attributes, overlay.version, within=within)

    def _new_scorer(self, weights: tuple[tuple[str, float], ...]) -> Scorer:
        segment = self.segment
        return Scorer(segment.vectors, segment.prior, segment.layout, dict(weights), None, segment.id_ranks)

    def _boost(self, boosts: Sequence[Boost], seed_row: int | None) -> Double:
        total = np.zeros(self.segment.n)
        for boost in boosts:
            total += boost.add * self.mask(boost.when, seed_row)
        return total

    def _ranked(self, resolved: ResolvedRequest, scorer: Scorer, eligibility: Eligibility) -> Ranked:
        request, ranked = resolved.request, self._reranked(resolved, scorer, eligibility)
        if request.floor is None and request.exploration is None:
            return ranked
        others = Others(self.products, self.planner, resolved, scorer, eligibility)
        if request.floor is not None:
            ranked = others.with_floor(ranked, request.floor)
        if request.exploration is not None:
            ranked = others.explored(ranked, request.exploration)
        return ranked

    def _reranked(self, resolved: ResolvedRequest, scorer: Scorer, eligibility: Eligibility) -> Ranked:
        request = resolved.request
        row_query = RowQuery(resolved.query, request.k, resolved.excluded, resolved.table_row)
        if not request.rerankers and not request.pin:
            return Ranked(self._search(scorer, row_query, eligibility, resolved.plan))

        def search(wider: RowQuery) -> RowResult:
            return self.planner.search(scorer, wider, eligibility, resolved.plan)

        attributes = self.products.attributes
        rows = {position: attributes.row_of(item_id) for position, item_id in (request.pin or {}).items()}
        pins = {position: row for position, row in rows.items() if row >= 0}
        return rerank(search, scorer, row_query, eligibility, request.rerankers, pins, attributes)

    def _search(self, scorer: Scorer, row_query: RowQuery, eligibility: Eligibility, plan: str) -> RowResult:
        """Search; the query of a history or of no one remembers what was found while the products stay eligible.

        Shoppers load several pages between two of their events.
        """
        if row_query.table_row is not None:  # looking it up is no faster
            return self.planner.search(scorer, row_query, eligibility, plan)
        found, rules = row_query.query.found, (row_query.k, plan, row_query.excluded.tobytes())
        known_scorer, known_eligibility, result = found.get(rules, (None, ref(eligibility), None))
        if known_scorer is scorer and known_eligibility() is eligibility:
            return cast(RowResult, result)
        result = self.planner.search(scorer, row_query, eligibility, plan)
        if len(found) >= FOUND:
            found.clear()
        found[rules] = scorer, ref(eligibility), result  # the masks of eligible products are large
        return result

    def _ranked_many(
        self, resolved: Sequence[ResolvedRequest], scorer: Scorer, eligibility: Eligibility
    ) -> Iterable[Ranked]:
        """Rank requests that share their rules."""
        first = resolved[0].request
        if first.rerankers or first.pin or first.floor or first.exploration:
            return (self._ranked(one, scorer, eligibility) for one in resolved)
        queries = [RowQuery(one.query, one.request.k, one.excluded, one.table_row) for one in resolved]
        return map(Ranked, self.planner.search_many(scorer, queries, eligibility, resolved[0].plan))

    def _items(self, resolved: ResolvedRequest, scorer: Scorer, ranked: Ranked) -> tuple[Recommendation, ...]:
        best = ranked.result.selection
        if resolved.request.explain:
            ranks, query = range(1, len(best.rows) + 1), resolved.query
            first = dict.fromkeys(ranked.pinned, "promoted") | dict.fromkeys(ranked.explored, "explored")
            items = self.explainer.items(best.rows, ranks, scorer, query, resolved.strategy, first)
        else:
            ids, scores = self.products.attributes.ids.ids_of(best.rows), best.scores.tolist()
            items = tuple(map(Recommendation, ids, range(1, len(ids) + 1), scores))
        if ranked.propensities is None:
            return items
        logged = zip(items, best.rows.tolist(), ranked.propensities, strict=True)
        return tuple(
            item._replace(propensity=propensity, explored=row in ranked.explored)
            for item, row, propensity in logged
        )


def _warnings(resolved: ResolvedRequest, ranked: Ranked) -> tuple[str, ...]:
    return (*resolved.warnings, *((RELAXED,) if ranked.relaxed else ()), *ranked.warnings)


def _rules_of(resolved: ResolvedRequest) -> Hashable:
    """Return a key that requests share where one scorer and one eligibility serve them all."""
    return (
        tuple(resolved.weights.items()),
        None if resolved.order is None else id(resolved.order),
        None if resolved.only is None else id(resolved.only),
        resolved.variants,
        resolved.plan,
        resolved.request.rules,
        resolved.seed_row if resolved.request.compares_with_seed else None,
    )
