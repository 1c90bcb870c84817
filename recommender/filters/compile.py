"""Evaluate a filter: from a tree of conditions to a mask over rows."""

from functools import reduce

import numpy as np

from recommender.errors import RequestError, nearest
from recommender.filters.conditions import (
    And,
    Exists,
    IdIn,
    In,
    Node,
    Not,
    Operand,
    Or,
    Range,
    SameAsSeed,
    SharedFilter,
)
from recommender.items import Attributes
from recommender.items.availability import AVAILABILITIES, EXPECTED, canonical_availability
from recommender.items.columns import Cells, Numbers, posix


def resolve(node: Node, attributes: Attributes, seed_row: int | None) -> Node:
    """Replace ``same_as_seed`` by the seed's values, and words of availability by Google Merchant's.

    A seed whose field is null matches nothing.
    """
    match node:
        case And(nodes) | Or(nodes):
            return type(node)(tuple(resolve(inner, attributes, seed_row) for inner in nodes))
        case Not(inner):
            return Not(resolve(inner, attributes, seed_row))
        case SameAsSeed(name, pointer):
            if seed_row is None:
                raise RequestError("same_as_seed needs one seed item; found none", pointer.removesuffix("/field"))
            seed = attributes.column(name, pointer).value(seed_row)
            values = seed if isinstance(seed, list) else [] if seed is None else [seed]
            return In(name, tuple(values), pointer=pointer)
        case In("availability", values, negated, pointer):
            column = attributes.column("availability", pointer)
            return In(
                "availability", tuple(_availability(value, column, pointer) for value in values), negated, pointer
            )
    return node


def _availability(value: Operand, column: Cells, pointer: str) -> Operand:
    """Return the canonical word; a word that is neither known nor in the column is an error."""
    if not isinstance(value, str):
        return value
    canonical = canonical_availability(value)
    if not canonical and not column.any_of([value]).any():
        message = f"availability is {value!r}; expected {EXPECTED}"
        raise RequestError(message, pointer.removesuffix("/field"), nearest(value, AVAILABILITIES))
    return canonical or value


def evaluate(node: Node, attributes: Attributes) -> np.ndarray:
    """Return the mask, bool (n,), of a tree in which ``same_as_seed`` is resolved."""
    match node:
        case And(()) | Or(()):
            return np.full(len(attributes), isinstance(node, And))
        case And(nodes):
            return reduce(np.logical_and, (evaluate(inner, attributes) for inner in nodes))
        case Or(nodes):
            return reduce(np.logical_or, (evaluate(inner, attributes) for inner in nodes))
        case Not(inner):
            return ~evaluate(inner, attributes)
        case IdIn(ids):
            mask = np.zeros(len(attributes), bool)
            rows = attributes.rows_of(ids)
            mask[rows[rows >= 0]] = True
            return mask
        case SharedFilter(inner):
            return evaluate(resolve(inner, attributes, None), attributes)
        case In() | Range() | Exists():
            return _mask(node, attributes.column(node.name, node.pointer), attributes.kind(node.name))
    raise AssertionError(f"unresolved {node}")


def _mask(leaf: In | Range | Exists, column: Cells, kind: str) -> np.ndarray:
    match leaf:
        case Exists():
            return column.present()
        case In(_, values, negated):
            operands = [operand_of(value, kind, leaf) for value in values]
            return column.any_except(operands) if negated else column.any_of(operands)
    if not isinstance(column, Numbers):
        raise misfit(leaf, "text; a range needs a field of numbers or dates")
    bounds = {compare: getattr(leaf, name) for name, compare in _COMPARE.items()}
    return reduce(
        np.logical_and,
        [
            compare(column.values, operand_of(bound, kind, leaf))
            for compare, bound in bounds.items()
            if bound is not None
        ],
    )


_COMPARE = {"gt": np.greater, "gte": np.greater_equal, "lt": np.less, "lte": np.less_equal}


def operand_of(value: Operand, kind: str, leaf: In | Range) -> Operand:
    """Convert an operand to what a column of this kind holds."""
    if kind == "date":
        seconds = posix(value) if isinstance(value, str) else None
        if seconds is None:
            raise misfit(leaf, f'dates; found {value!r}, expected one such as "2026-11-23"')
        return seconds
    if isinstance(value, str) == (kind == "number"):
        right, wrong = ("numbers", "the string") if kind == "number" else ("text", "the number")
        raise misfit(leaf, f"{right}; found {wrong} {value!r}")
    return value


def misfit(leaf: In | Range, problem: str) -> RequestError:
    """Return the error of a condition that does not suit the kind of its field."""
    return RequestError(f"{leaf.name} holds {problem}", leaf.pointer.removesuffix("/field"))
