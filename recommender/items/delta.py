"""Ids and columns of a base with a delta over it: products changed, added or removed since the base was built.

Rows of the base stay; added products have the rows beyond its end.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from recommender.core.blocks import Mask, Rows
from recommender.items.columns import Cells, Numbers, Value
from recommender.items.ids import Ids


class DeltaIds:
    """The interface of `Ids` over a base and a delta: rows are not in order of id; removed products have no row.

    Parameters
    ----------
    base
        The ids of the base.
    changed
        The ids of the c products changed or added.
    rows
        Their rows, shape (c,).
    removed
        Rows of the products removed, ascending.
    """

    def __init__(self, base: Ids, changed: Ids, rows: Rows, removed: Rows) -> None:
        added = np.flatnonzero(rows >= len(base))
        self._base, self._added, self._added_rows = base, Ids(changed.keys[added]), rows[added]
        self._id_of = dict(zip(self._added_rows.tolist(), self._added.ids_of(range(len(added))), strict=True))
        self._removed_rows = frozenset(removed.tolist())
        self.removed = removed

    def __len__(self) -> int:
        return len(self._base) + len(self._added)

    def row_of(self, item_id: str) -> int:
        """See `Ids.row_of`."""
        row = self._base.row_of(item_id)
        if row < 0 and (position := self._added.row_of(item_id)) >= 0:
            row = int(self._added_rows[position])
        return -1 if row in self._removed_rows else row

    def rows_of(self, ids: Iterable[str]) -> Rows:
        """See `Ids.rows_of`."""
        return np.array([self.row_of(item_id) for item_id in ids], dtype=np.int32)

    def id_of(self, row: int) -> str:
        """See `Ids.id_of`."""
        return self._base.id_of(row) if row < len(self._base) else self._id_of[int(row)]

    def ids_of(self, rows: Iterable[int]) -> list[str]:
        """See `Ids.ids_of`."""
        rows = np.asarray(rows, dtype=np.intp)
        if (rows < len(self._base)).all():
            return self._base.ids_of(rows)
        return [self.id_of(row) for row in rows.tolist()]

    @cached_property
    def in_order(self) -> Rows:
        """See `Ids.in_order`."""
        return self._all[~np.isin(self._all, self.removed)]

    @cached_property
    def id_ranks(self) -> Rows:
        """See `Ids.id_ranks`."""
        ranks = np.empty_like(self._all)
        ranks[self._all] = np.arange(len(ranks), dtype=np.int32)
        return ranks

    @cached_property
    def _all(self) -> Rows:
        """All rows in order of id, including those of removed products."""
        before = self._base.keys.searchsorted(self._added.keys)
        return np.insert(np.arange(len(self._base), dtype=np.int32), before, self._added_rows)


class DeltaColumn:
    """A column of the base with the values of a delta over it.

    Parameters
    ----------
    base
        The column of the base.
    changed
        The values of the c products changed or added.
    rows
        Their rows, shape (c,).
    n
        Number of rows of base and delta.
    """

    def __init__(self, base: Cells, changed: Cells, rows: Rows, n: int) -> None:
        self._base, self._changed, self._rows, self._n = base, changed, rows, n
        self._position = {row: position for position, row in enumerate(rows.tolist())}

    def value(self, row: int) -> Value:
        """See `Cells.value`."""
        position = self._position.get(int(row))
        return self._base.value(row) if position is None else self._changed.value(position)

    def present(self) -> Mask:
        """See `Cells.present`."""
        return self._mask(lambda column: column.present())

    def any_of(self, values: Sequence[Any]) -> Mask:
        """See `Cells.any_of`."""
        return self._mask(lambda column: column.any_of(values))

    def any_except(self, values: Sequence[Any]) -> Mask:
        """See `Cells.any_except`."""
        return self._mask(lambda column: column.any_except(values))

    def _mask(self, mask_of: Callable[[Cells], Mask]) -> Mask:
        base_mask = mask_of(self._base)
        mask = np.zeros(self._n, dtype=bool)
        mask[: len(base_mask)] = base_mask
        mask[self._rows] = mask_of(self._changed)
        return mask


def delta_numbers(base: Numbers, changed: Numbers, rows: Rows, removed: Rows, n: int) -> Numbers:
    """Return a column of numbers or dates with the delta's values at `rows`, and null for removed products."""
    values = np.full(n, np.nan)
    values[: len(base.values)] = base.values
    values[rows], values[removed] = changed.values, np.nan
    return type(base)(values)
