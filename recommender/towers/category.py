"""The category block: the sum of one trained embedding per value of a product's columns."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Protocol

import numpy as np

from recommender.core.blocks import Float, Mask, unit

LEVEL = " > "


@dataclass(frozen=True)
class Bags:
    """Sparse rows of (table row, weight): the entries of the embedding table for each item.

    Parameters
    ----------
    starts
        The start of each item's entries, shape (b,), int64.
    entries
        Rows of the table, int32.
    weights
        float32, one per entry.
    columns
        The position of each entry's catalogue column, int32.
    """

    starts: np.ndarray
    entries: np.ndarray
    weights: Float
    columns: np.ndarray


class CellLookup(Protocol):
    """What one column's cells are looked up in."""

    @property
    def name(self) -> str:
        """The column."""
        ...

    def lookup(self, cells: Iterable[Any]) -> list[list[tuple[int, float]]]:
        """Return the (table row, weight) pairs of each cell, at least one."""
        ...


@dataclass(frozen=True)
class ColumnVocabulary:
    """The values of one column in training; row 0 of its part of the table is for unknown or missing values.

    Parameters
    ----------
    name
        The column.
    first
        Its first row in the table.
    values
        Category values, in the order of their rows; empty for a number. A cell is the average of its values and of
        their ancestors, see `ancestry`: a rare value is close to its parents.
    knots
        Ascending quantiles of a number, each with a row of its own; a number between two knots has weights on
        both (piecewise linear encoding, Gorishniy et al., NeurIPS 2022). Empty for categories.
    """

    name: str
    first: int
    values: tuple[str, ...] = ()
    knots: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """The number of table rows of this column."""
        return 1 + len(self.values) + len(self.knots)

    def lookup(self, cells: Iterable[Any]) -> list[list[tuple[int, float]]]:
        """Return the (table row, weight) pairs of each cell; without a known value, the unknown row."""
        if self.knots:
            return [self._number(cell) for cell in cells]
        row_of = {value: self.first + 1 + i for i, value in enumerate(self.values)}

        @cache
        def rows(value: str) -> list[int]:
            return [row_of[step] for step in ancestry(value) if step in row_of]

        return [self._category(cell, rows) for cell in cells]

    def _category(self, cell: Any, rows: Callable[[str], list[int]]) -> list[tuple[int, float]]:
        values = cell if isinstance(cell, list | tuple) else [cell]
        known = dict.fromkeys(row for value in values if isinstance(value, str) for row in rows(value))
        return [(row, 1.0 / len(known)) for row in known] or [(self.first, 1.0)]

    def _number(self, cell: Any) -> list[tuple[int, float]]:
        if cell is None or cell == "" or cell != cell:
            return [(self.first, 1.0)]
        low = min(max(bisect_right(self.knots, float(cell)) - 1, 0), len(self.knots) - 1)
        high = min(low + 1, len(self.knots) - 1)
        gap = self.knots[high] - self.knots[low]
        share = min(max((float(cell) - self.knots[low]) / gap, 0.0), 1.0) if gap > 0 else 0.0
        pairs = [(self.first + 1 + low, 1.0 - share), (self.first + 1 + high, share)]
        return [(row, weight) for row, weight in pairs if weight > 0]


def ancestry(value: str) -> list[str]:
    """Return the ancestors of a hierarchical value and itself, topmost first; levels are separated by " > ".

    >>> ancestry("Apparel > Tops > T-shirts")
    ['Apparel', 'Apparel > Tops', 'Apparel > Tops > T-shirts']
    """
    return list(accumulate(value.split(LEVEL), lambda above, below: f"{above}{LEVEL}{below}"))


@dataclass(frozen=True)
class CategoryEmbedding:
    """The trained embedding of columns: one row per value; an item is their centred sum (LightFM, Kula, 2015).

    Parameters
    ----------
    vocabularies
        One per column.
    table
        Shape (rows of all vocabularies, d_m), float32.
    mean
        Mean of the sums over the training catalogue, shape (d_m,).
    """

    vocabularies: tuple[ColumnVocabulary, ...]
    table: Float
    mean: Float

    @property
    def dim(self) -> int:
        """The dimension d_m of the block."""
        return self.table.shape[1]

    def vectors(self, columns: Mapping[str, Sequence[Any]]) -> tuple[Float, Mask]:
        """Return the category block of each item.

        Parameters
        ----------
        columns
            Column name to b cells; an absent column counts as missing.

        Returns
        -------
        tuple
            Blocks, shape (b, d_m), norm 1 or 0; and which items have any known value, shape (b,).
        """
        bags = bag(self.vocabularies, columns)
        sums = np.add.reduceat(self.table[bags.entries] * bags.weights[:, None], bags.starts, axis=0)
        unknown = np.array([vocabulary.first for vocabulary in self.vocabularies])
        known = np.logical_or.reduceat(~np.isin(bags.entries, unknown), bags.starts)
        return unit(sums - self.mean) * known[:, None], known

    def to_dict(self) -> dict[str, Any]:
        """Return the vocabularies as JSON values; the arrays are stored apart."""
        return {
            "columns": [
                {"name": v.name, "first": v.first, "values": list(v.values), "knots": list(v.knots)}
                for v in self.vocabularies
            ]
        }

    @classmethod
    def from_exported(cls, exported: Mapping[str, Any], table: Float, mean: Float) -> "CategoryEmbedding":
        """Return the embedding of an exported dict and its two arrays."""
        vocabularies = tuple(
            ColumnVocabulary(c["name"], c["first"], tuple(c["values"]), tuple(c["knots"]))
            for c in exported["columns"]
        )
        return cls(vocabularies, table, mean)


def bag(vocabularies: Sequence[CellLookup], columns: Mapping[str, Sequence[Any]]) -> Bags:
    """Look up every cell; entries are ordered by item, then by column."""
    size = len(next(iter(columns.values()))) if columns else 1
    lookups = [
        vocabulary.lookup(columns[vocabulary.name] if vocabulary.name in columns else [None] * size)
        for vocabulary in vocabularies
    ]
    flat = [
        (item, row, weight, column)
        for item, cells in enumerate(zip(*lookups, strict=True))
        for column, cell in enumerate(cells)
        for row, weight in cell
    ]
    items, rows, weights, positions = (np.array(values) for values in zip(*flat, strict=True))
    starts = np.searchsorted(items, np.arange(size))
    return Bags(starts, rows.astype(np.int32), weights.astype(np.float32), positions.astype(np.int32))
