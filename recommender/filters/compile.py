"""From a tree of conditions to a mask over rows."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from recommender.attributes import Attributes
from recommender.attributes.columns import KINDS, Column, Numbers, Value, posix
from recommender.errors import RequestError
from recommender.filters.conditions import (
    All,
    Among,
    Exists,
    IdIn,
    Node,
    Not,
    Operand,
    Range,
    SameAsSeed,
    Some,
)
from recommender.filters.parse import parse

Overlay = Mapping[int, Mapping[str, Any]]


def compile(
    filter: Any,
    attributes: Attributes,
    seed_row: int | None = None,
    overlay: Overlay | None = None,
    *,
    trusted: bool = False,
    pointer: str = "/filter",
) -> np.ndarray:
    """Return which items a filter lets through.

    Parameters
    ----------
    filter
        In either form that `parse` reads.
    attributes
        Of the n items.
    seed_row
        The item that ``same_as_seed`` means, if there is one.
    overlay
        ``{row: {field: value}}``: what has changed since the bundle; None as a value is null.
    trusted, pointer
        See `parse`.

    Returns
    -------
    ndarray
        Bool (n,).

    Raises
    ------
    RequestError
        No filter; an unknown field; an operand that a field of that kind never has; no seed to be the same as.
    """
    node = parse(filter, trusted=trusted, pointer=pointer)
    return evaluate(resolve(node, attributes, seed_row, overlay), attributes, overlay)


def resolve(node: Node, attributes: Attributes, seed_row: int | None, overlay: Overlay | None) -> Node:
    """Replace ``same_as_seed`` by the seed's own values; a seed whose field is null has no equal."""
    match node:
        case All(nodes) | Some(nodes):
            return type(node)(tuple(resolve(inner, attributes, seed_row, overlay) for inner in nodes))
        case Not(inner):
            return Not(resolve(inner, attributes, seed_row, overlay))
        case SameAsSeed(name, pointer):
            if seed_row is None:
                raise RequestError("same_as_seed needs one seed item; the question has none", pointer)
            column = attributes.column(name, f"{pointer}/field")
            changed = (overlay or {}).get(seed_row, {})
            value: Value = (
                type(column).of([changed[name]]).value(0) if name in changed else column.value(seed_row)
            )
            values = value if isinstance(value, list) else [] if value is None else [value]
            return Among(name, tuple(values), pointer=pointer)
    return node


def evaluate(node: Node, attributes: Attributes, overlay: Overlay | None = None) -> np.ndarray:
    """Return the mask, bool (n,), of a tree in which ``same_as_seed`` is resolved."""
    match node:
        case All(()) | Some(()):
            return np.full(len(attributes), isinstance(node, All))
        case All(nodes):
            return reduce(np.logical_and, (evaluate(inner, attributes, overlay) for inner in nodes))
        case Some(nodes):
            return reduce(np.logical_or, (evaluate(inner, attributes, overlay) for inner in nodes))
        case Not(inner):
            return ~evaluate(inner, attributes, overlay)
        case IdIn(ids):
            mask = np.zeros(len(attributes), bool)
            rows = attributes.rows_of(ids)
            mask[rows[rows >= 0]] = True
            return mask
        case Among() | Range() | Exists():
            return _leaf(node, attributes, overlay)
    raise AssertionError(f"unresolved {node}")


def _leaf(leaf: Among | Range | Exists, attributes: Attributes, overlay: Overlay | None) -> np.ndarray:
    column = attributes.column(leaf.name, f"{leaf.pointer}/field")
    kind = attributes.kind(leaf.name)
    mask = _mask(leaf, column, kind)
    rows = [row for row, changed in overlay.items() if leaf.name in changed] if overlay else []
    if rows:
        # What has changed is a small column of the same kind, and is asked the same question.
        values = [overlay[row][leaf.name] for row in rows]  # type: ignore[index]
        mask[rows] = _mask(leaf, KINDS[kind].of(values), kind)
    return mask


def _mask(leaf: Among | Range | Exists, column: Column, kind: str) -> np.ndarray:
    match leaf:
        case Exists():
            return column.present()
        case Among(_, values, other):
            operands = [_operand(value, kind, leaf) for value in values]
            return column.any_but(operands) if other else column.any_of(operands)
    if not isinstance(column, Numbers):
        raise RequestError(f"{leaf.name} holds text; a range needs a field of numbers or dates", leaf.pointer)
    tests = [
        compare(column.values, _operand(bound, kind, leaf))
        for compare, bound in (
            (np.greater, leaf.gt),
            (np.greater_equal, leaf.gte),
            (np.less, leaf.lt),
            (np.less_equal, leaf.lte),
        )
        if bound is not None
    ]
    return reduce(np.logical_and, tests)


def _operand(value: Operand, kind: str, leaf: Among | Range | Exists) -> Operand:
    """Return an operand as a column of that kind holds it."""
    if kind == "number":
        if isinstance(value, float):
            return value
        raise RequestError(f"{leaf.name} holds numbers; found {value!r}", leaf.pointer, _number_in(value))
    if kind == "date":
        seconds = posix(value) if isinstance(value, str) else None
        if seconds is not None:
            return seconds
        raise RequestError(
            f'{leaf.name} holds dates; found {value!r}, expected one such as "2026-11-23"', leaf.pointer
        )
    if isinstance(value, str):
        return value
    raise RequestError(f"{leaf.name} holds text; found the number {value:g}", leaf.pointer, f'"{value:g}"')


def _number_in(text: str) -> str | None:
    try:
        return f"{float(text):g}"
    except ValueError:
        return None
