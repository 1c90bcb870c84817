"""Placements with their rules and experiments, and collections of products: in the TOML, the store and HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from recommender.errors import RecommenderError
from recommender.filters import Node, parse, uses_seed
from recommender.filters.conditions import And, IdIn, Or, leaves
from serving.problems import Problem
from serving.schemas.base import RequestModel
from serving.schemas.requests import Filter, Id, NotBoolean, RecommendationParams, Weight

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Action = Literal["pin", "fill", "boost", "bury", "filter", "block"]
MAX_RULES, MAX_COLLECTION = 2000, 10_000
Note = Annotated[str, StringConstraints(max_length=500)]
Position = Annotated[int, NotBoolean, Field(ge=1, le=100)]
_OPTIONS = ("position", "item_id", "products", "collection", "count", "add")
# What each action needs beside its name, and what it may have.
_NEEDED: dict[str, tuple[str, ...]] = {"pin": ("item_id", "position"), "boost": ("add",)}
_ALLOWED: dict[str, tuple[str, ...]] = {
    "pin": ("item_id", "position"),
    "fill": ("products", "collection", "position", "count"),
    "boost": ("products", "collection", "add"),
    **dict.fromkeys(("bury", "filter", "block"), ("products", "collection")),
}


def start_of_day(value: object) -> object:
    """Return the moment at which a day begins, in UTC; anything else unchanged."""
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    if isinstance(value, str) and len(value) == 10:
        try:
            is_day = bool(date.fromisoformat(value))
        except ValueError:
            return value
    return f"{value}T00:00:00Z" if is_day else value


MomentOrDay = Annotated[AwareDatetime, BeforeValidator(start_of_day)]


def check_members(*questions: Mapping[str, Any], filters: Sequence[Filter | None] = ()) -> None:
    """Raise a `ValueError` unless these are members of a request, and filters."""
    try:
        for question in questions:
            RecommendationParams.model_validate(question)
        for filter in (*(question.get("filter") for question in questions), *filters):
            parse(filter)
    except (RecommenderError, Problem) as error:
        raise ValueError(str(error)) from None


def _parsed(name: str, value: Filter) -> Node:
    """Return a filter that has conditions; raises a `ValueError` otherwise."""
    try:
        node = parse(value)
    except RecommenderError as error:
        raise ValueError(f"{name}: {error}") from None
    if _is_empty(node):
        raise ValueError(f"{name} is empty, so that it means every product; expected a condition, or leave it out")
    return node


def _is_empty(node: Node) -> bool:
    return isinstance(node, And | Or) and not any(True for _ in leaves(node))


class DefinitionModel(RequestModel):
    """A placement or a collection, or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def value(self) -> dict[str, Any]:
        """Return its members as JSON has them, without those that are the default."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class Pin(DefinitionModel):
    """A product at a fixed position, if it is eligible."""

    position: Position
    item_id: Id


class Arm(DefinitionModel):
    """What one share of users gets instead."""

    name: Slug
    share: Annotated[float, NotBoolean, Field(ge=0, le=1)]
    strategy: str | None = None
    weights: dict[str, Weight] | None = None
    generation: str | None = None


class Experiment(DefinitionModel):
    """An A/B test: assigns sessions, or users where no session is named, to arms by a hash, so that each stays.

    Attributes
    ----------
    arms
        The first one is the control of reports.
    planned_visitors
        For so many visitors the intervals of reports are narrowest; `recommender experiments power` computes it.
        It is not to be changed once the experiment has begun.
    """

    name: Slug
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=20)]
    planned_visitors: Annotated[int, NotBoolean, Field(ge=100, le=10**10)] = 20_000

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(sum(arm.share for arm in self.arms) - 1) > 1e-6:
            raise ValueError(f"the shares of its arms sum to {sum(arm.share for arm in self.arms):g}; expected 1")
        if repeated := _repeated(arm.name for arm in self.arms):
            raise ValueError(f"two of its arms are named {repeated!r}; expected names of their own")
        return self


class ExplorationRule(DefinitionModel):
    """Which share of a placement's positions shows products that are drawn at random, new ones among them."""

    share: Annotated[float, NotBoolean, Field(gt=0, le=1)]


class FreshnessRule(DefinitionModel):
    """How many positions of a placement show products published less than so many days ago."""

    days: Annotated[int, NotBoolean, Field(ge=1, le=3650)]
    places: Position


class Rule(DefinitionModel):
    """What a placement does to some products, under a condition and in a period.

    Attributes
    ----------
    name
        By which it is edited and named in warnings.
    action
        pin a product at a position, fill positions from a collection, boost (add to the score), bury (after all
        others), filter (these first, others only where they are too few), or block (never).
    when
        A condition on the seed product: the rule holds where one of the request's seed items matches.
    products, collection
        Which products: a filter, or a collection by name.
    item_id, position, count, add
        Of a pin, a fill and a boost.
    from_, until
        The period in which it holds; a day begins at midnight UTC.
    priority
        The higher comes first, where two rules want one position.
    note
        Why.
    """

    name: Slug
    action: Action
    when: Filter | None = None
    products: Filter | None = None
    collection: Slug | None = None
    item_id: Id | None = None
    position: Position | None = None
    count: Position | None = None
    add: Annotated[float, NotBoolean, Field(ge=-100, le=100, allow_inf_nan=False)] | None = None
    from_: Annotated[MomentOrDay | None, Field(alias="from")] = None
    until: MomentOrDay | None = None
    priority: Annotated[int, NotBoolean, Field(ge=-1000, le=1000)] = 0
    note: Note = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = [name for name in _OPTIONS if getattr(self, name) is not None]
        allowed = _ALLOWED[self.action]
        if unsuited := [name for name in given if name not in allowed]:
            expected = f"a rule that says {self.action} has {', '.join(allowed)}"
            raise ValueError(f"rule {self.name!r}: {expected}; leave out {unsuited[0]}")
        missing = [name for name in _NEEDED.get(self.action, ()) if name not in given]
        if "products" in allowed and len({"products", "collection"} & {*given}) != 1:
            missing.append("products or collection, one of the two")
        if missing:
            raise ValueError(f"rule {self.name!r}: {self.action} needs {missing[0]}")
        if self.from_ is not None and self.until is not None and self.until <= self.from_:
            raise ValueError(
                f"rule {self.name!r} begins {self.from_:%Y-%m-%d %H:%M} and ends {self.until:%Y-%m-%d %H:%M};"
                " expected until after from"
            )
        self._check_filters()
        return self

    def _check_filters(self) -> None:
        if self.when is not None and uses_seed(_parsed(f"rule {self.name!r}: when", self.when)):
            raise ValueError(
                f"rule {self.name!r}: when is about the seed itself; same_as_seed has its place in products"
            )
        if self.products is not None:
            _parsed(f"rule {self.name!r}: products", self.products)

    def is_in_force(self, moment: datetime) -> bool:
        """Return whether a moment is within the period."""
        return (self.from_ is None or self.from_ <= moment) and (self.until is None or moment < self.until)


class Placement(DefinitionModel):
    """A named slot of the shop's pages: defaults of its requests, and the shop's rules.

    Attributes
    ----------
    question
        Default members of a request: strategy, limit, filter, weights. Filters are combined with the request's.
    rules
        See `Rule`.
    block, bury, pin
        Short forms of rules without a condition: a filter, filters, and products at positions.
    exploration
        A share of the positions shows products that are drawn at random; answers are logged with propensities.
    freshness
        A floor of positions for new products.
    experiment
        An A/B test.
    note
        What it is for.
    """

    question: dict[str, Any] = Field(default={})
    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)] = ()
    block: Filter | None = None
    bury: tuple[Filter, ...] = ()
    pin: tuple[Pin, ...] = ()
    exploration: ExplorationRule | None = None
    freshness: FreshnessRule | None = None
    experiment: Experiment | None = None
    note: Note = ""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        requests = [self.question]
        arms = self.experiment.arms if self.experiment else ()
        requests += [{**self.question, **arm.model_dump(include={"strategy", "weights"})} for arm in arms]
        check_members(*requests, filters=(self.block, *self.bury))
        if repeated := _repeated(rule.name for rule in self.all_rules()):
            raise ValueError(f"two rules are named {repeated!r}; expected names of their own")
        return self

    def all_rules(self) -> tuple[Rule, ...]:
        """Return the rules, those of the short forms among them."""
        return (*self._short_rules(), *self.rules)

    def _short_rules(self) -> Iterator[Rule]:
        if self.block is not None:
            yield Rule(name="block", action="block", products=self.block)
        for number, bury in enumerate(self.bury, start=1):
            yield Rule(name=f"bury-{number}", action="bury", products=bury)
        for number, pin in enumerate(self.pin, start=1):
            yield Rule(name=f"pin-{number}", action="pin", item_id=pin.item_id, position=pin.position)

    def with_rules(self, rules: Sequence[Rule]) -> "Placement":
        """Return the placement with these rules in the place of all that it has."""
        return self._with(rules=[rule.value() for rule in rules], block=None, bury=(), pin=())

    def _with(self, **members: Any) -> "Placement":
        return Placement.model_validate({**self.value(), **members})


class Collection(DefinitionModel):
    """Products by name: a list of ids that was picked by hand, in its order, or a filter.

    Attributes
    ----------
    item_ids
        The ids.
    filter
        The filter in their place.
    note
        What it is for.
    """

    item_ids: Annotated[tuple[Id, ...] | None, Field(max_length=MAX_COLLECTION)] = None
    filter: Filter | None = None
    note: Note = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.item_ids is None) == (self.filter is None):
            raise ValueError("a collection has item_ids or a filter; expected one of the two")
        if self.filter is not None and uses_seed(_parsed("filter", self.filter)):
            raise ValueError("filter: a collection is the same for every seed; leave out same_as_seed")
        return self

    def node(self) -> Node:
        """Return which products it has, as a filter."""
        return IdIn(self.item_ids) if self.item_ids is not None else parse(self.filter)


def _repeated(names: Iterator[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]
