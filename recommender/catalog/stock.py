"""Availability of a catalogue: the shop's words, or what its columns of stock and states say."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.report import CellReport
from recommender.catalog.values.cells import lists, strings
from recommender.errors import DataError
from recommender.items.availability import EXPECTED, OUT_OF_STOCK, STATE_COLUMNS, STOCK_COLUMNS, AvailabilityWords

Words = NDArray[np.object_]

_MIN_KNOWN = 0.9  # share of the filled cells of such a column that must be understood
_PARENTS = ("parent_id", "parent", "parent_sku")
_FLAGS = frozenset({"0", "1", "-1"})


def read_availability(
    cells: pd.Series | None, others: Mapping[str, pd.Series], taught: Mapping[str, str], report: CellReport
) -> pd.Series | None:
    """Return the availability of n products in Google Merchant's words, "" unknown; None if nothing says it.

    Unknown words count as out of stock and are reported. Columns such as "quantity" fill what is missing, columns
    such as "status" and the product that a variant names as its parent take products off sale.

    Parameters
    ----------
    cells
        The column of availability, None for none.
    others
        The other columns of the table by name.
    taught
        The shop's own words to Google Merchant's.
    report
        Gets unknown words and what was guessed.

    Raises
    ------
    DataError
        If the words of more than half of the products are unknown.
    """
    words = AvailabilityWords(taught)
    values = np.full(len(report.ids), "", object)
    if cells is not None:
        values = _canonical(cells, words)
        _check_words(cells, values, report)
        values[pd.isna(values)] = OUT_OF_STOCK
    values = _filled(values, others, words, report)
    for name, states in _named(others, STATE_COLUMNS):
        values = _without_states(values, name, states, words, report)
    values = _without_parents(values, others, report)
    if cells is None and not (values != "").any():
        return None
    report.report.facts["products out of stock"] = int((values == OUT_OF_STOCK).sum())
    return pd.Series(values, dtype="str")


def _canonical(cells: pd.Series, words: AvailabilityWords) -> Words:
    """Return canonical words (n,), None for unknown ones; a list is the word that all of its members mean."""
    if cells.dtype == object:
        several = lists(cells)
        if several.str.len().gt(1).any():
            cells = several.map(lambda values: _common(values, words))
    codes, texts = pd.factorize(strings(cells).to_numpy(object))
    return np.array([words.canonical(text) for text in texts], object)[codes]


def _common(values: list[str], words: AvailabilityWords) -> str:
    known = {words.canonical(value) for value in values}
    return known.pop() or ", ".join(values) if len(known) == 1 else ", ".join(values)


def _check_words(cells: pd.Series, values: Words, report: CellReport) -> None:
    """Report unknown words; raise if those are the words of most products."""
    unknown = pd.isna(values)
    texts = strings(cells).to_numpy(object)
    remedy = "say what it means in [catalog.availability_words]"
    report.add(
        "unknown availability",
        unknown,
        lambda i: f'availability is "{texts[i]}"; expected {EXPECTED}; taken as out of stock: {remedy}',
    )
    if 2 * unknown.sum() > len(values):
        counts = Counter(texts[unknown].tolist()).most_common(5)
        listed = ", ".join(f'"{word}" ({count:,})' for word, count in counts)
        raise DataError(
            f"{report.file}: the availability of {unknown.sum():,} of {len(values):,} products is not understood: "
            f"{listed}; expected {EXPECTED}; say in [catalog] what they mean, such as "
            f'availability_words = {{"{counts[0][0]}" = "in_stock"}}'
        )


def _named(columns: Mapping[str, pd.Series], names: Iterable[str]) -> Iterator[tuple[str, pd.Series]]:
    """Yield the columns of these names in their order, whatever their case and separators."""
    plain = {re.sub(r"[\W_]+", "_", name.strip().casefold()).strip("_"): name for name in map(str, columns)}
    for name in names:
        if name in plain:
            yield plain[name], columns[plain[name]]


def _understood(cells: pd.Series, words: AvailabilityWords) -> Words | None:
    """Return canonical words, None for unknown ones; None for a column of something else."""
    values = _canonical(cells, words)
    filled = values != ""
    known = np.count_nonzero(filled & ~pd.isna(values))
    return values if known and known >= _MIN_KNOWN * np.count_nonzero(filled) else None


def _filled(values: Words, others: Mapping[str, pd.Series], words: AvailabilityWords, report: CellReport) -> Words:
    """Fill missing availability from the first column of stock that is understood."""
    missing = values == ""
    for name, cells in _named(others, STOCK_COLUMNS) if missing.any() else ():
        stock = _understood(cells, words)
        if stock is None:
            continue
        stock[pd.isna(stock)] = OUT_OF_STOCK
        out = missing & (stock == OUT_OF_STOCK)
        if missing.all() and (stock[stock != ""] == OUT_OF_STOCK).all():
            report.add_file("availability not guessed", f"by {name!r} no product is in stock; it is not believed")
            continue
        report.add_file(
            "availability guessed",
            f"availability is guessed by {name!r}, by which {out.sum():,} products are out of stock; "
            f'availability = "{name}" in [catalog] says so',
        )
        return np.where(missing, stock, values)
    return values


def _without_states(
    values: Words, name: str, cells: pd.Series, words: AvailabilityWords, report: CellReport
) -> Words:
    """Take products off sale whose state, such as "draft", says so."""
    states = _understood(cells, words)
    texts = strings(cells).to_numpy(object)
    if states is None or (set(texts) - {""} - _FLAGS and _is_numeric(texts)):
        return values
    out = (states == OUT_OF_STOCK) | pd.isna(states)
    if out.all():
        report.add_file("state not believed", f"by {name!r} no product is for sale; it is not believed")
        return values
    changed = out & (values != OUT_OF_STOCK)
    report.add("not for sale", changed, lambda i: f'{name} is "{texts[i]}"; taken as out of stock', "warning")
    return np.where(out, OUT_OF_STOCK, values)


def _is_numeric(texts: Words) -> bool:
    filled = pd.Series(texts[texts != ""], dtype="str")
    return bool(pd.to_numeric(filled, errors="coerce").notna().all())


def _without_parents(values: Words, others: Mapping[str, pd.Series], report: CellReport) -> Words:
    """Take variants off sale whose parent is: drafts, and products that are sold out."""
    name, cells = next(_named(others, list(_PARENTS)), ("", None))
    ids = pd.Index(report.ids)
    if cells is None:
        return values
    parents = strings(cells)
    rows = ids.get_indexer(pd.Index(parents))
    out = (rows >= 0) & (values[rows] == OUT_OF_STOCK) & (values != OUT_OF_STOCK)
    what = "which is out of stock; so is the variant"
    report.add("parent not for sale", out, lambda i: f'{name} is "{parents.iloc[i]}", {what}', "warning")
    return np.where(out, OUT_OF_STOCK, values)
