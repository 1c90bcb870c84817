"""Many filters at one product: which of them it matches, in a few numpy calls however many there are."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from recommender.core.blocks import Mask
from recommender.filters.compile import misfit, operand_of, resolve
from recommender.filters.conditions import And, Exists, IdIn, In, Leaf, Node, Not, Or, Range, leaves
from recommender.items import Attributes
from recommender.items.columns import Numbers

_BOUNDS = {"gt": -np.inf, "gte": -np.inf, "lt": np.inf, "lte": np.inf}
# Slots of the values that are always false and always true.
_FALSE, _TRUE = 0, 1


class Operand(NamedTuple):
    """The slot that a node's value is in, whether it is to be negated there, and its depth above the leaves."""

    slot: int
    negated: bool = False
    depth: int = 0


class NodesOfLevel(NamedTuple):
    """The nodes of one depth and kind: their operands one after the other, where each begins, and their slots."""

    reduce: Callable[..., Mask]
    operands: np.ndarray
    negated: np.ndarray
    starts: np.ndarray
    slots: np.ndarray


class FilterTable:
    """Filters that are evaluated together at one row; `evaluate` takes one filter and all rows.

    Leaves of one column are looked up by the product's value, or compared as arrays; inner nodes follow level by
    level, all of one depth and kind at once.

    Parameters
    ----------
    nodes
        The r filters; none compares with a seed.
    attributes
        Of the bundle: the kinds of the columns.

    Raises
    ------
    RequestError
        If a field is unknown, or an operand does not suit it.
    """

    def __init__(self, nodes: Sequence[Node], attributes: Attributes) -> None:
        nodes = [resolve(node, attributes, None) for node in nodes]
        distinct = dict.fromkeys(leaf for node in nodes for leaf in leaves(node))
        self._slots = {leaf: slot for slot, leaf in enumerate(distinct, start=2)}
        self._size = 2 + len(distinct)
        self._ids: dict[str, list[int]] = defaultdict(list)
        by_column: dict[str, list[tuple[int, Any]]] = defaultdict(list)
        for leaf, slot in self._slots.items():
            if isinstance(leaf, IdIn):
                for item_id in dict.fromkeys(leaf.ids):
                    self._ids[item_id].append(slot)
            elif isinstance(leaf, In | Range | Exists):
                by_column[leaf.name].append((slot, leaf))
        self._columns = [_Leaves(name, attributes.kind(name), found) for name, found in by_column.items()]
        found: dict[tuple[int, type], list[tuple[int, list[Operand]]]] = defaultdict(list)
        results = [self._add(node, found) for node in nodes]
        self._levels = [_level(kind, found[depth, kind]) for depth, kind in sorted(found, key=lambda key: key[0])]
        self._results = np.array([result.slot for result in results], np.int64)
        self._negated = np.array([result.negated for result in results], bool)

    def _add(self, node: Node, found: dict[tuple[int, type], list[tuple[int, list[Operand]]]]) -> Operand:
        match node:
            case Not(inner):
                operand = self._add(inner, found)
                return operand._replace(negated=not operand.negated)
            case And(()) | Or(()):
                return Operand(_TRUE if isinstance(node, And) else _FALSE)
            case And(nodes) | Or(nodes):
                operands = [self._add(each, found) for each in nodes]
                depth, slot = 1 + max(operand.depth for operand in operands), self._size
                self._size += 1
                found[depth, type(node)].append((slot, operands))
                return Operand(slot, depth=depth)
        leaf: Any = node
        return Operand(self._slots[leaf])

    def matches(self, row: int, attributes: Attributes) -> Mask:
        """Return which of the filters a row matches, shape (r,).

        Parameters
        ----------
        row
            Of the product.
        attributes
            Those of the bundle with live changes over them.
        """
        values = np.zeros(self._size, bool)
        values[_TRUE] = True
        for column in self._columns:
            column.fill(values, row, attributes)
        if self._ids and (slots := self._ids.get(attributes.id_of(row))):
            values[slots] = True
        for level in self._levels:
            values[level.slots] = level.reduce(values[level.operands] ^ level.negated, level.starts)
        matched: Mask = values[self._results] ^ self._negated
        return matched


def _level(kind: type, found: Sequence[tuple[int, list[Operand]]]) -> NodesOfLevel:
    operands = [operand for _, each in found for operand in each]
    return NodesOfLevel(
        np.logical_and.reduceat if kind is And else np.logical_or.reduceat,
        np.array([operand.slot for operand in operands]),
        np.array([operand.negated for operand in operands]),
        np.cumsum([0, *(len(each) for _, each in found)])[:-1],
        np.array([slot for slot, _ in found]),
    )


class _Leaves:
    """The leaves of one column, with their slots."""

    def __init__(self, name: str, kind: str, found: Sequence[tuple[int, Leaf]]) -> None:
        self._name = name
        self._exists = [slot for slot, leaf in found if isinstance(leaf, Exists)]
        listed = [(slot, leaf) for slot, leaf in found if isinstance(leaf, In)]
        self._listed = np.array([slot for slot, _ in listed], np.int64)
        self._negated = np.array([leaf.negated for _, leaf in listed], bool)
        positions: dict[Any, list[int]] = defaultdict(list)
        for position, (_, leaf) in enumerate(listed):
            for value in {operand_of(value, kind, leaf) for value in leaf.values}:
                positions[value].append(position)
        self._positions = {value: np.array(each) for value, each in positions.items()}
        ranges = [(slot, leaf) for slot, leaf in found if isinstance(leaf, Range)]
        if ranges and kind not in ("number", "date"):
            raise misfit(ranges[0][1], "text; a range needs a field of numbers or dates")
        self._ranges = np.array([slot for slot, _ in ranges], np.int64)
        self._bounds = {
            bound: np.array([_bound(leaf, bound, kind) for _, leaf in ranges], np.float64) for bound in _BOUNDS
        }

    def fill(self, values: Mask, row: int, attributes: Attributes) -> None:
        """Set the slots of the leaves that a row matches."""
        column = attributes.column(self._name)
        value: Any = column.values.item(row) if isinstance(column, Numbers) else column.value(row)
        if value is None or value == [] or value != value:
            return
        values[self._exists] = True
        if len(self._listed):
            parts = set(value) if isinstance(value, list) else {value}
            hits = np.zeros(len(self._listed), np.int64)
            for part in parts:
                if (positions := self._positions.get(part)) is not None:
                    hits[positions] += 1
            values[self._listed] = np.where(self._negated, hits < len(parts), hits > 0)
        if len(self._ranges):
            above = (value > self._bounds["gt"]) & (value >= self._bounds["gte"])
            values[self._ranges] = above & (value < self._bounds["lt"]) & (value <= self._bounds["lte"])


def _bound(leaf: Range, name: str, kind: str) -> float:
    bound = getattr(leaf, name)
    return _BOUNDS[name] if bound is None else float(operand_of(bound, kind, leaf))
