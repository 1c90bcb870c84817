"""The pipeline: resolve a request, retrieve candidates, score them exactly, re-rank and explain them."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, cast
from weakref import ref

import numpy as np

from recommender.core.blocks import WORDS, Double, Mask, Rows
from recommender.core.scoring import Scorer
from recommender.filters import Node, Subset, SubsetCache, parse
from recommender.filters.compile import evaluate, resolve
from recommender.filters.conditions import And, canonical
from recommender.items.products import Products
from recommender.ranking.cache import SizedCache
from recommender.ranking.explanation import Explainer
from recommender.ranking.others import Others
from recommender.ranking.request import Boost, Fill, Request, SharedBoosts
from recommender.ranking.rerank import MAX_POOL, Ranked, eligible_pins, filled, free_positions, rerank
from recommender.ranking.results import (
    FRAME_ATTRIBUTES,
    Alternative,
    Recommendation,
    Recommendations,
    RecommendationTable,
)
from recommender.ranking.searching import SORT, SORTS, fewer_words, order_of
from recommender.ranking.strategies import ResolvedRequest, Strategies
from recommender.ranking.why_not import ItemStatus, WhyNot
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Planner, RowQuery, RowResult
from recommender.search.facets import check_facets, count_values, without_field

RELAXED = f"max_per relaxed: of the best {MAX_POOL:,} products, fewer than k satisfy it"
SCORERS = 256  # cached, by weights
BOOSTS_BYTES = 64 << 20  # of sums of shared boosts
MAX_ALTERNATIVES = 12  # products beside a search that found nothing, of each kind
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
        self._orders: dict[tuple[str, int], Double] = {}
        self._plain_scorer = lru_cache(SCORERS)(self._new_scorer)
        self._shared_boosts: SizedCache[Double] = SizedCache(BOOSTS_BYTES, lambda values: values.nbytes)

    def run(self, request: Request) -> Recommendations:
        """Answer one request."""
        resolved = self._resolve(request)
        scorer, eligibility = self.scorer(resolved), self.eligibility(resolved)
        ranked = self._ranked(resolved, scorer, eligibility)
        result = ranked.result
        found_nothing = resolved.text is not None and not len(result.selection.rows)
        return Recommendations(
            items=self._items(resolved, scorer, ranked),
            strategy=resolved.strategy,
            plan=result.plan,
            eligible=result.eligible,
            candidates=result.candidates,
            generation=self._generation,
            fallback_used=resolved.fallback_used,
            warnings=_warnings(resolved, ranked),
            facets=self._facets(resolved, eligibility) if request.facets else {},
            alternatives=tuple(self._alternatives(resolved)) if found_nothing else (),
            describe=self.products.described,
        )

    def _resolve(self, request: Request) -> ResolvedRequest:
        """Resolve a request; of a text, also which products match it."""
        if request.facets:
            check_facets(self.products.attributes, tuple(request.facets))
        return self._matched(self._strategies.resolve(request))

    def _matched(self, resolved: ResolvedRequest) -> ResolvedRequest:
        """Return the resolved search of a text with the products that match it as the only ones."""
        text = resolved.text
        if text is None:
            return resolved
        every = self.eligibility(replace(resolved, only=None, variants="all"))
        scorer = self._plain_scorer(tuple(resolved.similarity_weights.items()))
        by_words = resolved.weights.get(WORDS, 0.0) > 0
        only = text.matches(self.planner, scorer, every, resolved.excluded, by_words)
        return replace(resolved, only=only, plan="exact")

    def _facets(self, resolved: ResolvedRequest, eligibility: Eligibility) -> dict[str, list[tuple[str, int]]]:
        """Count the values of attributes among the matching products; a facet's own filter does not count."""
        attributes, facets = self.products.overlay_state().attributes, {}
        request = resolved.request
        own = None if request.filter is None else parse(request.filter, trusted=True)
        for name in request.facets:
            counted, rest = eligibility, without_field(own, name)
            if rest is not own and own is not None and canonical(rest or And()) != canonical(own):
                other = replace(request, filter=rest, facets=())
                counted = self.eligibility(self._matched(replace(resolved, request=other)))
            mask = np.ones(self.segment.n, dtype=bool) if counted.subset is None else counted.subset.mask.copy()
            mask[resolved.excluded] = False
            rows = np.flatnonzero(mask).astype(np.int32)
            facets[name] = count_values(attributes, name, rows, self.segment.groups)
        return facets

    def _alternatives(self, resolved: ResolvedRequest) -> Iterator[Alternative]:
        """Yield products beside a search that found nothing: those of some of its words, and popular ones."""
        assert resolved.text is not None
        request = replace(
            resolved.request, facets=(), sort="relevance", k=min(resolved.request.k, MAX_ALTERNATIVES)
        )
        for words in fewer_words(resolved.text.match.words):
            result = self.run_plain(replace(request, text=words, encode=False, weights=None))
            if result:
                yield Alternative(f"no product matches; these match {words!r}", words, result)
                break
        rules: dict[str, Any] = {
            "k": request.k,
            "explain": request.explain,
            "filter": request.node,
            "exclude": request.exclude,
            "stock": request.stock,
        }
        if request.events and (result := self.run_plain(Request(history=request.events, **rules))):
            yield Alternative("no product matches; these are recommended for the user", None, result)
        if result := self.run_plain(Request(strategy="popular", **rules)):
            known = self._strategies.has_popularity
            yield Alternative(
                f"no product matches; these are {'popular' if known else 'other'} products", None, result
            )

    def run_plain(self, request: Request) -> tuple[Recommendation, ...]:
        """Return the products of a request alone."""
        return self.items_of(self._strategies.resolve(request))

    def items_of(self, resolved: ResolvedRequest) -> tuple[Recommendation, ...]:
        """Return the products of a resolved request."""
        resolved = self._matched(resolved)
        scorer = self.scorer(resolved)
        return self._items(resolved, scorer, self._ranked(resolved, scorer, self.eligibility(resolved)))

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
        return [self._resolve(request) for request in requests]

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
        table.describe = self._frame_attributes
        return table.with_ids(self.products.attributes.id_of)

    def _frame_attributes(self, item_id: str) -> dict[str, Any]:
        """Return title, price and link of a product, those that the catalogue has."""
        names = self.products.attributes.names
        return self.products.fields(item_id, [name for name in FRAME_ATTRIBUTES if name in names])

    def why_not(self, request: Request, item_ids: Iterable[str]) -> list[ItemStatus]:
        """Return the rank of items for a request with their explanation, or why they are not eligible."""
        resolved = self._strategies.resolve_history(request)
        scorer, eligibility = self.scorer(resolved), self.eligibility(resolved)
        return WhyNot(self.products, self.explainer, resolved, scorer, eligibility).of([*item_ids])

    def scorer(self, resolved: ResolvedRequest) -> Scorer:
        """Return the scorer of a request."""
        boosts, text = resolved.request.boosts, resolved.text
        if resolved.order is None and not boosts and text is None:
            return self._plain_scorer(tuple(resolved.weights.items()))
        segment, weights = self.segment, resolved.weights
        prior = segment.prior if resolved.order is None else resolved.order
        extra: dict[str, Double] = {}
        if text is not None:
            order = self._order(resolved.request)
            extra = text.terms(weights if order is None else {}, sum(boost.most for boost in boosts))
            if order is not None:
                extra, weights = {**extra, SORT: order}, dict.fromkeys(weights, 0.0)
        if boosts:
            extra["boost"] = self._boost(boosts, resolved.seed_row)
        return Scorer(segment.vectors, prior, segment.layout, weights, extra, segment.id_ranks)

    def _order(self, request: Request) -> Double | None:
        """Return the values by which a search is sorted, shape (n,); None for relevance."""
        if request.sort == "relevance":
            return None
        state, (name, largest_first) = self.products.overlay_state(), SORTS[request.sort]
        key = (request.sort, state.version)
        if key not in self._orders:
            values = self.segment.prior if not name else state.attributes.numbers(name)
            self._orders = {**self._orders_of(state.version), key: order_of(values, largest_first)}
        return self._orders[key]

    def _orders_of(self, version: int) -> dict[tuple[str, int], Double]:
        return {key: order for key, order in self._orders.items() if key[1] == version}

    def eligibility(self, resolved: ResolvedRequest, within: Node | None = None) -> Eligibility:
        """Return which rows may be returned: what is in stock, unless the filter itself names availability.

        Parameters
        ----------
        within
            A further filter.
        """
        request, node, overlay = resolved.request, resolved.request.node, self.products.overlay_state()
        collapse = resolved.variants == "collapse"
        whole_range = request.stock == "all" or request.names_availability
        if within is not None:
            node = within if node is None else And((node, within))
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
        return Scorer(segment.vectors, segment.prior, segment.layout, dict(weights), id_ranks=segment.id_ranks)

    def _boost(self, boosts: Sequence[Boost | SharedBoosts], seed_row: int | None) -> Double:
        total = np.zeros(self.segment.n)
        for boost in boosts:
            if isinstance(boost, Boost):
                total += boost.add * self.mask(boost.when, seed_row)
            else:
                total += self._shared_boost(boost)
        return total

    def _shared_boost(self, shared: SharedBoosts) -> Double:
        overlay = self.products.overlay_state()
        key = (shared, overlay.version)
        total = self._shared_boosts.get(key)
        if total is None:
            total = np.zeros(self.segment.n)
            for boost in shared.boosts:
                total += boost.add * evaluate(resolve(boost.when, overlay.attributes, None), overlay.attributes)
            self._shared_boosts.put(key, total)
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
        if not request.rerankers and not request.pin and not request.fill:
            return Ranked(self._search(scorer, row_query, eligibility, resolved.plan))

        def search(wider: RowQuery) -> RowResult:
            return self.planner.search(scorer, wider, eligibility, resolved.plan)

        attributes = self.products.attributes
        rows = {position: attributes.row_of(item_id) for position, item_id in (request.pin or {}).items()}
        pins = {position: row for position, row in rows.items() if row >= 0}
        if request.fill:
            pins = eligible_pins(pins, row_query, eligibility)
        for fill in request.fill:
            if not free_positions(fill, pins, request.k):
                continue
            matching = self.eligibility(resolved, fill.when)
            candidates = partial(self._candidates, fill, scorer, matching, resolved.plan)
            pins = filled(fill, candidates, pins, row_query, matching)
        return rerank(search, scorer, row_query, eligibility, request.rerankers, pins, attributes)

    def _candidates(
        self, fill: Fill, scorer: Scorer, matching: Eligibility, plan: str, row_query: RowQuery
    ) -> Rows:
        """Return the products that may fill positions: in the order of the collection, or the best by score."""
        if fill.order:
            rows = self.products.attributes.rows_of(fill.order)
            return rows[rows >= 0]
        return self.planner.search(scorer, row_query, matching, plan).selection.rows

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
        if first.rerankers or first.pin or first.fill or first.floor or first.exploration:
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
        None if resolved.text is None else id(resolved.text),
        resolved.variants,
        resolved.plan,
        resolved.request.rules,
        resolved.seed_row if resolved.request.compares_with_seed else None,
    )
