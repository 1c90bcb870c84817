"""Rules of placements, compiled when they change, so that a question pays for those that hold and not for all."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from recommender.core.blocks import Mask
from recommender.errors import RequestError
from recommender.filters import FilterTable, Node, SharedFilter, parse, uses_seed
from recommender.filters.compile import resolve
from recommender.filters.conditions import And, IdIn, In, Not, Or
from recommender.items import Attributes
from recommender.ranking.request import Boost, Fill, SharedBoosts
from serving.schemas.placements import Collection, Placement, Rule

# Far below any score: products outside the filters of rules come after those within, buried ones after all others.
OUTSIDE, BURIED = -100.0, -200.0
CACHED_EFFECTS = 512
LAST_POSITION = 100
Boosts = tuple[Boost | SharedBoosts, ...]


@dataclass(frozen=True)
class Effect:
    """What the rules that hold do to a request.

    Parameters
    ----------
    block
        Filters that products must match.
    narrow
        Filters that are relaxed where too few products match: of the rules that filter or bury.
    demote
        In the place of `narrow`, boosts that rank the products that do not match after all others.
    boosts
        Further boosts.
    pins
        Position to id.
    fills
        See `Fill`.
    filters
        Names of the rules that filter.
    """

    block: tuple[Node, ...] = ()
    narrow: tuple[Node, ...] = ()
    demote: Boosts = ()
    boosts: Boosts = ()
    pins: Mapping[int, str] = field(default_factory=dict)
    fills: tuple[Fill, ...] = ()
    filters: frozenset[str] = frozenset()

    def narrowed(self, k: int) -> tuple[Node, ...]:
        """Return `narrow` for k products: those that are pinned among them need not match."""
        pinned = tuple(item_id for position, item_id in self.pins.items() if position <= k)
        return (Or((And(self.narrow), IdIn(pinned))),) if self.narrow and pinned else self.narrow


NO_EFFECT = Effect()


@dataclass(frozen=True)
class ParsedRule:
    """A rule with its filters parsed.

    Parameters
    ----------
    rule
        The rule.
    when
        Its condition on the seed.
    products
        Which products.
    order
        The ids of a collection that was picked by hand.
    """

    rule: Rule
    when: Node | None
    products: Node
    order: tuple[str, ...] = ()

    @property
    def compares_with_seed(self) -> bool:
        """Whether its products are those that have something in common with the seed."""
        return uses_seed(self.products)

    def check(self, attributes: Attributes) -> None:
        """Raise `RequestError` unless a bundle has the fields that it names, and they are of a suitable kind."""
        nodes = [self.products] if self.when is None else [self.when, self.products]
        if len(attributes):
            FilterTable([resolve(node, attributes, 0) for node in nodes], attributes)

    @property
    def fill(self) -> Fill:
        """What a rule that fills positions puts there."""
        rule = self.rule
        return Fill(self.products, rule.position or 1, rule.count or LAST_POSITION, self.order)


def parsed(rule: Rule, collections: Mapping[str, Collection]) -> ParsedRule:
    """Return a rule with its filters parsed; raises `RequestError` if there is no such collection."""
    when = None if rule.when is None else parse(rule.when)
    if rule.collection is None:
        return ParsedRule(rule, when, parse(rule.products))
    if rule.collection not in collections:
        known = ", ".join(collections) or "none"
        raise RequestError(f"there is no collection {rule.collection!r}; known: {known}", "/rules")
    collection = collections[rule.collection]
    return ParsedRule(rule, when, collection.node(), collection.item_ids or ())


def ordered(placement: Placement) -> list[Rule]:
    """Return the rules of a placement, those of the highest priority first."""
    return sorted(placement.all_rules(), key=lambda rule: -rule.priority)


def combined(rules: Sequence[ParsedRule]) -> Effect:
    """Return what rules do together."""
    of_action: dict[str, list[Node]] = {action: [] for action in ("block", "bury", "filter")}
    for each in rules:
        of_action.get(each.rule.action, []).append(each.products)
    blocked, buried, within = of_action.values()
    demote = [Boost(union(buried), BURIED)] if buried else []
    return Effect(
        block=(Not(union(blocked)),) if blocked else (),
        narrow=(*([Not(union(buried))] if buried else ()), *within),
        demote=(*demote, *([Boost(Not(And(tuple(within))), OUTSIDE)] if within else ())),
        boosts=tuple(Boost(each.products, each.rule.add or 0.0) for each in rules if each.rule.action == "boost"),
        pins=_pins(each.rule for each in rules if each.rule.action == "pin"),
        fills=tuple(each.fill for each in rules if each.rule.action == "fill"),
        filters=frozenset(each.rule.name for each in rules if each.rule.action == "filter"),
    )


def union(nodes: Sequence[Node]) -> Node:
    """Return the filter of what at least one of some filters matches; lists of ids or values become one."""
    ids: list[str] = []
    values: dict[str, list[Any]] = {}
    others: list[Node] = []
    for node in nodes:
        match node:
            case IdIn(some):
                ids += some
            case In(name, some, False):
                values.setdefault(name, []).extend(some)
            case _:
                others.append(node)
    listed = [In(name, tuple(dict.fromkeys(some))) for name, some in values.items()]
    return Or((*([IdIn(tuple(dict.fromkeys(ids)))] if ids else ()), *listed, *others))


def _pins(rules: Iterable[Rule]) -> dict[int, str]:
    """Return position to id: where two want one position, the first has it and the other the next free one."""
    pins: dict[int, str] = {}
    for rule in rules:
        position = rule.position or 1
        while position in pins:
            position += 1
        if position <= LAST_POSITION and rule.item_id is not None and rule.item_id not in pins.values():
            pins[position] = rule.item_id
    return pins


def _shared(effect: Effect) -> Effect:
    """Return an effect whose filters and boosts are one object each, which its requests share."""
    return replace(
        effect,
        block=(SharedFilter(And(effect.block)),) if effect.block else (),
        narrow=(SharedFilter(And(effect.narrow)),) if effect.narrow else (),
        demote=(SharedBoosts(effect.demote),) if effect.demote else (),  # type: ignore[arg-type]
        boosts=(SharedBoosts(effect.boosts),) if effect.boosts else (),  # type: ignore[arg-type]
        fills=tuple(replace(fill, when=SharedFilter(fill.when)) for fill in effect.fills),
    )


def _together(first: Effect, second: Effect, pins: Mapping[int, str]) -> Effect:
    return Effect(
        block=first.block + second.block,
        narrow=first.narrow + second.narrow,
        boosts=first.boosts + second.boosts,
        pins=pins,
        fills=first.fills + second.fills,
        filters=first.filters | second.filters,
    )


class CompiledRules:
    """The rules of a placement over one bundle, in one period.

    Parameters
    ----------
    placement
        Has the rules.
    collections
        By name.
    attributes
        Of the bundle: rules that name a field which it lacks are left out, with a warning.
    moment
        Of the period: rules that are not in force then are left out.

    Attributes
    ----------
    placement
        As given.
    warnings
        Name of a rule to what is wrong with it, whatever the moment.
    until
        When a rule begins or ends next; None if never.
    """

    def __init__(
        self, placement: Placement, collections: Mapping[str, Collection], attributes: Attributes, moment: datetime
    ) -> None:
        self.placement, rules = placement, ordered(placement)
        edges = [edge for rule in rules for edge in (rule.from_, rule.until) if edge is not None and edge > moment]
        self.until = min(edges, default=None)
        self.warnings: dict[str, str] = {}
        self._rules: list[ParsedRule] = []
        for rule in rules:
            try:
                each = parsed(rule, collections)
                each.check(attributes)
            except RequestError as error:
                self.warnings[rule.name] = f"left out: {error}"
                continue
            if rule.item_id is not None and attributes.row_of(rule.item_id) < 0:
                self.warnings[rule.name] = f"there is no product {rule.item_id!r} in this bundle"
            if rule.is_in_force(moment):
                self._rules.append(each)
        conditional = [number for number, each in enumerate(self._rules) if each.when is not None]
        self._conditional = np.array(conditional, np.int64)
        self._table = FilterTable([self._rules[number].when or And() for number in conditional], attributes)
        self._always = np.array([each.when is None for each in self._rules], bool)
        self._any_with_seed = any(each.compares_with_seed for each in self._rules)
        self._effects: OrderedDict[bytes, Effect] = OrderedDict()
        self._group = cache(lambda numbers: _shared(combined([self._rules[number] for number in numbers])))
        self._lock = Lock()

    @property
    def is_empty(self) -> bool:
        """Whether no rule is in force, and none is wrong."""
        return not self._rules and not self.warnings

    def effect(self, seed_rows: Sequence[int], attributes: Attributes) -> Effect:
        """Return what the rules do to a request.

        Parameters
        ----------
        seed_rows
            Rows of its seed items: a rule with a condition holds if one of them matches.
        attributes
            Those of the bundle with live changes over them.
        """
        if not self._rules:
            return NO_EFFECT
        holds = self.holding(seed_rows, attributes)
        effect = self._of(holds)
        if not self._any_with_seed or len(seed_rows) != 1:
            return effect
        held = [self._rules[number] for number in np.flatnonzero(holds).tolist()]
        seeded = [
            replace(each, products=resolve(each.products, attributes, seed_rows[0]))
            for each in held
            if each.compares_with_seed
        ]
        demote = combined([*(each for each in held if not each.compares_with_seed), *seeded]).demote
        return replace(_together(effect, combined(seeded), effect.pins), demote=demote)

    def holding(self, seed_rows: Sequence[int], attributes: Attributes) -> Mask:
        """Return which of the rules in force hold, shape (r,); see `effect`."""
        if not seed_rows or not len(self._conditional):
            return self._always
        holds = self._always.copy()
        matched = [self._table.matches(row, attributes) for row in seed_rows]
        holds[self._conditional] = np.logical_or.reduce(matched)
        return holds

    def _of(self, holds: Mask) -> Effect:
        """Return what the rules that hold do, but for those that compare products with the seed."""
        key = holds.tobytes()
        with self._lock:
            if (effect := self._effects.get(key)) is not None:
                self._effects.move_to_end(key)
                return effect
            held = [n for n in np.flatnonzero(holds).tolist() if not self._rules[n].compares_with_seed]
            groups = [tuple(n for n in held if self._always[n] == always) for always in (True, False)]
            pins = _pins(self._rules[n].rule for n in held if self._rules[n].rule.action == "pin")
            demote = _shared(combined([self._rules[n] for n in held])).demote
            effect = replace(_together(self._group(groups[0]), self._group(groups[1]), pins), demote=demote)
            self._effects[key] = effect
            if len(self._effects) > CACHED_EFFECTS:
                self._effects.popitem(last=False)
        return effect
