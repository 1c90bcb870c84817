"""Exact ids, SKUs and barcodes of products, found in any case and with or without separators."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from recommender.core.blocks import NO_ROWS, Rows
from recommender.items import Attributes
from recommender.items.strings import Words

# Columns of identifiers, without separators and in lower case; numbered ones such as gtin13 too.
NAMES = {
    *("sku", "gtin", "ean", "upc", "isbn", "mpn", "barcode", "asin", "articlenumber", "articleno"),
    *("itemnumber", "itemno", "modelnumber", "partnumber"),
}
_SEPARATOR = re.compile(r"[\W_]+")
MIN_WITHOUT_SEPARATORS = 4  # characters of an identifier that is also found without its separators


class Identifiers:
    """From identifiers to rows.

    Parameters
    ----------
    keys
        Sorted keys, see `keys_of`.
    starts
        Shape (number of keys + 1,): the rows of key i are ``rows[starts[i]:starts[i + 1]]``.
    rows
        int32.
    """

    def __init__(self, keys: Words, starts: np.ndarray, rows: Rows) -> None:
        self._keys, self._starts, self._rows = keys, starts, rows

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, str]]) -> "Identifiers":
        """Index pairs of a row and one of its identifiers."""
        known: dict[str, set[int]] = {}
        for row, text in pairs:
            for key in keys_of(text):
                known.setdefault(key, set()).add(row)
        keys = sorted(known)
        rows = [sorted(known[key]) for key in keys]
        starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return cls(Words.of(keys), starts, np.array([*chain.from_iterable(rows)], dtype=np.int32))

    @classmethod
    def open(cls, folder: Path) -> "Identifiers":
        """Map what `save` wrote."""
        starts, rows = (np.load(folder / f"identifier_{name}.npy", mmap_mode="r") for name in ("starts", "rows"))
        return cls(Words.open(folder / "identifiers"), np.asarray(starts), np.asarray(rows))

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder."""
        self._keys.save(folder / "identifiers")
        np.save(folder / "identifier_starts.npy", self._starts)
        np.save(folder / "identifier_rows.npy", self._rows)

    def rows_of(self, text: str) -> Rows:
        """Return the rows of an identifier, ascending: of its spelling, or else without separators."""
        for key in keys_of(text):
            if (code := self._keys.code_of(key)) >= 0:
                return self._rows[self._starts[code] : self._starts[code + 1]]
        return NO_ROWS


def keys_of(text: str) -> list[str]:
    """Return the keys of an identifier: in lower case, and without separators and leading zeros.

    >>> keys_of("000.114-X"), keys_of("0012345678905")
    (['=000.114-x', '~000114x'], ['=0012345678905', '~12345678905'])
    """
    plain = text.strip().casefold()
    bare = _SEPARATOR.sub("", plain)
    if bare.isdecimal():
        bare = bare.lstrip("0")
    keys = [f"={plain}"] if plain else []
    return [*keys, f"~{bare}"] if len(bare) >= MIN_WITHOUT_SEPARATORS else keys


def is_identifier(name: str) -> bool:
    """Return whether a column has identifiers, by its name.

    >>> is_identifier("GTIN_13"), is_identifier("color")
    (True, False)
    """
    return _SEPARATOR.sub("", name.casefold()).rstrip("0123456789") in NAMES


def identifiers_of(attributes: Attributes, rows: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Yield the identifiers of rows: ids, and the values of identifier columns."""
    columns = [attributes.column(name) for name in attributes.names if is_identifier(name)]
    yield from zip(rows, attributes.ids.ids_of(rows), strict=True)
    for column in columns:
        for row in rows:
            value = column.value(row)
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, float):  # a column of digits
                    each = f"{each:.0f}"
                if each:
                    yield row, each


def live_identifiers(pairs: Iterable[tuple[int, str]]) -> Mapping[str, list[int]]:
    """Return the rows of each key, for the few products that changed."""
    known: dict[str, list[int]] = {}
    for row, text in pairs:
        for key in keys_of(text):
            known.setdefault(key, []).append(row)
    return known
