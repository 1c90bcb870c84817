"""The conditions of a filter: the tree into which both forms, JSON and text, are parsed.

A null matches nothing but a negation, and a multi-valued field matches if any of its values does. `pointer`, the
JSON pointer to the field in the request, is for messages only and does not count when nodes are compared.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Operand = str | float


@dataclass(frozen=True, slots=True)
class And:
    """All of `nodes` hold; without nodes, true."""

    nodes: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of `nodes` holds; without nodes, false."""

    nodes: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """`node` does not hold; a null field, which matches nothing, matches this."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class In:
    """A value of the field is one of `values`; with `negated`, a value of it is none of them."""

    name: str
    values: tuple[Operand, ...]
    negated: bool = False
    pointer: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Range:
    """The field's number or date is within the given bounds."""

    name: str
    gt: Operand | None = None
    gte: Operand | None = None
    lt: Operand | None = None
    lte: Operand | None = None
    pointer: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is not null."""

    name: str
    pointer: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class SameAsSeed:
    """The field shares a value with the seed item."""

    name: str
    pointer: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class IdIn:
    """The item's id is one of `ids`; unknown ids are no error."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SharedFilter:
    """A filter that many requests share: compared by identity, so that its conditions are not walked for each.

    Its fields do not count as named by the request.
    """

    node: "Node"


Leaf = In | Range | Exists | SameAsSeed | IdIn
Node = And | Or | Not | SharedFilter | Leaf


def field_in(name: str, values: tuple[Operand, ...], pointer: str = "", negated: bool = False) -> Node:
    """Return the condition that a field is one of `values`; the field ``id`` is the item's id."""
    if name != "id":
        return In(name, values, negated, pointer)
    ids = IdIn(tuple(str(value) for value in values))
    return Not(ids) if negated else ids


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield every leaf of a tree, from left to right, but those of shared filters."""
    match node:
        case And(nodes) | Or(nodes):
            for inner in nodes:
                yield from leaves(inner)
        case Not(inner):
            yield from leaves(inner)
        case SharedFilter():
            return
        case _:
            yield node


def size(node: Node) -> int:
    """Return the number of conditions and values of a filter."""
    return sum(1 + len(getattr(leaf, "values", getattr(leaf, "ids", ()))) for leaf in leaves(node))


def fields_of(node: Node) -> set[str]:
    """Return the names of the fields that a filter uses; ``id`` if it names ids."""
    return {"id" if isinstance(leaf, IdIn) else leaf.name for leaf in leaves(node)}


def uses_seed(node: Node) -> bool:
    """Return whether a filter compares with the seed item."""
    return any(isinstance(leaf, SameAsSeed) for leaf in leaves(node))


def canonical(node: Node) -> Hashable:
    """Return a cache key: equal for trees that differ only in order, repetition or needless nesting."""
    match node:
        case And(nodes) | Or(nodes):
            keys = {key for inner in map(canonical, nodes) for key in _unnested(type(node), inner)}
            return keys.pop() if len(keys) == 1 else (type(node), frozenset(keys))
        case Not(Not(inner)):
            return canonical(inner)
        case Not(inner):
            return Not, canonical(inner)
        case In(name, values, negated):
            return In, name, frozenset(values), negated
        case IdIn(ids):
            return IdIn, frozenset(ids)
        case _:
            return node


def _unnested(kind: type, key: Any) -> Iterable[Hashable]:
    return key[1] if isinstance(key, tuple) and key[0] is kind else [key]
