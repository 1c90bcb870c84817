"""The attributes of all items: ids, and one column per attribute."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np

from recommender.attributes.columns import KINDS, Categories, Column, Multi, Numbers, Value
from recommender.attributes.ids import Ids
from recommender.errors import RequestError, nearest


class Attributes:
    """The catalogue's columns by row, mapped from the folder that `write_attributes` filled."""

    def __init__(self, folder: Path) -> None:
        self.ids = Ids.open(folder / "ids.npy")
        self.row_of, self.rows_of, self.id_of = self.ids.row_of, self.ids.rows_of, self.ids.id_of
        listed = json.loads((folder / "columns.json").read_bytes())
        self._kinds: dict[str, str] = {column["name"]: column["kind"] for column in listed}
        self._columns: dict[str, Column] = {
            name: KINDS[kind].open(_stem(folder, position))
            for position, (name, kind) in enumerate(self._kinds.items())
        }

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
        Where to write ``ids.npy``, ``columns.json`` and, by position, the arrays of each column.
    catalog
        A `recommender.catalog.Catalog`, or whatever has its `ids`, `frame` and `columns`.
    """
    Ids.of(catalog.ids).save(folder / "ids.npy")
    for position, column in enumerate(catalog.columns):
        KINDS[column.kind].of(catalog.frame[column.name].to_numpy()).save(_stem(folder, position))
    listed = [{"name": column.name, "kind": column.kind} for column in catalog.columns]
    (folder / "columns.json").write_text(json.dumps(listed, ensure_ascii=False), "utf-8")


def _stem(folder: Path, position: int) -> Path:
    """Return how the names of a column's files begin; its own name may hold any character."""
    return folder / f"column-{position:03}"
