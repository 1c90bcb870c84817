"""The tree that both forms of a filter are parsed into, and that masks are made from.

Nodes are hashable, and equal wherever they were said: where a node stood in the request (`pointer`) is kept for
messages only. What they mean is said in HTTP_API's words: nulls match nothing but a negation, and a
multi-valued field matches if any of its values does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

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


def canonical(node: Node) -> Node:
    """Return one form for trees that differ in order, repetition or needless nesting only."""
    match node:
        case All(nodes) | Some(nodes):
            flat: dict[Node, None] = {}
            for inner in map(canonical, nodes):
                flat.update(dict.fromkeys(inner.nodes if isinstance(inner, type(node)) else (inner,)))  # type: ignore[attr-defined]
            return next(iter(flat)) if len(flat) == 1 else type(node)(tuple(sorted(flat, key=repr)))
        case Not(Not(inner)):
            return canonical(inner)
        case Not(inner):
            return Not(canonical(inner))
        case Among(name, values, other, pointer):
            return Among(name, tuple(sorted(set(values), key=repr)), other, pointer)
        case IdIn(ids):
            return IdIn(tuple(sorted(set(ids))))
        case _:
            return node
