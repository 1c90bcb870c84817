"""Strategies: from a request to a query, weights and exclusions; and fallbacks where a strategy has no data."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np

from recommender.core.blocks import NO_ROWS, WORDS, Double, Float, Mask, Rows
from recommender.core.scoring import NO_REPEATS, Query
from recommender.core.segment import Segment
from recommender.core.weights import CATEGORY_FIELD, CATEGORY_PREFIX, complementary_weights, item_kind, resolve
from recommender.errors import EncoderError, RequestError, UnknownItemError
from recommender.events import Event
from recommender.items import Attributes
from recommender.items.products import Products
from recommender.ranking.new_products import DAY, published
from recommender.ranking.queries import ContentQueries, HistoryQueries, ascending, with_variants
from recommender.ranking.request import Fallback, Request, Strategy
from recommender.ranking.searching import TextQueries, TextQuery, corrections, similarity_weights

TIE_BREAK = 1e-3  # weight of the prior beside recent events
# The new products' order halves in so many days.
NEW_HALF_LIFE_DAYS = 30.0
# The value, at least, of a product that is listed.
MIN_ORDER = 1e-6
NO_POPULARITY = "this bundle knows no popularity; products are in order of id"
WORDS_ALONE = "no query encoder: searched by words alone"
MAX_NAMED_IDS = 10


@dataclass(frozen=True)
class ResolvedRequest:
    """A request resolved against one bundle: everything that retrieval and scoring need.

    Parameters
    ----------
    request
        What was requested.
    strategy
        The strategy that answers.
    query
        The query vector.
    weights
        Term name to weight.
    excluded
        Rows that are not returned, ascending.
    seed_row
        The item that ``same_as_seed`` means.
    table_row
        The row of the neighbour table that holds the answer, where it may be used.
    order
        Values that replace the prior, shape (n,).
    only
        Rows beside which nothing is returned, shape (n,).
    variants, plan
        As in the request, but where a strategy needs all variants or a scan.
    fallback_used
        The strategy that stood in.
    warnings
        What was ignored.
    text
        The text of a search, which decides what is returned.
    similarity_weights
        Weights of the similarity to it by vectors alone.
    """

    request: Request
    strategy: str
    query: Query
    weights: Mapping[str, float]
    excluded: Rows
    seed_row: int | None = None
    table_row: int | None = None
    order: Float | None = None
    only: Mask | None = None
    variants: str = "collapse"
    plan: str = "auto"
    fallback_used: str | None = None
    warnings: tuple[str, ...] = ()
    text: TextQuery | None = None
    similarity_weights: Mapping[str, float] = field(default_factory=dict)


class Strategies:
    """Resolves requests over one bundle.

    Parameters
    ----------
    products
        The products as they are now.
    segment
        Their arrays.
    weights
        Kind of query to learned weights.
    histories, contents, texts
        Make queries.
    """

    def __init__(
        self,
        products: Products,
        segment: Segment,
        weights: Mapping[str, Mapping[str, float]],
        histories: HistoryQueries,
        contents: ContentQueries,
        texts: TextQueries,
    ) -> None:
        self._products, self._attributes, self._segment = products, products.attributes, segment
        self._weights, self._histories, self._contents, self._texts = weights, histories, contents, texts
        self._no_query = Query.free(np.zeros(segment.layout.d, np.float32))
        self._prior_only = dict.fromkeys(weights["user"], 0.0) | {"prior": 1.0}
        self._complementary_weights = complementary_weights(weights)
        self._by_category = any(kind.startswith(CATEGORY_PREFIX) for kind in weights)
        self.has_popularity = bool(segment.prior[np.asarray(self._attributes.ids.in_order)].any())

    def resolve(self, request: Request) -> ResolvedRequest:
        """Resolve a request by its strategy or, where that has nothing to go by, by its fallbacks.

        Raises
        ------
        UnknownItemError
            If the only item of the request was never seen.
        RequestError
            If the strategy needs other seeds, or weights are unknown to this bundle.
        """
        strategy = request.strategy
        if request.text is not None or request.image is not None:
            strategy = "search"
        elif strategy is None:
            strategy = "similar" if len(request.items) == 1 and not request.has_events else "for_you"
        resolved = _STRATEGIES[strategy](self, request)
        if resolved is None or resolved.fallback_used == "popular":
            resolved = self._fallback(request, resolved)
        if unused := self._histories.unused(request):
            return replace(resolved, warnings=(*resolved.warnings, *unused))
        return resolved

    def resolve_history(self, request: Request) -> ResolvedRequest:
        """Resolve a request by its events alone, without fallbacks; one event is a query for similar items."""
        query, rows, _ = self._histories.query(replace(request, item_weights=None, history_weights=None))
        alone = len(query.rows) == 1 and query.profile is None
        kind = self.kind_of(int(query.rows[0])) if alone else "user"
        resolved = self._ranked(request, "", query, kind)
        retained = self._retained(request, query, kind)
        excluded = self._excluded_with_history(request, rows, retained)
        seed_row = int(query.rows[0]) if len(query.rows) == 1 else None
        return replace(resolved, excluded=excluded, seed_row=seed_row)

    def under(self, resolved: Sequence[ResolvedRequest], rules: Request) -> list[ResolvedRequest]:
        """Return resolved histories under the weights, filter, plan and k of another request.

        Where a fallback stood in, its weights and plan remain.
        """
        weights = self.weights_of("user", rules)
        return [
            replace(one, request=rules, weights=weights, plan=rules.plan)
            if one.fallback_used is None
            else replace(one, request=rules)
            for one in resolved
        ]

    def kind_of(self, row: int) -> str:
        """Return which of the learned weights rank items similar to a row."""
        if not self._by_category:
            return "item"
        return item_kind(self._weights, self._attributes.value(CATEGORY_FIELD, row))

    def by_order(
        self,
        request: Request,
        order: Double | Float,
        strategy: str,
        only: Mask | None = None,
        variants: str | None = None,
    ) -> ResolvedRequest:
        """Rank by values that replace the prior, shape (n,); `only` are the rows that may be returned."""
        return ResolvedRequest(
            request,
            strategy,
            self._no_query,
            self._prior_only,
            self._excluded(request),
            order=order.astype(np.float32, copy=False),
            only=only,
            variants=variants or request.variants,
            plan="exact",
        )

    def weights_of(self, kind: str, request: Request) -> Mapping[str, float]:
        """Return the weights of a request: the learned ones, with its own over them."""
        return resolve(self._weights[kind], request.weights) if request.weights else self._weights[kind]

    def _excluded(self, request: Request) -> Rows:
        return ascending(self._rows_of(request.all_excluded_ids))

    def _rows_of(self, ids: Iterable[str]) -> set[int]:
        return {self._attributes.row_of(item_id) for item_id in ids} - {-1}

    def _similar(self, request: Request) -> ResolvedRequest:
        if len(request.items) != 1:
            raise RequestError(
                f"the strategy {request.strategy or 'similar'} takes one item, found {len(request.items)}; "
                "for several items use for_you",
                "/seeds/items",
            )
        item_id = request.items[0]
        row = self._attributes.row_of(item_id)
        if row < 0:
            return self._similar_to_new(request, item_id)
        segment = self._segment
        excluded, variants = segment.variants(row), request.variants
        if request.exclude or request.has_events:
            excluded = np.union1d(excluded, self._excluded(request)).astype(np.int32)
        weights = self.weights_of(self.kind_of(row), request)
        table_row = None if request.weights else row
        query = segment.item_query(row)
        return ResolvedRequest(
            request, "similar", query, weights, excluded, row, table_row, variants=variants, plan=request.plan
        )

    def _similar_to_new(self, request: Request, item_id: str) -> ResolvedRequest:
        """Resolve a product that was added since the bundle: by its category."""
        values = self._products.overlay_state().by_id.get(item_id)
        if values is None:
            raise UnknownItemError(item_id, self._products.other_form(item_id), "/seeds/items")
        query = self._contents.of_columns(values)
        if query is None:
            return replace(self._popular(request), fallback_used="popular")
        name = "similar_by_category"
        return replace(self._ranked(request, name, query, "item"), fallback_used=name)

    def _visually_similar(self, request: Request) -> ResolvedRequest:
        learned = self._weights["item"]
        if "image" not in learned:
            return replace(self._similar(request), fallback_used="similar")
        only_image = replace(request, weights=dict.fromkeys(learned, 0.0) | {"image": 1.0})
        return replace(self._similar(only_image), strategy="visually_similar")

    def _for_you(self, request: Request) -> ResolvedRequest | None:
        resolved = self._of_history(request, "for_you")
        if resolved is not None and resolved.fallback_used != "popular":
            return resolved
        query = self._histories.of_profile(request)
        if query is None:
            return resolved
        if resolved is not None:  # of events that say nothing
            return self._ranked(request, "for_you", query, "user", resolved.warnings, resolved.excluded)
        return self._ranked(request, "for_you", query, "user")

    def _session(self, request: Request) -> ResolvedRequest | None:
        past = () if request.exclude_history is False else [event.item_id for event in request.past]
        excluded = request.always_excluded_ids.union(past)
        session = replace(request, history=(), history_weights=None, exclude=excluded, now=request.moment)
        return _labelled(self._of_history(session, "for_you"), request, "session")

    def _complementary(self, request: Request) -> ResolvedRequest | None:
        return self._together(request, request)

    def _cart(self, request: Request) -> ResolvedRequest | None:
        items = set(in_cart(sorted(request.events, key=_time), request.items))
        inside = [event for event in request.events if event.item_id in items]
        cart = replace(
            request,
            history=inside,
            history_weights=None,
            session=(),
            items=(),
            item_weights=None,
            negative_items=(),
            exclude=request.all_excluded_ids,
            now=request.moment,
        )
        return _labelled(self._together(cart, request), request, "cart")

    def _together(self, request: Request, original: Request) -> ResolvedRequest | None:
        """Resolve complementary products: by the table of complementary pairs; weights of events do not count."""
        if request.item_weights is not None or request.history_weights is not None:
            request = replace(request, item_weights=None, history_weights=None)
        resolved = self._of_history(request, "complementary", original)
        if resolved is None or resolved.fallback_used is not None:
            return resolved
        query = resolved.query.with_table(self._segment.complements)
        weights = self._complementary_weights
        if request.weights:
            weights = resolve(self._weights["user"], request.weights)
        fallback = None if len(query.cooccurrence_rows) else "for_you"
        return replace(resolved, query=query, weights=weights, fallback_used=fallback)

    def _of_history(
        self, request: Request, strategy: Strategy, original: Request | None = None
    ) -> ResolvedRequest | None:
        """Resolve a history; None without events, the popular where no event of it weighs anything."""
        if not request.events:
            self._check_only_item(original or request, [])
            return None
        query, rows, unknown = self._histories.query(request)
        warnings = self._ignored(unknown) if unknown else ()
        if query.attention.any():
            retained = self._retained(request, query, "user") if strategy == "for_you" else NO_ROWS
            excluded = self._excluded_with_history(request, rows, retained)
            return self._ranked(request, strategy, query, "user", warnings, excluded)
        self._check_only_item(original or request, rows)
        popular = self._popular(request)
        warnings, excluded = (*warnings, *popular.warnings), self._excluded_with_history(request, rows, NO_ROWS)
        return replace(popular, excluded=excluded, fallback_used="popular", warnings=warnings)

    def _retained(self, request: Request, query: Query, kind: str) -> Rows:
        """Return the rows of the history that may be returned by default: what the user may buy again."""
        by_default = request.exclude_history is None and self.weights_of(kind, request).get("repeat")
        return query.repeats.rows if by_default else NO_ROWS

    def _excluded_with_history(self, request: Request, rows: Sequence[int], retained: Rows) -> Rows:
        """Return the rows that are not returned: the history and its variants too, but for the retained rows."""
        always = self._rows_of(request.always_excluded_ids)
        if request.exclude_history is False:
            return ascending(always)
        history = with_variants(self._segment, rows, request.variants)
        return ascending(history.difference(retained.tolist()) | always)

    def _ranked(
        self,
        request: Request,
        strategy: str,
        query: Query,
        kind: str,
        warnings: tuple[str, ...] = (),
        excluded: Rows | None = None,
    ) -> ResolvedRequest:
        return ResolvedRequest(
            request,
            strategy,
            query,
            self.weights_of(kind, request),
            self._excluded(request) if excluded is None else excluded,
            variants=request.variants,
            plan=request.plan,
            warnings=warnings,
        )

    def _check_only_item(self, request: Request, rows: Sequence[int]) -> None:
        """Raise `UnknownItemError` if the one item that the request names was never seen."""
        if len(request.current) == 1 and not request.past and max(rows, default=-1) < 0:
            self._products.of(request.current[0].item_id, "/seeds/items")

    def _ignored(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Return the warnings that name ids without a row: unknown ones, and products that have no vectors yet."""
        added = self._products.overlay_state().by_id
        kinds: dict[str, list[str]] = {"unknown items": [], "items not embedded yet": []}
        for item_id in ids:
            kinds["items not embedded yet" if added.get(item_id) is not None else "unknown items"].append(item_id)
        return tuple(f"{kind} ignored: {', '.join(some[:MAX_NAMED_IDS])}" for kind, some in kinds.items() if some)

    def _search(self, request: Request) -> ResolvedRequest:
        content, warnings = self._content(request)
        personal, _, unknown = self._histories.query(replace(request, item_weights=None, history_weights=None))
        personal = replace(personal, repeats=NO_REPEATS)  # what was bought before need not match the text
        by_user = bool(personal.attention.any())
        learned = self._texts.weights(self._weights["item"], content)
        if by_user:
            learned = {**self._weights["user"], WORDS: self._texts.settings.words_weight}
        weights = resolve(learned, request.weights)
        vector = self._no_query.vector if content is None else content.vector
        resolved = ResolvedRequest(
            request,
            "search",
            personal.plus(vector) if by_user else Query.free(vector),
            weights,
            self._excluded(request),
            variants=request.variants,
            plan=request.plan,
            warnings=(*warnings, *self._ignored(unknown)),
        )
        if request.text is None:
            return resolved
        text = self._texts.query(request.text, content, request.image is not None)
        similarity = similarity_weights(self._segment.layout, weights, content, request.weights or {})
        warnings = (*resolved.warnings, *corrections(text.match.words))
        return replace(resolved, text=text, similarity_weights=similarity, warnings=warnings)

    def _content(self, request: Request) -> tuple[Query | None, tuple[str, ...]]:
        """Return the query of a text and an image by the encoder, and warnings; None where words alone count."""
        if request.text is None or request.image is not None:
            return self._contents.query(request.text, request.image)
        given = request.weights or {}
        if all(given.get(name, 1.0) == 0 for name in self._segment.layout.names if name in ("image", "text")):
            return None, ()
        if not request.encode:
            return None, (WORDS_ALONE,)
        try:
            return self._contents.query(request.text, None)
        except EncoderError as error:
            return None, (f"{WORDS_ALONE}: {error}",)

    def _trending(self, request: Request) -> ResolvedRequest | None:
        if not request.trending:
            return None
        recent = by_value(self._attributes, request.trending)
        order = (1 - TIE_BREAK) * recent + TIE_BREAK * self._segment.prior
        return self.by_order(request, order, "trending")

    def _popular(self, request: Request) -> ResolvedRequest:
        return ResolvedRequest(
            request,
            "popular",
            self._no_query,
            self._prior_only,
            self._excluded(request),
            variants=request.variants,
            plan="exact",
            warnings=() if self.has_popularity else (NO_POPULARITY,),
        )

    @cached_property
    def _newest(self) -> Float | None:
        order = newest(self._attributes)
        return None if order is None else order.astype(np.float32)

    def _new(self, request: Request) -> ResolvedRequest:
        if self._newest is not None:
            return self.by_order(request, self._newest, "new")
        popular = self._popular(request)
        warnings = ("this catalogue has no published_at", *popular.warnings)
        return replace(popular, fallback_used="popular", warnings=warnings)

    def _recently_viewed(self, request: Request) -> ResolvedRequest | None:
        viewed = sorted((event for event in request.events if event.event_name == "view_item"), key=_time)
        latest = list(dict.fromkeys(event.item_id for event in reversed(viewed)))
        values = [(item_id, 1 / position) for position, item_id in enumerate(latest, start=1)]
        return self._listed(request, "recently_viewed", values)

    def _buy_again(self, request: Request) -> ResolvedRequest | None:
        repeats = self._histories.repeats(request)
        if not len(repeats.rows):
            return None
        order = np.zeros(self._segment.n)
        order[repeats.rows] = np.maximum(repeats.values / max(repeats.values.max(), MIN_ORDER), MIN_ORDER)
        resolved = self.by_order(request, order, "buy_again", np.asarray(order > 0), "all")
        return replace(resolved, query=replace(self._no_query, repeats=repeats))

    def _listed(
        self, request: Request, strategy: str, values: Sequence[tuple[str, float]]
    ) -> ResolvedRequest | None:
        """Rank the listed products alone, those of the largest value first."""
        order = by_value(self._attributes, values)
        if not order.any():
            return None
        return self.by_order(request, order, strategy, np.asarray(order > 0), "all")

    def _fallback(self, request: Request, resolved: ResolvedRequest | None) -> ResolvedRequest:
        """Return the first fallback that has something to go by; `resolved` is the popular, or nothing."""
        for name in request.fallback:
            other = _FALLBACKS[name](self, request)
            if other is None or other.fallback_used is not None:
                continue
            if resolved is None:
                return replace(other, fallback_used=name)
            warnings = tuple(dict.fromkeys((*resolved.warnings, *other.warnings)))
            excluded = np.union1d(resolved.excluded, other.excluded).astype(np.int32)
            return replace(other, excluded=excluded, fallback_used=name, warnings=warnings)
        return resolved or replace(self._popular(request), fallback_used="popular")

    def _popular_in_category(self, request: Request) -> ResolvedRequest | None:
        within = self._categories(request)
        if within is None:
            return None
        return self.by_order(request, self._segment.prior.astype(np.float64), "popular", within)

    def _categories(self, request: Request) -> Mask | None:
        """Return the rows that share a product type with the events; None if no type is known."""
        if "product_type" not in self._attributes.names:
            return None
        types: set[str] = set()
        for item_id in {event.item_id for event in request.events}:
            try:
                value = self._products.of(item_id).get("product_type")
            except UnknownItemError:
                continue
            types.update(value if isinstance(value, list) else [value] if isinstance(value, str) else [])
        mask = self._attributes.column("product_type").any_of(sorted(types)) if types else None
        return mask if mask is not None and mask.any() else None


def in_cart(events: Sequence[Event], before: Sequence[str] = ()) -> list[str]:
    """Return the products in a cart: added or there before, and neither removed nor purchased since.

    Parameters
    ----------
    events
        Oldest first.
    before
        Ids of products that were in the cart before.
    """
    counts = Counter(before)
    for event in events:
        if event.event_name == "add_to_cart":
            counts[event.item_id] += 1
        elif event.event_name in ("remove_from_cart", "purchase"):
            counts[event.item_id] = 0
    return [item_id for item_id, count in counts.items() if count > 0]


def newest(attributes: Attributes) -> Double | None:
    """Return 0.5^(days before the newest / 30), 0 where no date is known, shape (n,); None if none is."""
    dates = published(attributes)
    if dates is None or not (known := np.isfinite(dates)).any():
        return None
    days = (dates[known].max() - np.where(known, dates, -np.inf)) / DAY
    return 0.5 ** (days / NEW_HALF_LIFE_DAYS)


def by_value(attributes: Attributes, values: Iterable[tuple[str, float]]) -> Double:
    """Return values by row as a share of their largest, shape (n,); ids without a row are left out."""
    order = np.zeros(len(attributes))
    for item_id, value in values:
        if (row := attributes.row_of(item_id)) >= 0:
            order[row] = value
    return order / max(order.max(initial=0.0), 1e-12)


def _labelled(resolved: ResolvedRequest | None, request: Request, strategy: Strategy) -> ResolvedRequest | None:
    """Return what was resolved by another strategy's means under the name of this one."""
    if resolved is None:
        return None
    name = resolved.strategy if resolved.fallback_used == "popular" else strategy
    return replace(resolved, request=request, strategy=name)


def _time(event: Event) -> datetime:
    return event.timestamp


Resolve = Callable[[Strategies, Request], ResolvedRequest | None]
_STRATEGIES: dict[Strategy, Resolve] = {
    "similar": Strategies._similar,
    "visually_similar": Strategies._visually_similar,
    "complementary": Strategies._complementary,
    "for_you": Strategies._for_you,
    "session": Strategies._session,
    "cart": Strategies._cart,
    "search": Strategies._search,
    "trending": Strategies._trending,
    "popular": Strategies._popular,
    "new": Strategies._new,
    "recently_viewed": Strategies._recently_viewed,
    "buy_again": Strategies._buy_again,
}
_FALLBACKS: dict[Fallback, Resolve] = {
    "popular_in_category": Strategies._popular_in_category,
    "trending": Strategies._trending,
    "popular": Strategies._popular,
    "new": Strategies._new,
}
