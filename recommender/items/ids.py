"""Map item ids to rows and back."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from unicodedata import normalize

import numpy as np

from recommender.core.blocks import NO_ROWS, Rows
from recommender.errors import DataError

_MAX_ZEROS = 18  # digits of an id whose leading zeros may be lost


class Ids:
    """Sorted item ids; the row of an item is the position of its id.

    Ids are stored as UTF-8, whose bytes sort as the code points do, so the order is that of plain strings. A
    mapped array costs workers nothing (1M ids: 11 MiB once, where a dict takes 149 MiB each), and bisection
    finds one in a microsecond or two.

    Parameters
    ----------
    keys
        (n,) bytes (dtype ``S``), strictly increasing.
    """

    def __init__(self, keys: np.ndarray) -> None:
        self.keys = keys
        self._n = len(keys)

    @classmethod
    def of(cls, ids: Sequence[str]) -> "Ids":
        """Return the index of `ids`, given in plain string order.

        Raises
        ------
        DataError
            If they are not strictly increasing, or one cannot be stored: it holds a NUL or half of a surrogate
            pair.
        """
        for before, after in pairwise(ids):
            if not before < after:
                raise DataError(f"ids must be sorted and unique; found {before!r} before {after!r}")
        return cls(_packed([_encoded(item_id) for item_id in ids]))

    @classmethod
    def open(cls, path: Path) -> "Ids":
        """Map the file that `save` wrote."""
        return cls(np.asarray(np.load(path, mmap_mode="r", allow_pickle=False)))

    def save(self, path: Path) -> None:
        """Write the ids as one npy file."""
        np.save(path, self.keys)

    def __len__(self) -> int:
        return self._n

    @property
    def in_order(self) -> range:
        """The rows of all products, in order of id."""
        return range(self._n)

    @property
    def id_ranks(self) -> None:
        """Rank of each row in the order of ids, shape (n,); None where rows are in that order."""
        return None

    @property
    def removed(self) -> Rows:
        """Rows of removed products, ascending."""
        return NO_ROWS

    def row_of(self, item_id: str) -> int:
        """Return the row of an id, or -1 if it is unknown."""
        # A lone surrogate is in no stored id; an id with one is unknown, not an error.
        key = item_id.encode("utf-8", "surrogatepass")
        row = bisect_left(self.keys, key)
        return row if row < self._n and self.keys[row] == key else -1

    def rows_of(self, ids: Iterable[str]) -> np.ndarray:
        """Return the rows of many ids, int32, -1 where an id is unknown."""
        keys = [item_id.encode("utf-8", "surrogatepass") for item_id in ids]
        width = self.keys.dtype.itemsize
        # A longer key would make numpy widen, and so copy, the whole array; a trailing NUL would be lost.
        known = np.array([len(key) <= width and b"\0" not in key for key in keys], bool)
        packed = np.array([key[:width] for key in keys], self.keys.dtype)
        if not self._n:
            return np.full(len(keys), -1, np.int32)
        rows = np.minimum(self.keys.searchsorted(packed), self._n - 1)
        return np.where(known & (self.keys[rows] == packed), rows, -1).astype(np.int32)

    def id_of(self, row: int) -> str:
        """Return the id of a row."""
        return str(self.keys[row], "utf-8")

    def ids_of(self, rows: Iterable[int]) -> list[str]:
        """Return the ids of many rows."""
        return [str(key, "utf-8") for key in self.keys[np.asarray(rows, np.intp)].tolist()]


def other_form(item_id: str, known: Callable[[str], bool]) -> str | None:
    """Return the known id that an unknown one may stand for, such as 104 for 104.0; None if there is none.

    >>> other_form(" 104.0", {"00104"}.__contains__)
    '00104'

    Parameters
    ----------
    item_id
        As it was requested.
    known
        Whether there is a product of an id.
    """
    plain = item_id.strip(" \t\r\n\u00a0\"'")
    tail = plain.rpartition("/")[2] if plain.startswith("gid://") else plain
    whole = re.sub(r"\.0+$", "", tail)
    forms = [plain, tail, whole, whole.upper(), whole.lower(), normalize("NFC", whole)]
    if whole.isdecimal():
        digits = whole.lstrip("0") or "0"
        forms += [digits.zfill(width) for width in range(len(digits), _MAX_ZEROS + 1)]
    return next((form for form in forms if form and form != item_id and known(form)), None)


def _encoded(item_id: str) -> bytes:
    try:
        key = item_id.encode()
    except UnicodeEncodeError:
        key = b"\0"
    if b"\0" in key:
        raise DataError(f"id {item_id!r} holds a NUL or half a surrogate pair, which no id can have")
    return key


def _packed(keys: list[bytes]) -> np.ndarray:
    return np.array(keys, f"S{max(map(len, keys), default=0) or 1}")
