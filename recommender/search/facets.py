"""Facets: how many products have each value of an attribute."""

from collections import Counter

import numpy as np

from recommender.core.blocks import Rows
from recommender.errors import RequestError
from recommender.filters import Node, fields_of
from recommender.filters.conditions import And, Not
from recommender.items import Attributes
from recommender.items.columns import Categories

KINDS = ("category", "multi")
MAX_VALUES = 100  # of one facet


def check_facets(attributes: Attributes, names: tuple[str, ...]) -> None:
    """Raise `RequestError` unless these are attributes whose values can be counted."""
    for position, name in enumerate(names):
        pointer = f"/facets/{position}"
        attributes.column(name, pointer)
        if (kind := attributes.kind(name)) not in KINDS:
            counted = [each for each in attributes.names if attributes.kind(each) in KINDS]
            message = f"{name} is a {kind}; facets count categories: {', '.join(counted)}"
            raise RequestError(message, pointer)


def without_field(node: Node | None, name: str) -> Node | None:
    """Return a filter without the conditions that choose values of a field; None if nothing is left.

    Conditions that exclude values stay, and so do those over several fields.
    """
    if node is None:
        return None
    conditions = node.nodes if isinstance(node, And) else (node,)
    rest = tuple(each for each in conditions if isinstance(each, Not) or fields_of(each) != {name})
    return And(rest) if rest else None


def count_values(attributes: Attributes, name: str, rows: Rows, groups: Rows) -> list[tuple[str, int]]:
    """Return the values of an attribute with their numbers of products, the most frequent first.

    Parameters
    ----------
    rows
        Those that count.
    groups
        Variants of one product share a number, shape (n,); a product counts once for each value.
    """
    column = attributes.column(name)
    if isinstance(column, Categories):
        codes = column.codes[rows]
        known = codes >= 0
        pairs = np.unique(np.stack([codes[known], groups[rows[known]]]), axis=1)
        distinct, numbers = np.unique(pairs[0], return_counts=True)
        counts = {
            column.words[code]: count for code, count in zip(distinct.tolist(), numbers.tolist(), strict=True)
        }
    else:
        counts = Counter(value for value, _ in set(_pairs(attributes, name, rows, groups)))
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:MAX_VALUES]


def _pairs(attributes: Attributes, name: str, rows: Rows, groups: Rows) -> list[tuple[str, int]]:
    """Return each value of each row, beside the group of the row."""
    column, pairs = attributes.column(name), []
    for row, group in zip(rows.tolist(), groups[rows].tolist(), strict=True):
        value = column.value(row)
        values = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        pairs += [(each, group) for each in values]
    return pairs
