"""The attributes of all items: ids, and one column per attribute."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from recommender.attributes.columns import KINDS, Categories, Column, Multi, Numbers, Value
from recommender.attributes.ids import Ids
from recommender.errors import RequestError, nearest


class Attributes:
    """The catalogue's columns by row, mapped.

    Parameters
    ----------
    ids
        The items' ids, n of them.
    columns
        Name to kind and column, in the catalogue's order.
    """

    def __init__(self, ids: Ids, columns: Mapping[str, tuple[str, Column]]) -> None:
        self.ids = ids
        self.row_of, self.rows_of, self.id_of = ids.row_of, ids.rows_of, ids.id_of
        self._kinds = {name: kind for name, (kind, _) in columns.items()}
        self._columns = {name: column for name, (_, column) in columns.items()}

    @classmethod
    def open(cls, folder: Path) -> "Attributes":
        """Map the folder that `write_attributes` filled."""
        listed = json.loads((folder / "columns.json").read_bytes())
        columns = {
            entry["name"]: (entry["kind"], KINDS[entry["kind"]].open(folder / f"{position:03}"))
            for position, entry in enumerate(listed)
        }
        return cls(Ids.open(folder / "ids.npy"), columns)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> list[str]:
        """The attributes' names, in the catalogue's order; without the id."""
        return list(self._columns)

    def kind(self, name: str) -> str:
        """Return category, multi, number, date or text."""
        self.column(name)
        return self._kinds[name]

    def column(self, name: str, pointer: str = "") -> Column:
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
        """Return what a row holds: a string (dates in ISO 8601), a number, a list of strings, or None."""
        return self.column(name).value(row)

    def fields(self, row: int, names: Iterable[str]) -> dict[str, Value]:
        """Return the values of several attributes of a row by name."""
        return {name: self.column(name, "/fields").value(row) for name in names}

    def codes(self, name: str) -> np.ndarray:
        """Return a category's codes into `categories`, int32 (n,), -1 for null."""
        return cast(Categories, self.column(name)).codes

    def categories(self, name: str) -> list[str]:
        """Return the distinct values of a category or multi-valued attribute, sorted."""
        words = cast(Categories, self.column(name)).words
        return [words[code] for code in range(len(words))]

    def numbers(self, name: str) -> np.ndarray:
        """Return a number's values, float64 (n,), NaN for null; those of a date in POSIX seconds."""
        return cast(Numbers, self.column(name)).values

    def multi(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a multi-valued attribute's starts, int64 (n + 1,), and codes into `categories`, int32."""
        column = cast(Multi, self.column(name))
        return column.starts, column.codes


def write_attributes(folder: Path, catalog: Any) -> None:
    """Write a catalogue's ids and columns into a part's folder.

    Parameters
    ----------
    folder
        An empty folder: ``ids.npy``, ``columns.json`` and, by position, the arrays of each column.
    catalog
        A `recommender.catalog.Catalog`, or whatever has its `ids`, `frame` and `columns`.
    """
    Ids.of(catalog.ids).save(folder / "ids.npy")
    for position, column in enumerate(catalog.columns):
        KINDS[column.kind].of(catalog.frame[column.name].to_numpy()).save(folder / f"{position:03}")
    listed = [{"name": column.name, "kind": column.kind} for column in catalog.columns]
    (folder / "columns.json").write_text(json.dumps(listed, ensure_ascii=False), "utf-8")
