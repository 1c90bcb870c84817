"""The tree that both forms of a filter are parsed into, and that masks are made from.

A null matches nothing but a negation, and a multi-valued field matches if any of its values does. Nodes are
equal wherever they were said: `pointer`, where the request named the field, is for messages only.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Operand = str | float


@dataclass(frozen=True, slots=True)
class All:
    """Every one of `nodes` holds; with none, always true."""

    nodes: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of `nodes` holds; with none, never true."""

    nodes: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """`node` does not hold; a null field, which matches nothing, matches this."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class Among:
    """A value of the field is one of `values`; with `other`, a value of it is none of them."""

    name: str
    values: tuple[Operand, ...]
    other: bool = False
    pointer: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Range:
    """The field's number or date lies within every bound that is given."""

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
    """The item's id is one of `ids`; ids of no item are no error."""

    ids: tuple[str, ...]


Leaf = Among | Range | Exists | SameAsSeed | IdIn
Node = All | Some | Not | Leaf


def among(name: str, values: tuple[Operand, ...], pointer: str = "", other: bool = False) -> Node:
    """Return the condition that `name` is one of `values`, where ``id`` means the item's id itself."""
    if name != "id":
        return Among(name, values, other, pointer)
    ids = IdIn(tuple(str(value) for value in values))
    return Not(ids) if other else ids


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield every leaf of a tree, from left to right."""
    match node:
        case All(nodes) | Some(nodes):
            for inner in nodes:
                yield from leaves(inner)
        case Not(inner):
            yield from leaves(inner)
        case _:
            yield node


def fields_of(node: Node) -> set[str]:
    """Return the names of the fields that a filter asks about; ``id`` if it names ids."""
    return {"id" if isinstance(leaf, IdIn) else leaf.name for leaf in leaves(node)}


def uses_seed(node: Node) -> bool:
    """Return whether a filter compares with the seed item."""
    return any(isinstance(leaf, SameAsSeed) for leaf in leaves(node))


def canonical(node: Node) -> Hashable:
    """Return a key that is the same for trees that differ in order, repetition or needless nesting only."""
    match node:
        case All(nodes) | Some(nodes):
            keys = {key for inner in map(canonical, nodes) for key in _unnested(type(node), inner)}
            return keys.pop() if len(keys) == 1 else (type(node), frozenset(keys))
        case Not(Not(inner)):
            return canonical(inner)
        case Not(inner):
            return Not, canonical(inner)
        case Among(name, values, other):
            return Among, name, frozenset(values), other
        case IdIn(ids):
            return IdIn, frozenset(ids)
        case _:
            return node


def _unnested(kind: type, key: Any) -> Iterable[Hashable]:
    return key[1] if isinstance(key, tuple) and key[0] is kind else [key]
