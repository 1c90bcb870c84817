"""Parse the JSON form of a filter, in the shape of Qdrant's."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from recommender.errors import RequestError, nearest
from recommender.filters.conditions import (
    And,
    Exists,
    IdIn,
    Node,
    Not,
    Operand,
    Or,
    Range,
    SameAsSeed,
    field_in,
)
from recommender.filters.limits import FilterLimits

_GROUPS = ("must", "should", "must_not")
_BOUNDS = ("gt", "gte", "lt", "lte")


def parse_tree(value: Any, limits: FilterLimits, pointer: str) -> Node:
    """Parse ``{"must": [...], "should": [...], "must_not": [...]}`` or a condition by itself.

    All of `must`, at least one of `should` (unless it is empty) and none of `must_not` hold; their members are
    such trees or conditions: ``{"ids": [...]}``, or a field with one of match, any, except, range, exists,
    same_as_seed.

    Parameters
    ----------
    value
        The decoded JSON.
    limits
        Limits the nesting of trees, conditions and values.
    pointer
        JSON pointer to it in the request.
    """
    if not isinstance(value, Mapping):
        raise RequestError(f"expected an object such as {{'must': [...]}}; found {_short(value)}", pointer)
    if "field" in value or "ids" in value:
        limits.take("conditions")
        return _condition(value, limits, pointer)
    _check_members(value, (*_GROUPS, "field", "ids"), pointer)
    if not any(value.values()):
        limits.take("conditions")  # an empty tree is one that always holds
    limits.enter(pointer)
    must, should, must_not = (_group(value, group, limits, pointer) for group in _GROUPS)
    limits.leave()
    return And((*must, *([Or(should)] if should else []), *map(Not, must_not)))


def _group(value: Mapping[str, Any], group: str, limits: FilterLimits, pointer: str) -> tuple[Node, ...]:
    at = f"{pointer}/{group}"
    members = _list(value.get(group, []), at)
    return tuple(parse_tree(member, limits, f"{at}/{position}") for position, member in enumerate(members))


def _condition(value: Mapping[str, Any], limits: FilterLimits, pointer: str) -> Node:
    _check_members(value, ("field", "ids", *_OPERATORS), pointer)
    for values in value.values():
        if isinstance(values, list | tuple):
            limits.take("values", len(values))
    if value.keys() == {"ids"}:
        return IdIn(_strings(value["ids"], f"{pointer}/ids"))
    operator = next((key for key in value if key in _OPERATORS), None)
    if operator is None or len(value) != 2 or "field" not in value:
        operators = ", ".join(_OPERATORS)
        found = ", ".join(value)
        raise RequestError(f"a condition is ids, or a field with one of {operators}; found {found}", pointer)
    name = _strings([value["field"]], f"{pointer}/field")[0]
    return _OPERATORS[operator](name, value[operator], f"{pointer}/field", f"{pointer}/{operator}")


def _match(name: str, operand: Any, pointer: str, at: str) -> Node:
    return field_in(name, (_scalar(operand, at),), pointer)


def _any(name: str, operand: Any, pointer: str, at: str) -> Node:
    return field_in(name, _scalars(operand, at), pointer)


def _except(name: str, operand: Any, pointer: str, at: str) -> Node:
    return field_in(name, _scalars(operand, at), pointer, negated=True)


def _range(name: str, operand: Any, pointer: str, at: str) -> Node:
    if not isinstance(operand, Mapping) or not operand:
        raise RequestError(f"range has some of {', '.join(_BOUNDS)}; found {_short(operand)}", at)
    _check_members(operand, _BOUNDS, at)
    bounds: dict[str, Any] = {key: _scalar(bound, f"{at}/{key}") for key, bound in operand.items()}
    return Range(name, **bounds, pointer=pointer)


def _exists(name: str, operand: Any, pointer: str, at: str) -> Node:
    return _if(operand, Exists(name, pointer), at)


def _same_as_seed(name: str, operand: Any, pointer: str, at: str) -> Node:
    return _if(operand, SameAsSeed(name, pointer), at)


# Called with the field's name, the operand, and the JSON pointers to the field and to the operand.
_OPERATORS: dict[str, Callable[[str, Any, str, str], Node]] = {
    "match": _match,
    "any": _any,
    "except": _except,
    "range": _range,
    "exists": _exists,
    "same_as_seed": _same_as_seed,
}


def _check_members(value: Mapping[str, Any], known: tuple[str, ...], pointer: str) -> None:
    for key in value:
        if key not in known:
            raise RequestError(f"unknown member {_short(key)}", f"{pointer}/{key}", nearest(str(key), known))


def _if(flag: Any, node: Node, pointer: str) -> Node:
    if not isinstance(flag, bool):
        raise RequestError(f"expected true or false; found {_short(flag)}", pointer)
    return node if flag else Not(node)


def _list(value: Any, pointer: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise RequestError(f"expected a list; found {_short(value)}", pointer)
    return value


def _strings(strings: Any, pointer: str) -> tuple[str, ...]:
    values = _list(strings, pointer)
    if not all(isinstance(value, str) for value in values):
        raise RequestError(f"expected strings; found {_short(strings)}", pointer)
    return tuple(values)


def _scalars(values: Any, pointer: str) -> tuple[Operand, ...]:
    return tuple(_scalar(value, f"{pointer}/{position}") for position, value in enumerate(_list(values, pointer)))


def _scalar(value: Any, pointer: str) -> Operand:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(number := float(value)):
                return number
        except OverflowError:  # an integer beyond any float
            pass
    raise RequestError(f"expected a string or a finite number; found {_short(value)}", pointer)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
