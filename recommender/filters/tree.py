"""The JSON form of a filter, in Qdrant's shape."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from recommender.errors import RequestError, nearest
from recommender.filters.conditions import (
    All,
    Exists,
    IdIn,
    Node,
    Not,
    Operand,
    Range,
    SameAsSeed,
    Some,
    among,
)

_GROUPS = ("must", "should", "must_not")
_BOUNDS = ("gt", "gte", "lt", "lte")


def parse_tree(said: Any, depth: int | None, pointer: str) -> Node:
    """Parse ``{"must": [...], "should": [...], "must_not": [...]}`` or a condition by itself.

    All of `must`, one of `should` (where it has any) and none of `must_not` hold; their members are such trees
    or conditions: ``{"ids": [...]}``, or a field with one of match, any, except, range, exists, same_as_seed.

    Parameters
    ----------
    said
        What JSON gave.
    depth
        How many trees deep it may be nested; None for any depth.
    pointer
        Where it stands in the request.
    """
    if not isinstance(said, Mapping):
        raise RequestError(f"expected an object such as {{'must': [...]}}; found {_short(said)}", pointer)
    if "field" in said or "ids" in said:
        return _condition(said, pointer)
    _check_members(said, (*_GROUPS, "field", "ids"), pointer)
    if depth == 0:
        raise RequestError("filter is nested too deep", pointer)
    below = None if depth is None else depth - 1
    must, should, must_not = (_group(said, group, below, pointer) for group in _GROUPS)
    return All((*must, *([Some(should)] if should else []), *map(Not, must_not)))


def _group(said: Mapping[str, Any], group: str, depth: int | None, pointer: str) -> tuple[Node, ...]:
    at = f"{pointer}/{group}"
    members = _list(said.get(group, []), at)
    return tuple(parse_tree(member, depth, f"{at}/{position}") for position, member in enumerate(members))


def _condition(said: Mapping[str, Any], pointer: str) -> Node:
    _check_members(said, ("field", "ids", *_OPERATORS), pointer)
    if said.keys() == {"ids"}:
        return IdIn(_strings(said["ids"], f"{pointer}/ids"))
    operator = next((key for key in said if key in _OPERATORS), None)
    if operator is None or len(said) != 2 or "field" not in said:
        operators = ", ".join(_OPERATORS)
        found = ", ".join(said)
        raise RequestError(f"a condition is ids, or a field with one of {operators}; found {found}", pointer)
    name = _strings([said["field"]], f"{pointer}/field")[0]
    return _OPERATORS[operator](name, said[operator], f"{pointer}/field", f"{pointer}/{operator}")


def _match(name: str, operand: Any, pointer: str, at: str) -> Node:
    return among(name, (_scalar(operand, at),), pointer)


def _any(name: str, operand: Any, pointer: str, at: str) -> Node:
    return among(name, _scalars(operand, at), pointer)


def _except(name: str, operand: Any, pointer: str, at: str) -> Node:
    return among(name, _scalars(operand, at), pointer, other=True)


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


# From a field's name, the operand, where the field stands and where the operand does.
_OPERATORS: dict[str, Callable[[str, Any, str, str], Node]] = {
    "match": _match,
    "any": _any,
    "except": _except,
    "range": _range,
    "exists": _exists,
    "same_as_seed": _same_as_seed,
}


def _check_members(said: Mapping[str, Any], known: tuple[str, ...], pointer: str) -> None:
    for key in said:
        if key not in known:
            raise RequestError(f"unknown member {key!r}", f"{pointer}/{key}", nearest(str(key), known))


def _if(flag: Any, node: Node, pointer: str) -> Node:
    if not isinstance(flag, bool):
        raise RequestError(f"expected true or false; found {_short(flag)}", pointer)
    return node if flag else Not(node)


def _list(said: Any, pointer: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(said, list | tuple):
        raise RequestError(f"expected a list; found {_short(said)}", pointer)
    return said


def _strings(said: Any, pointer: str) -> tuple[str, ...]:
    values = _list(said, pointer)
    if not all(isinstance(value, str) for value in values):
        raise RequestError(f"expected strings; found {_short(said)}", pointer)
    return tuple(values)


def _scalars(said: Any, pointer: str) -> tuple[Operand, ...]:
    return tuple(_scalar(value, f"{pointer}/{position}") for position, value in enumerate(_list(said, pointer)))


def _scalar(said: Any, pointer: str) -> Operand:
    if isinstance(said, str):
        return said
    if isinstance(said, int | float) and not isinstance(said, bool):
        try:
            if math.isfinite(number := float(said)):
                return number
        except OverflowError:  # an integer beyond any float
            pass
    raise RequestError(f"expected a string or a finite number; found {_short(said)}", pointer)


def _short(said: Any) -> str:
    text = repr(said)
    return text if len(text) <= 60 else f"{text[:57]}..."
