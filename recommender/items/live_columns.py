"""Columns of a bundle with live values over some rows; a change applies to the rows that changed, no others.

A changed column is a new object, so that a request that has begun goes on with the one that it had.
"""

# The methods of `WordColumn` are documented in `Cells`.
# ruff: noqa: D102

from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Protocol, Self

import numpy as np

from recommender.core.blocks import Double, Mask, Rows
from recommender.items.attributes import Attributes
from recommender.items.columns import KINDS, Cells, Multi, Numbers, Value

# In the place of a row's value: that of the bundle holds again.
OF_THE_BUNDLE: Any = object()


class LiveColumn(Protocol):
    """The interface of a column that live values lie over."""

    @property
    def cells(self) -> Cells:
        """The column with the live values."""

    @property
    def live_rows(self) -> Rows:
        """The rows that have a live value, ascending."""

    def changed(self, values: Mapping[int, Any]) -> Self:
        """Return the column with other live values at some rows; `OF_THE_BUNDLE` removes one."""


def changed_columns(
    attributes: Attributes, columns: Mapping[str, LiveColumn], values: Mapping[str, Mapping[int, Any]]
) -> dict[str, LiveColumn]:
    """Return live columns with other values; names that are no attribute of the bundle are ignored.

    Parameters
    ----------
    attributes
        Of the bundle.
    columns
        The live columns so far, by name.
    values
        Name to row to the new value, or `OF_THE_BUNDLE`.
    """
    known = {name: rows for name, rows in values.items() if name in attributes.names}
    new = {
        name: columns[name]
        if name in columns
        else _live(attributes.column(name), attributes.kind(name), attributes)
        for name in known
    }
    return {**columns, **{name: column.changed(known[name]) for name, column in new.items()}}


def with_live_columns(attributes: Attributes, columns: Mapping[str, LiveColumn]) -> Attributes:
    """Return the attributes with the values of live columns."""
    return attributes.with_columns({name: column.cells for name, column in columns.items()})


def _live(base: Cells, kind: str, attributes: Attributes) -> LiveColumn:
    type_ = KINDS[kind]
    if isinstance(base, Numbers) and issubclass(type_, Numbers):
        return NumberColumn(base, type_, np.zeros(len(attributes), dtype=bool), base.values)
    return WordColumn(base, type_ is Multi, np.full(len(attributes), -1, dtype=np.int32), LiveVocabulary())


class NumberColumn:
    """Numbers or dates of a bundle with live ones over them.

    Parameters
    ----------
    base
        The column of the bundle; prices of sales change in it.
    type_
        `Numbers` or `Dates`.
    live
        Mask of the rows that have a live value, (n,).
    values
        All values, (n,).
    """

    def __init__(self, base: Numbers, type_: type[Numbers], live: Mask, values: Double) -> None:
        self._base, self._type, self._live = base, type_, live
        self._before = base.values
        self.cells = type_(values)

    @property
    def live_rows(self) -> Rows:
        """See `LiveColumn.live_rows`."""
        return np.flatnonzero(self._live).astype(np.int32)

    def changed(self, values: Mapping[int, Any]) -> "NumberColumn":
        """See `LiveColumn.changed`."""
        base, live, current = self._base.values, self._live.copy(), self.cells.values
        current = current.copy() if base is self._before else np.where(live, current, base)
        removed = [row for row, value in values.items() if value is OF_THE_BUNDLE]
        new = {row: value for row, value in values.items() if value is not OF_THE_BUNDLE}
        live[removed], current[removed] = False, base[removed]
        live[[*new]], current[[*new]] = True, self._type.of(new.values()).values
        return NumberColumn(self._base, self._type, live, current)


class LiveVocabulary:
    """The distinct live values of a column of strings, each a code; it only grows, so that versions share it."""

    def __init__(self) -> None:
        self.values: list[tuple[str, ...]] = []
        self.sizes = array("i")
        self._code_of: dict[tuple[str, ...], int] = {}
        self._having: dict[str, list[int]] = {}

    def code(self, value: tuple[str, ...]) -> int:
        """Return the code of a value, a new one if it has none."""
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self.values)
            self.values.append(value)
            self.sizes.append(len(value))
            for word in value:
                self._having.setdefault(word, []).append(code)
        return code

    def hits(self, words: Iterable[Any]) -> Rows:
        """Return how many words of each value are among some words, shape (number of values,)."""
        codes = np.array([*chain.from_iterable(self._having.get(word, ()) for word in set(words))], dtype=np.int64)
        return np.bincount(codes, minlength=len(self.values)).astype(np.int32)


class WordColumn:
    """Categories, texts or lists of a bundle with live values over them; the interface of `Cells`.

    Parameters
    ----------
    base
        The column of the bundle.
    is_multi
        Whether values are lists.
    codes
        Of the live values, (n,) int32; -1 where there is none.
    vocabulary
        Of the codes.
    """

    def __init__(self, base: Cells, is_multi: bool, codes: Rows, vocabulary: LiveVocabulary) -> None:
        self._base, self._is_multi, self._codes, self._vocabulary = base, is_multi, codes, vocabulary

    @property
    def cells(self) -> "WordColumn":
        """See `LiveColumn.cells`."""
        return self

    def changed(self, values: Mapping[int, Any]) -> "WordColumn":
        """See `LiveColumn.changed`."""
        codes = self._codes.copy()
        codes[[*values]] = [
            -1 if value is OF_THE_BUNDLE else self._vocabulary.code(_words(value, self._is_multi))
            for value in values.values()
        ]
        return WordColumn(self._base, self._is_multi, codes, self._vocabulary)

    def value(self, row: int) -> Value:
        code = self._codes.item(row)
        if code < 0:
            return self._base.value(row)
        words = self._vocabulary.values[code]
        return None if not words else [*words] if self._is_multi else words[0]

    def present(self) -> Mask:
        return self._over(self._base.present(), np.array(self._vocabulary.sizes) > 0)

    def any_of(self, values: Sequence[Any]) -> Mask:
        return self._over(self._base.any_of(values), self._vocabulary.hits(values) > 0)

    def any_except(self, values: Sequence[Any]) -> Mask:
        hits = self._vocabulary.hits(values)
        return self._over(self._base.any_except(values), np.array(self._vocabulary.sizes)[: len(hits)] > hits)

    @cached_property
    def live_rows(self) -> Rows:
        """See `LiveColumn.live_rows`."""
        return np.flatnonzero(self._codes >= 0).astype(np.int32)

    def _over(self, mask: Mask, of_values: Mask) -> Mask:
        mask[self.live_rows] = of_values[self._codes[self.live_rows]]
        return mask


def _words(value: Any, is_multi: bool) -> tuple[str, ...]:
    """Return the strings of a cell, as `Categories.of` and `Multi.of` read it."""
    several = value if is_multi and isinstance(value, list | tuple) else [value]
    return tuple(word for word in several if isinstance(word, str) and word)
