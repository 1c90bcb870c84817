"""Columns: one attribute of every item, with the value of a row and the masks that filters need.

A column is built from values (of a catalogue, or of the few rows that an overlay changes), saved, and
memory-mapped. A null matches nothing; a multi-valued row matches if any of its values does.
"""

# The methods are documented once, in `Cells` and `Column`.
# ruff: noqa: D102

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from recommender.items.strings import Words

Value = str | float | list[str] | None


class Cells(Protocol):
    """The interface of a column for reading; masks are bool (n,)."""

    def value(self, row: int) -> Value:
        """Return the value of a row as in JSON; None for null."""

    def present(self) -> np.ndarray:
        """Mask the rows that are not null."""

    def any_of(self, values: Sequence[Any]) -> np.ndarray:
        """Mask the rows with a value in `values`."""

    def any_except(self, values: Sequence[Any]) -> np.ndarray:
        """Mask the rows with a value that is not in `values`."""


class Column(Cells, Protocol):
    """The interface of all kinds of columns."""

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        """Build a column from one value per row; values of a wrong type become null."""

    @classmethod
    def open(cls, stem: Path) -> Self:
        """Map what `save` wrote."""

    def save(self, stem: Path) -> None:
        """Write the column's arrays to files whose names begin with `stem`."""


class Categories:
    """One string per row, as a code into the sorted distinct strings: categories and texts.

    Parameters
    ----------
    codes
        (n,) int32, -1 for null.
    words
        The distinct strings.
    """

    def __init__(self, codes: np.ndarray, words: Words) -> None:
        self.codes, self.words = codes, words

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        strings = [value if isinstance(value, str) else "" for value in values]
        return cls(*_coded(strings))

    @classmethod
    def open(cls, stem: Path) -> Self:
        return cls(_mapped(stem, "codes"), Words.open(stem))

    def save(self, stem: Path) -> None:
        np.save(f"{stem}.codes.npy", self.codes)
        self.words.save(stem)

    def value(self, row: int) -> Value:
        code = self.codes.item(row)
        return self.words[code] if code >= 0 else None

    def present(self) -> np.ndarray:
        return self.codes >= 0

    def any_of(self, values: Sequence[str]) -> np.ndarray:
        return _codes_in(self.codes, self.words, values)

    def any_except(self, values: Sequence[str]) -> np.ndarray:
        return self.present() & ~self.any_of(values)


class Multi:
    """Any number of strings per row.

    Parameters
    ----------
    starts
        (n + 1,) int64: the values of row i are `codes[starts[i]:starts[i + 1]]`.
    rows
        (number of values,) int32, the row of each value, so that filters need no loop over rows.
    codes
        (number of values,) int32 into `words`.
    words
        The distinct strings.
    """

    def __init__(self, starts: np.ndarray, rows: np.ndarray, codes: np.ndarray, words: Words) -> None:
        self.starts, self.rows, self.codes, self.words = starts, rows, codes, words

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        lists = [_strings(value) for value in values]
        starts = np.cumsum([0, *map(len, lists)], dtype=np.int64)
        rows = np.repeat(np.arange(len(lists), dtype=np.int32), np.diff(starts))
        return cls(starts, rows, *_coded([string for strings in lists for string in strings]))

    @classmethod
    def open(cls, stem: Path) -> Self:
        starts, rows, codes = (_mapped(stem, name) for name in ("starts", "rows", "codes"))
        return cls(starts, rows, codes, Words.open(stem))

    def save(self, stem: Path) -> None:
        np.save(f"{stem}.starts.npy", self.starts)
        np.save(f"{stem}.rows.npy", self.rows)
        np.save(f"{stem}.codes.npy", self.codes)
        self.words.save(stem)

    def value(self, row: int) -> Value:
        return [self.words[code] for code in self.codes[slice(*self.starts[row : row + 2])].tolist()] or None

    def present(self) -> np.ndarray:
        return self.starts[1:] > self.starts[:-1]

    def any_of(self, values: Sequence[str]) -> np.ndarray:
        return self._rows_with(_codes_in(self.codes, self.words, values))

    def any_except(self, values: Sequence[str]) -> np.ndarray:
        return self._rows_with(~_codes_in(self.codes, self.words, values))

    def _rows_with(self, hits: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(self.starts) - 1, bool)
        mask[self.rows[np.flatnonzero(hits)]] = True
        return mask


class Numbers:
    """One number per row.

    Parameters
    ----------
    values
        (n,) float64, NaN for null.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
            return cls(values.astype(np.float64))
        return cls(np.array([cls._number(value) for value in values], np.float64))

    @staticmethod
    def _number(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return np.nan
        try:
            return float(value)
        except OverflowError:  # an integer beyond any float
            return np.nan

    @classmethod
    def open(cls, stem: Path) -> Self:
        return cls(_mapped(stem, "values"))

    def save(self, stem: Path) -> None:
        np.save(f"{stem}.values.npy", self.values)

    def value(self, row: int) -> Value:
        number = self.values.item(row)
        return number if number == number else None

    def present(self) -> np.ndarray:
        return self.values == self.values  # NaN is not equal to itself

    def any_of(self, values: Sequence[float]) -> np.ndarray:
        return self.values == values[0] if len(values) == 1 else np.isin(self.values, values)

    def any_except(self, values: Sequence[float]) -> np.ndarray:
        return self.present() & ~self.any_of(values)


class Dates(Numbers):
    """One instant per row, as POSIX seconds, float64; ISO 8601 outside."""

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            micros = values.astype("datetime64[us]")
            return cls(np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6))
        return super().of(values)

    @staticmethod
    def _number(value: object) -> float:
        seconds = posix(value) if isinstance(value, str) else None
        return np.nan if seconds is None else seconds

    def value(self, row: int) -> Value:
        seconds = self.values.item(row)
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6] + "Z" if seconds == seconds else None


KINDS: dict[str, type[Column]] = {
    "category": Categories,
    "text": Categories,
    "multi": Multi,
    "number": Numbers,
    "date": Dates,
}


def posix(text: str) -> float | None:
    """Return an ISO 8601 date or time as POSIX seconds, in UTC if it has no zone; None if it is not a date."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _mapped(stem: Path, name: str) -> np.ndarray:
    return np.asarray(np.load(f"{stem}.{name}.npy", mmap_mode="r", allow_pickle=False))


def _strings(value: object) -> list[str]:
    several = value if isinstance(value, list | tuple | np.ndarray) else [value]
    return [string for string in several if isinstance(string, str) and string]


def _coded(strings: list[str]) -> tuple[np.ndarray, Words]:
    """Return the codes (-1 for an empty string) and the sorted distinct strings that they index."""
    words = sorted(set(strings) - {""})
    code_of = {"": -1} | {word: code for code, word in enumerate(words)}
    return np.array([code_of[string] for string in strings], np.int32), Words.of(words)


def _codes_in(codes: np.ndarray, words: Words, values: Sequence[str]) -> np.ndarray:
    """Mask the codes whose string is in `values`."""
    wanted = [code for value in dict.fromkeys(values) if (code := words.code_of(value)) >= 0]
    if 1 <= len(wanted) <= 4:  # each comparison takes a tenth of the time of the table
        return reduce(np.logical_or, [codes == code for code in wanted])
    table = np.zeros(len(words) + 1, bool)  # the last entry is that of code -1, null
    table[wanted] = True
    return table.take(codes)
