"""Match ids that spreadsheets, trackers and data frames have rewritten: 104.0 for 104, 1.2E+12, lost zeros."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from itertools import accumulate
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.values.cells import Mask, strings
from recommender.core.blocks import Rows

EXACT, UNKNOWN, OTHER_FORM = "exact", "", "another form"
# Columns of a product whose values name it, too; "variant sku" and "variant_sku" are "sku".
ALIASES = ("sku", "barcode", "gtin", "ean", "upc", "isbn", "mpn", "item_group_id")
_BLANKS = " \t\r\n\v\f\u00a0\u200b\u2060\ufeff\"'`\u2018\u2019\u201c\u201d"
_WHOLE = r"-?\d+\.0+"
_SCIENTIFIC = re.compile(r"(\d)(?:[.,](\d+))?[eE]\+(\d\d?)")
_PARTS = re.compile(r"[\W_]+")


class Matches(NamedTuple):
    """The products that ids name.

    Attributes
    ----------
    rows
        Shape (n,), -1 where no product is named, or more than one.
    how
        Shape (n,): "exact"; the way of matching, such as "a decimal point"; "another form" where an id looks
        like those of the catalogue but names no single product; "" for an unknown id.
    """

    rows: Rows
    how: NDArray[np.object_]


def _without_blanks(text: str) -> str:
    return text.strip(_BLANKS)


def _whole(text: str) -> str:
    return text.rpartition(".")[0] if re.fullmatch(_WHOLE, text) else text


def _tail(text: str) -> str:
    return text.rpartition("/")[2] if text.startswith("gid://") else text


def _without_zeros(text: str) -> str:
    return (text.lstrip("0") or "0") if text.isdecimal() else text


def _folded(text: str) -> str:
    return normalize("NFKC", text).casefold()


# How an id may be written differently, and what removes the difference; each applies after those before it.
_FORMS: dict[str, Callable[[str], str]] = {
    "blanks or quotes": _without_blanks,
    "a decimal point": _whole,
    "Shopify's global id": _tail,
    "leading zeros": _without_zeros,
    "letter case or Unicode form": _folded,
}


def match_ids(ids: pd.Series, catalog_ids: Sequence[str], aliases: Mapping[str, Mapping[str, int]]) -> Matches:
    """Return the product that each id names: exactly, or in another form that fits one product alone.

    Parameters
    ----------
    ids
        Strings, shape (n,).
    catalog_ids
        The id of each row.
    aliases
        Name of a column to its values and their rows, see `aliases_of`.
    """
    codes, values = pd.factorize(ids)
    distinct: list[str] = values.tolist()
    rows = pd.Index(np.array(catalog_ids, object)).get_indexer(np.array(distinct, object)).astype(np.int32)
    how = np.where(rows >= 0, EXACT, UNKNOWN).astype(object)
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        matcher = _Matcher([distinct[i] for i in unknown], catalog_ids, aliases)
        rows[unknown], how[unknown] = matcher.rows, matcher.how
    return Matches(rows[codes], how[codes])


class _Matcher:
    """Matches distinct unknown ids, one way after the other."""

    def __init__(
        self, ids: Sequence[str], catalog_ids: Sequence[str], aliases: Mapping[str, Mapping[str, int]]
    ) -> None:
        self._ids = ids
        self.rows: Rows = np.full(len(ids), -1, np.int32)
        self.how: NDArray[np.object_] = np.full(len(ids), UNKNOWN, object)
        known = [(text, row) for row, text in enumerate(catalog_ids)]
        self._by_forms("", known)
        self._by_scientific_notation(known)
        for name, values in aliases.items():
            self._match(name, ids, values.items())
        for name, values in aliases.items():
            self._by_forms(f"{name} and ", list(values.items()))
        self._find_other_forms(known)

    def _by_forms(self, prefix: str, known: list[tuple[str, int]]) -> None:
        loose = {_loose(text) for text in self._ids}
        known = [(text, row) for text, row in known if _loose(text) in loose]  # the others cost no further key
        for way, key in _CUMULATIVE.items():
            self._match(prefix + way, [*map(key, self._ids)], [(key(text), row) for text, row in known])

    def _by_scientific_notation(self, known: list[tuple[str, int]]) -> None:
        """Match 1.2E+12 with the one id that rounds to it."""
        written = [_scientific(_without_blanks(text)) for text in self._ids]
        for digits in {digits for digits, _ in filter(None, written)}:
            keys = [found[1] if found is not None and found[0] == digits else "" for found in written]
            rounded = [(_rounded(text, digits), row) for text, row in known if text.isdecimal()]
            self._match("scientific notation", keys, rounded)

    def _match(self, way: str, keys: Sequence[str], known: Iterable[tuple[str, int]]) -> None:
        """Match the ids that are still unknown by keys that one product alone has; note those of several."""
        wanted = {key for key, row in zip(keys, self.rows, strict=True) if row < 0 and key}
        found: dict[str, int] = {}
        for key, row in known:
            if key in wanted:
                found[key] = row if found.get(key, row) == row else -1
        for i, key in enumerate(keys):
            if self.rows[i] < 0 and key in found:
                self.rows[i] = found[key]
                self.how[i] = way if found[key] >= 0 else OTHER_FORM

    def _find_other_forms(self, known: list[tuple[str, int]]) -> None:
        """Note the unknown ids that a spreadsheet wrote, or that have the letters and digits of a known one."""
        plain = {_plain(text) for text, _ in known} - {""}
        for i, text in enumerate(self._ids):
            if self.rows[i] < 0 and (
                _scientific(text) or re.fullmatch(_WHOLE, text) or not plain.isdisjoint(_endings(text))
            ):
                self.how[i] = OTHER_FORM


def _composed(first: Callable[[str], str], then: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: then(first(text))


_CUMULATIVE = dict(zip(_FORMS, accumulate(_FORMS.values(), _composed), strict=True))
_loose = next(reversed(_CUMULATIVE.values()))


def _plain(text: str) -> str:
    """Return the letters and digits of an id."""
    return _without_zeros(_PARTS.sub("", _folded(text)))


def _endings(text: str) -> Iterator[str]:
    """Yield the letters and digits of an id, and of its endings after a separator: sku_AB-9, AB-9, 9."""
    parts = _PARTS.split(text)
    return (_plain("".join(parts[start:])) for start in range(len(parts)))


def _scientific(text: str) -> tuple[int, str] | None:
    """Return the number of digits of an id in scientific notation, and all its digits; None for another id."""
    match = _SCIENTIFIC.fullmatch(text)
    if match is None:
        return None
    digits = match[1] + (match[2] or "")
    return len(digits), digits + "0" * (int(match[3]) + 1 - len(digits))


def _rounded(text: str, digits: int) -> str:
    with localcontext(prec=digits):
        return f"{+Decimal(text):f}" if len(text) < 40 else ""


def is_alias(name: str) -> bool:
    """Return whether a column may name products, such as "Variant SKU"."""
    return re.sub(r"[\W_]+", "_", name.lower()).removeprefix("variant_") in ALIASES


def aliases_of(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the values that name one product alone, and its row, of each column such as sku and barcode.

    A column is left out where one of its values is the id of another product: what it means is not clear then.

    Parameters
    ----------
    frame
        Of a catalogue, see `recommender.catalog.Catalog`.
    """
    ids = dict(zip(frame["id"].tolist(), range(len(frame)), strict=True))
    aliases: dict[str, dict[str, int]] = {}
    for name in map(str, frame.columns):
        if is_alias(name):
            cells = strings(frame[name])
            values = cells[(cells != "") & ~cells.duplicated(keep=False)]
            rows = dict(zip(values.tolist(), values.index.tolist(), strict=True))
            if all(ids.get(value, row) == row for value, row in rows.items()):
                aliases[name] = rows
    return aliases


def without_decimals(ids: pd.Series) -> tuple[pd.Series, Mask]:
    """Return ids with 7.0 as 7 where the column was one of floats, and the mask of those that were changed.

    That is so where all ids are numbers, or where an id occurs in both forms.
    """
    codes, distinct = pd.factorize(ids)
    values = pd.Series(distinct, dtype="str")
    written = values.str.fullmatch(_WHOLE).to_numpy(bool)
    if not written.any():
        return ids, written[codes]
    whole = values.str.replace(r"\.0+$", "", regex=True).where(written, values)
    if not whole.str.fullmatch(r"(?:-?\d+)?").all():
        written = written & whole.isin(set(values[~written])).to_numpy(bool)
    return pd.Series(whole.where(written, values).to_numpy()[codes], ids.index, dtype="str"), written[codes]


def in_scientific_notation(ids: pd.Series) -> Mask:
    """Mask ids such as 1.2E+12, as spreadsheets write long numbers; their other digits are lost."""
    return ids.str.fullmatch(_SCIENTIFIC).to_numpy(bool)
