"""The attributes of all items: their ids and one column per attribute."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from recommender.core.blocks import Rows
from recommender.errors import RequestError, nearest
from recommender.items.availability import canonical_availability
from recommender.items.columns import KINDS, Categories, Cells, Multi, Numbers, Value
from recommender.items.delta import DeltaColumn, DeltaIds, delta_numbers
from recommender.items.ids import Ids
from recommender.items.sales import OFFER, CurrentPrices, SalePrices
from recommender.items.strings import Words


class Attributes:
    """The catalogue's columns by row.

    Parameters
    ----------
    ids
        Of the n products.
    kinds
        Name of each attribute to its kind.
    columns
        Name of each attribute to its values.
    """

    def __init__(self, ids: Ids | DeltaIds, kinds: Mapping[str, str], columns: Mapping[str, Cells]) -> None:
        self.ids, self._kinds, self._columns = ids, kinds, columns
        self.row_of, self.rows_of, self.id_of = ids.row_of, ids.rows_of, ids.id_of

    @classmethod
    def open(cls, folder: Path) -> "Attributes":
        """Map the folder that `write_attributes` filled."""
        listed = json.loads((folder / "columns.json").read_bytes())
        kinds: dict[str, str] = {column["name"]: column["kind"] for column in listed}
        columns: dict[str, Cells] = {
            name: KINDS[kind].open(_stem(folder, position)) for position, (name, kind) in enumerate(kinds.items())
        }
        if "availability" in columns:  # older bundles have the shop's own words
            columns["availability"] = _with_canonical_words(columns["availability"])
        return cls(Ids.open(folder / "ids.npy"), kinds, columns)

    def with_delta(self, changed: "Attributes", rows: Rows, removed: Rows) -> "Attributes":
        """Return the attributes with a delta over them: products changed, added or removed.

        Parameters
        ----------
        changed
            Attributes of the c changed or added products, of the same kinds.
        rows
            Their rows, shape (c,); added products have the rows beyond the end.
        removed
            Rows of the removed products, ascending.
        """
        assert isinstance(self.ids, Ids)
        assert isinstance(changed.ids, Ids)
        ids = DeltaIds(self.ids, changed.ids, rows, removed)

        def merge(base: Any, delta: Any) -> Cells:
            if isinstance(base, Numbers):
                return delta_numbers(base, delta, rows, removed, len(ids))
            return DeltaColumn(base, delta, rows, len(ids))

        columns = {name: merge(column, changed.column(name)) for name, column in self._columns.items()}
        return Attributes(ids, self._kinds, columns)

    def with_current_prices(self) -> "Attributes":
        """Return the attributes with the price in force now as "price", where the catalogue has sale prices."""
        if not {"price", *OFFER} <= self._columns.keys():
            return self
        prices = CurrentPrices(SalePrices(*map(self.numbers, OFFER)))
        return Attributes(self.ids, self._kinds, {**self._columns, "price": prices})

    def with_columns(self, columns: Mapping[str, Cells]) -> "Attributes":
        """Return the attributes with other columns of the same kinds in the place of some."""
        return Attributes(self.ids, self._kinds, {**self._columns, **columns}) if columns else self

    def without(self, names: Collection[str]) -> "Attributes":
        """Return the attributes without some columns."""
        columns = {name: column for name, column in self._columns.items() if name not in names}
        return Attributes(self.ids, self._kinds, columns)

    def prices_until(self, moment: float) -> float:
        """Return until when the prices of a moment are in force, in POSIX seconds; infinity for ever."""
        prices = self._columns.get("price")
        return prices.until(moment) if isinstance(prices, CurrentPrices) else np.inf

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> list[str]:
        """Names of the attributes, in the catalogue's order, without the id."""
        return list(self._columns)

    def kind(self, name: str) -> str:
        """Return category, multi, number, date or text."""
        self.column(name)
        return self._kinds[name]

    def column(self, name: str, pointer: str = "") -> Cells:
        """Return a column; raises `RequestError`, naming the nearest attribute, if there is none."""
        try:
            return self._columns[name]
        except KeyError:
            raise RequestError(
                f"unknown field {name!r}; this catalogue has {', '.join(self._columns) or 'no attributes'}",
                pointer,
                nearest(name, self._columns),
            ) from None

    def value(self, name: str, row: int) -> Value:
        """Return the value of a row: a string (dates in ISO 8601), a number, a list of strings, or None."""
        return self.column(name).value(row)

    def fields(self, row: int, names: Iterable[str]) -> dict[str, Value]:
        """Return the values of several attributes of a row by name."""
        return {name: self.column(name, "/fields").value(row) for name in names}

    def _merged(self, name: str) -> Cells:
        """Return a column as one array, also where a delta lies over it; for tools that read all of it."""
        column = self.column(name)
        if not isinstance(column, DeltaColumn):
            return column
        return KINDS[self._kinds[name]].of([column.value(row) for row in range(len(self))])

    def codes(self, name: str) -> np.ndarray:
        """Return a category's codes into `categories`, int32 (n,), -1 for null."""
        return cast(Categories, self._merged(name)).codes

    def categories(self, name: str) -> list[str]:
        """Return the distinct values of a category or multi-valued attribute, sorted."""
        words = cast(Categories, self._merged(name)).words
        return [words[code] for code in range(len(words))]

    def numbers(self, name: str) -> np.ndarray:
        """Return a number's values, float64 (n,), NaN for null; those of a date in POSIX seconds."""
        return cast(Numbers, self.column(name)).values

    def multi(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a multi-valued attribute's starts, int64 (n + 1,), and codes into `categories`, int32."""
        column = cast(Multi, self._merged(name))
        return column.starts, column.codes


def write_attributes(folder: Path, catalog: Any) -> None:
    """Write a catalogue's ids and columns into a part's folder.

    Parameters
    ----------
    folder
        Where to write ``ids.npy``, ``columns.json`` and, by position, the arrays of each column.
    catalog
        A `recommender.catalog.Catalog`, or any object with its `ids`, `frame` and `columns`.
    """
    kinds = {column.name: column.kind for column in catalog.columns}
    write_columns(folder, catalog.ids, kinds, {name: catalog.frame[name].to_numpy() for name in kinds})


def write_columns(
    folder: Path, ids: Sequence[str], kinds: Mapping[str, str], cells: Mapping[str, Iterable[Any]]
) -> None:
    """Write attributes as `write_attributes` does.

    Parameters
    ----------
    ids
        In plain string order.
    kinds, cells
        Name of each attribute to its kind, and to its n values.
    """
    Ids.of(ids).save(folder / "ids.npy")
    for position, (name, kind) in enumerate(kinds.items()):
        KINDS[kind].of(cells[name]).save(_stem(folder, position))
    listed = [{"name": name, "kind": kind} for name, kind in kinds.items()]
    (folder / "columns.json").write_text(json.dumps(listed, ensure_ascii=False), "utf-8")


def _with_canonical_words(column: Cells) -> Cells:
    """Return a column of availability in Google Merchant's words; other words stay."""
    if not isinstance(column, Categories | Multi):
        return column
    words = [column.words[code] for code in range(len(column.words))]
    values = [canonical_availability(word) or word for word in words]
    if values == words:
        return column
    canonical = sorted(set(values))
    code_of = np.array([canonical.index(value) for value in values], np.int32)
    codes = np.where(column.codes < 0, np.int32(-1), code_of[column.codes])
    if isinstance(column, Multi):
        return Multi(column.starts, column.rows, codes, Words.of(canonical))
    return Categories(codes, Words.of(canonical))


def _stem(folder: Path, position: int) -> Path:
    """Return the stem of a column's file names: numbered, since an attribute's name may hold any character."""
    return folder / f"column-{position:03}"
