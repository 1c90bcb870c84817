"""A request: what to recommend from, how many products and under which rules. Checked once, then immutable."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Union, get_args

import numpy as np

from recommender.errors import RequestError, nearest
from recommender.events import Event, History, as_events
from recommender.filters import Node, fields_of, parse, uses_seed
from recommender.filters.conditions import And
from recommender.ranking.exploration import Exploration
from recommender.ranking.new_products import Freshness
from recommender.ranking.rerankers import Reranker, create

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

Filter = Union[str, Mapping[str, Any], Node, "pd.Series[bool]"]
Weights = Mapping[str, float]
Variants = Literal["collapse", "all"]
Plan = Literal["auto", "exact", "annoy"]
Stock = Literal["available", "all"]
Strategy = Literal[
    "similar",
    "visually_similar",
    "complementary",
    "for_you",
    "session",
    "cart",
    "search",
    "trending",
    "popular",
    "new",
    "recently_viewed",
    "buy_again",
]
Fallback = Literal["popular_in_category", "trending", "popular", "new"]
Sort = Literal["relevance", "price_ascending", "price_descending", "newest", "popular"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
FALLBACKS: tuple[Fallback, ...] = get_args(Fallback)
# Strategies that recommend products of the history itself.
REPEATING: tuple[Strategy, ...] = ("recently_viewed", "buy_again")
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "strategy": (*STRATEGIES, None),
    "variants": get_args(Variants),
    "plan": get_args(Plan),
    "stock": get_args(Stock),
    "sort": get_args(Sort),
}
_FLAGS = {"explain": "True or False", "encode": "True or False", "exclude_history": "True, False or None"}
_MAPPINGS = {
    "weights": "{'image': 1}",
    "diversity": "{'mmr': 0.3, 'max_per': {'brand': 3}}",
    "pin": "{1: 'SKU-7'}",
    "user": "{'age': 34, 'segment': 'trade'}",
    "context": "{'hour': 20}",
}
_ID_POINTERS = {
    "items": "/seeds/items",
    "negative_items": "/seeds/negative_items",
    "exclude": "/exclude",
}
_BOOL = (bool, np.bool_)
_ATTRIBUTE = (str, int, float, np.integer, np.floating, *_BOOL)
# Cached properties that depend on the seeds.
_OF_SEEDS = ("moment", "past", "current", "all_excluded_ids", "always_excluded_ids")


class BoostRule(TypedDict):
    """A boost as callers write it: ``{"when": filter, "add": 0.05}``."""

    when: Filter
    add: float


@dataclass(frozen=True)
class Boost:
    """Adds a number to the score of the products that match a filter."""

    when: Node
    add: float

    @property
    def most(self) -> float:
        """The most that it changes a score by."""
        return abs(self.add)


@dataclass(frozen=True, eq=False)
class SharedBoosts:
    """Boosts that many requests share: compared by identity; their sum is computed once until products change."""

    boosts: tuple[Boost, ...]

    @property
    def most(self) -> float:
        """The most that they change a score by."""
        return sum(boost.most for boost in self.boosts)


@dataclass(frozen=True)
class Fill:
    """Fills positions with eligible products of a collection.

    Parameters
    ----------
    when
        Which products.
    position, count
        The first position, from 1, and how many at most; pinned products there stay.
    order
        Ids in the order in which they are taken; without any, the products are taken in order of score.
    """

    when: Node
    position: int = 1
    count: int = 100
    order: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request for recommendations.

    Every way into the engine (Python, HTTP, the command line, batch) makes this object, and `Pipeline` answers it.

    Parameters
    ----------
    strategy
        One of `STRATEGIES`; by default "search" for a text or an image, "similar" for one item and nothing else,
        otherwise "for_you".
    k
        How many products to return, at least 1.
    items
        Ids of seed items.
    item_weights
        Weight of each seed item; by default 1.
    negative_items
        Ids of items that the user does not want; they count as dismissed.
    history
        The user's events, oldest first: ids, `Event` objects, mappings, or a frame with item_id and, as known,
        event_name, timestamp and value. Unknown ids are ignored and named in the warnings.
    history_weights
        What the weight of each event of the history is multiplied by, length t; by default 1.
    session
        Events of the current session, in the forms of `history`, after which they come.
    text, image
        A text query and an image query; they need the bundle's encoder.
    trending
        Item ids with the weight of recent events, see `EventStore.trending`; "trending" ranks by them.
    filter
        ``price < 50 AND brand: ANY("Acme")``, or the tree form, or a boolean Series of pandas indexed by id; only
        products that match are returned.
    weights
        Term name to weight, at least 0; terms left out retain their learned weight.
    exclude
        Ids that are not returned.
    exclude_history
        Whether products of the history are not returned. By default they are not, but those that the user bought
        are where the shop's data show that products are bought again: the bundle has the term ``repeat``.
    exclude_purchased_days
        Products purchased within so many days are not returned.
    explain
        Whether each product carries the parts of its score and the reasons for it.
    variants
        "collapse" returns the best variant of a product only, "all" every variant.
    plan
        How candidates are retrieved: "auto", "exact" (scan of all eligible rows) or "annoy".
    stock
        "available" leaves out products that are out of stock, unless the filter names ``availability``; "all" does
        not.
    boost
        Each adds to the score of the products that match a filter: ``{"when": filter, "add": 0.05}``.
    diversity
        Re-rankers and their parameters: ``{"mmr": 0.3, "max_per": {"brand": 3}}``. The result is in their order
        instead of that of the score.
    pin
        Position from 1 to the id of the product that is shown there, if it is eligible.
    fill
        Each fills positions that no pin has with products of a collection, see `Fill`.
    fallback
        Strategies to try, in order, where the strategy has nothing to work with.
    user
        Attributes of the user: ``{"age": 34, "segment": "trade"}``. Names and values that the bundle did not learn
        from say nothing.
    context
        Circumstances of the request, such as ``{"hour": 20}``, in the same form.
    freshness
        A floor of positions for new products: ``{"days": 30, "places": 2}`` for two that were published less than
        30 days ago, the best of them by score.
    exploration
        A share of the positions shows products that are drawn at random, each with a known propensity.
    encode
        Whether the text is encoded; otherwise it is searched by its words alone.
    sort
        Order of the products that match a text: "relevance", "price_ascending", "price_descending", "newest" or
        "popular".
    facets
        Attributes whose values are counted among the products that match a text.
    within
        A further filter, which counts of facets keep, too.
    now
        The moment of the request; by default the present. What is due to be bought again is estimated for it, but
        for no later than 30 days after the last event of the user or of the training.

    Raises
    ------
    RequestError
        If a value is not of the expected form; the message names the nearest valid one.
    """

    strategy: Strategy | None = None
    k: int = 10
    items: Sequence[str] = ()
    item_weights: Sequence[float] | None = None
    negative_items: Sequence[str] = ()
    history: History = ()
    history_weights: Sequence[float] | None = None
    session: History = ()
    text: str | None = None
    image: "Image | bytes | None" = None
    trending: Sequence[tuple[str, float]] = ()
    filter: Filter | None = None
    weights: Weights | None = None
    exclude: Iterable[str] = ()
    exclude_history: bool | None = None
    exclude_purchased_days: int | None = None
    explain: bool = False
    variants: Variants = "collapse"
    plan: Plan = "auto"
    stock: Stock = "available"
    boost: Sequence[BoostRule | Boost | SharedBoosts] = ()
    diversity: Mapping[str, Any] | None = None
    pin: Mapping[int, str] | None = None
    fill: Sequence[Fill] = ()
    fallback: Sequence[Fallback] = ("popular",)
    user: Mapping[str, Any] | None = None
    context: Mapping[str, Any] | None = None
    freshness: Mapping[str, int] | None = None
    exploration: Exploration | None = None
    encode: bool = True
    sort: Sort = "relevance"
    facets: Sequence[str] = ()
    within: Filter | None = None
    now: datetime | None = None
    node: Node | None = field(init=False, repr=False, compare=False, default=None)
    boosts: tuple[Boost | SharedBoosts, ...] = field(init=False, repr=False, compare=False, default=())
    rerankers: tuple[Reranker, ...] = field(init=False, repr=False, compare=False, default=())
    floor: Freshness | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        self._check_values()
        set_field = object.__setattr__
        for name in ("history", "session", "trending", "boost"):
            if not hasattr(getattr(self, name), "__len__"):  # an iterator can be read only once
                set_field(self, name, (*getattr(self, name),))
        set_field(self, "items", _id_tuple("items", self.items))
        set_field(self, "negative_items", _id_tuple("negative_items", self.negative_items))
        if self.exclude_history is not None:
            set_field(self, "exclude_history", bool(self.exclude_history))
        set_field(self, "exclude", frozenset(_id_tuple("exclude", self.exclude)))
        self._check_rare_values()
        if self.filter is not None:
            set_field(self, "node", parse(self.filter, trusted=True))
        if self.within is not None:
            set_field(self, "node", self.node_of(self.node))
        if self.boost:
            set_field(self, "boosts", tuple(map(_boost_of, range(len(self.boost)), self.boost)))
        if self.diversity:
            set_field(self, "rerankers", tuple(create(self.diversity)))
        if self.freshness is not None:
            set_field(self, "floor", Freshness.parse(self.freshness))

    def node_of(self, filter: Node | None) -> Node | None:
        """Return another filter together with `within`."""
        if self.within is None:
            return filter
        within = parse(self.within, trusted=True)
        return within if filter is None else And((filter, within))

    def _check_values(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise _not_one_of(name, getattr(self, name), known)
        for name, expected in _FLAGS.items():
            value = getattr(self, name)
            if not isinstance(value, _BOOL) and not (value is None and "None" in expected):
                raise RequestError(f"{name} is {value!r}; expected {expected}", f"/{name}")
        _check_count("k", self.k, "/limit")
        for name, example in _MAPPINGS.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise RequestError(f"{name} is {value!r}; expected such as {example}", f"/{name}")
        for name in ("user", "context"):
            _check_attributes(name, getattr(self, name) or {})

    def _check_rare_values(self) -> None:
        if self.text is not None and not (isinstance(self.text, str) and self.text):
            raise RequestError(f"text is {self.text!r}; expected a text that is not empty", "/text")
        if self.item_weights is not None and len(self.item_weights) != len(self.items):
            raise RequestError(
                f"{len(self.item_weights)} item_weights for {len(self.items)} items", "/seeds/items"
            )
        if self.exclude_purchased_days is not None:
            _check_count("exclude_purchased_days", self.exclude_purchased_days, "/exclude/purchased_days")
        if isinstance(self.facets, str):
            raise RequestError(f"facets is one string, {self.facets!r}; expected a list of attributes", "/facets")
        if isinstance(self.fallback, str):
            raise RequestError(f"fallback is one string, {self.fallback!r}; expected a list", "/fallback")
        for name in self.fallback:
            if name not in FALLBACKS:
                raise _not_one_of("fallback", name, FALLBACKS)
        for position, item_id in (self.pin or {}).items():
            _check_count("a position of pin", position, "/pin")
            check_id(item_id, "/pin")

    def for_item(self, item_id: str) -> "Request":
        """Return the request with one seed item."""
        check_id(item_id)
        return self._with_seeds("items", (item_id,))

    def for_history(self, history: History, user: Mapping[str, Any] | None = None) -> "Request":
        """Return the request with a history and the attributes of its user.

        The history is the session where the strategy knows no other events.
        """
        name = "session" if self.strategy == "session" else "history"
        copy = self._with_seeds(name, history if hasattr(history, "__len__") else [*history])
        if user is not None:
            _check_attributes("user", user)
            copy.__dict__["user"] = user
        return copy

    def _with_seeds(self, name: str, seeds: Any) -> "Request":
        """Return a copy with other seeds, without checking the rest again: batches make millions."""
        copy = object.__new__(Request)
        copy.__dict__.update(self.__dict__)
        for derived in _OF_SEEDS:
            copy.__dict__.pop(derived, None)
        copy.__dict__[name] = seeds
        return copy

    @property
    def has_events(self) -> bool:
        """Whether there are events beside the views of the seed items."""
        return bool(len(self.history) or len(self.session) or len(self.negative_items))  # type: ignore[arg-type]

    @cached_property
    def rules(self) -> Hashable:
        """A key of everything that requests must share to be answered by one scan."""
        rules = (self.node, self.boosts, self.variants, self.stock, self.plan, self.explain)
        return (*rules, self.floor, self.exploration, *self.fill, repr((self.pin, self.diversity)))

    @cached_property
    def compares_with_seed(self) -> bool:
        """Whether the filter or a boost compares with the seed item."""
        nodes = [boost.when for boost in self.boosts if isinstance(boost, Boost)] + (
            [] if self.node is None else [self.node]
        )
        return any(map(uses_seed, nodes))

    @cached_property
    def names_availability(self) -> bool:
        """Whether the filter names the field ``availability``: then it decides what is in stock."""
        return self.node is not None and "availability" in fields_of(self.node)

    @cached_property
    def moment(self) -> datetime:
        """When the request was made."""
        now = self.now or datetime.now(UTC)
        return now if now.tzinfo else now.replace(tzinfo=UTC)

    @cached_property
    def past(self) -> list[Event]:
        """The events of the history."""
        return as_events(self.history)

    @cached_property
    def current(self) -> list[Event]:
        """The events of the session, the seed items as views and the negative items as dismissals."""
        session = as_events(self.session)
        views = [Event(item_id, "view_item", self.moment) for item_id in self.items]
        return [*session, *views, *(Event(item_id, "dismiss", self.moment) for item_id in self.negative_items)]

    @property
    def events(self) -> list[Event]:
        """All events, those of the history first."""
        return [*self.past, *self.current]

    @property
    def event_weights(self) -> list[float] | None:
        """What the weight of each event is multiplied by; None if by 1 throughout."""
        past = [1.0] * len(self.past) if self.history_weights is None else [*self.history_weights]
        if len(past) != len(self.past):
            raise RequestError(f"{len(past)} history_weights for {len(self.past)} events", "/history")
        rest = [1.0] * len(self.current)
        if self.item_weights is not None:
            start = len(rest) - len(self.items) - len(self.negative_items)
            rest[start : start + len(self.items)] = self.item_weights
        if self.history_weights is None and all(weight == 1.0 for weight in rest):
            return None
        return past + rest

    @cached_property
    def all_excluded_ids(self) -> set[str]:
        """The ids that are not returned, those of the events among them as far as these are excluded."""
        if self.exclude_history is False or self.strategy in REPEATING:
            return self.always_excluded_ids
        return self.always_excluded_ids.union(event.item_id for event in self.events)

    @cached_property
    def always_excluded_ids(self) -> set[str]:
        """The ids that are not returned, even where products of the history may be."""
        ids = {*self.exclude, *self.negative_items}
        if self.strategy in REPEATING:
            return ids
        if self.exclude_purchased_days is not None:
            since = self.moment - timedelta(days=self.exclude_purchased_days)
            purchases = (event for event in self.events if event.event_name == "purchase")
            ids.update(event.item_id for event in purchases if event.timestamp >= since)
        return ids


def _not_one_of(name: str, value: Any, known: Sequence[str | None]) -> RequestError:
    names = [each for each in known if each is not None]
    guess = nearest(value, names) if isinstance(value, str) else None
    return RequestError(f"{name} is {value!r}; expected one of {', '.join(names)}", f"/{name}", guess)


def _check_count(name: str, value: Any, pointer: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise RequestError(f"{name} is {value!r}; expected a whole number of at least 1", pointer)


def _check_attributes(name: str, attributes: Mapping[str, Any]) -> None:
    """Raise `RequestError` unless every value is a string, a number, a boolean or a list of strings."""
    for column, value in attributes.items():
        parts = value if isinstance(value, list | tuple) else [value]
        if value is not None and not all(isinstance(part, _ATTRIBUTE) for part in parts):
            expected = "a string, a number, a boolean or a list of strings"
            raise RequestError(f"{name}: {column} is {value!r}; expected {expected}", f"/{name}/{column}")


def _id_tuple(name: str, ids: Any) -> tuple[str, ...]:
    """Return ids as a tuple, checked."""
    pointer = _ID_POINTERS[name]
    if isinstance(ids, str):
        raise RequestError(f"{name} is one string, {ids!r}; expected a list of ids", pointer)
    ids = tuple(ids)
    for item_id in ids:
        if not isinstance(item_id, str):
            check_id(item_id, pointer)
    return ids


def check_id(item_id: Any, pointer: str = "/item_id") -> None:
    """Raise `RequestError` unless an item id is a string."""
    if isinstance(item_id, str):
        return
    found = f"item id {item_id!r} is of type {type(item_id).__name__}"
    meant = str(item_id) if isinstance(item_id, int | np.integer) else None
    raise RequestError(f"{found}; ids are strings: read the column with dtype=str", pointer, meant)


def _boost_of(position: int, boost: BoostRule | Boost | SharedBoosts) -> Boost | SharedBoosts:
    if isinstance(boost, Boost | SharedBoosts):
        return boost
    pointer = f"/boost/{position}"
    if not isinstance(boost, Mapping) or set(boost) != {"when", "add"}:
        raise RequestError(f"boost is {boost!r}; expected such as {{'when': filter, 'add': 0.05}}", pointer)
    add = boost["add"]
    if isinstance(add, bool) or not isinstance(add, int | float) or not isfinite(add):
        raise RequestError(f"add is {add!r}; expected a finite number", f"{pointer}/add")
    return Boost(parse(boost["when"], trusted=True, pointer=f"{pointer}/when"), float(add))
