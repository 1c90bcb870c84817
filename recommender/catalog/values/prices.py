"""Columns of prices: amounts and currencies, with the decimal mark decided by the whole column."""

from collections import Counter
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.values.cells import Mask, strings
from recommender.items.prices import WrittenPrice, decimal_mark, needs_three_decimals, read_price

# Digits whose point can only be that of decimals.
_PLAIN = r"\d+(?:\.(?:\d{1,2}|\d{4,}))?|0\.\d+"


@dataclass(frozen=True)
class Prices:
    """The prices of n cells.

    Attributes
    ----------
    amounts
        (n,) float64; the lowest of a range; NaN missing.
    currencies
        (n,) ISO 4217 codes, "" unknown.
    shared
        (n,) the currencies that the cell's symbol may mean, where there are several, else an empty set.
    bad
        (n,) cells that are neither missing nor a price of 0 or more.
    starts_at, per_unit
        (n,) the lowest price of several; the price of an amount such as a kilogram.
    guessed
        (n,) "1.299" and "1,299" where no other cell of the column shows which mark is that of decimals.
    """

    amounts: NDArray[np.float64]
    currencies: NDArray[np.object_]
    shared: NDArray[np.object_]
    bad: Mask
    starts_at: Mask
    per_unit: Mask
    guessed: Mask

    def part(self, rows: slice) -> "Prices":
        """Return the prices of some cells."""
        return Prices(*(getattr(self, field.name)[rows] for field in fields(self)))


def prices(cells: pd.Series) -> Prices:
    """Read a column of prices: numbers, or texts in any country's form such as "1.299,00 EUR".

    Whether "1.299" is more than a thousand is decided by the cells of the same currency, then by the whole column.
    """
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        amounts = cells.to_numpy(np.float64, na_value=np.nan)
        return _plain_prices(amounts, np.isinf(amounts) | (amounts < 0))
    codes, texts = pd.factorize(strings(cells).to_numpy(object))
    distinct = pd.Series(texts, dtype="str")
    if distinct.str.fullmatch(_PLAIN).where(distinct != "", True).all():
        amounts = pd.to_numeric(distinct.where(distinct != "", None)).to_numpy(np.float64, na_value=np.nan)
        return _plain_prices(amounts[codes], np.zeros(len(cells), bool))
    return _written(codes, texts.tolist())


def _plain_prices(amounts: NDArray[np.float64], bad: Mask) -> Prices:
    no = np.zeros(len(amounts), bool)
    nothing, empty = np.full(len(amounts), "", object), np.full(len(amounts), frozenset(), object)
    return Prices(np.where(bad, np.nan, amounts), nothing, empty, bad, no, no, no)


def _written(codes: NDArray[np.intp], texts: list[str]) -> Prices:
    parts = [read_price(text) or _NOTHING for text in texts]
    marks = _DecimalMarks(parts)
    read = [(np.nan, False) if price is _NOTHING else marks.amount(price) for price in parts]
    amounts = np.array([amount for amount, _ in read], np.float64)
    bad = ~np.isfinite(amounts) & np.array([text != "" for text in texts], bool)
    shared = np.empty(len(texts), object)
    shared[:] = [price.currencies for price in parts]
    return Prices(
        np.where(bad, np.nan, amounts)[codes],
        np.array([price.currency for price in parts], object)[codes],
        shared[codes],
        bad[codes],
        np.array([price.starts_at for price in parts], bool)[codes],
        np.array([price.per_unit for price in parts], bool)[codes],
        np.array([guessed for _, guessed in read], bool)[codes],
    )


_NOTHING = WrittenPrice(())


class _DecimalMarks:
    """Decides the decimal mark of ambiguous numbers by the others.

    Parameters
    ----------
    written
        The distinct prices of a column.
    """

    def __init__(self, written: list[WrittenPrice]) -> None:
        self._column: Counter[str] = Counter()
        self._by_currency: dict[str, Counter[str]] = {}
        for price in written:
            marks = [_shown_mark(number) for number in price.numbers]
            self._column.update(filter(None, marks))
            self._by_currency.setdefault(price.currency, Counter()).update(filter(None, marks))
        # prices of a thousand and more beside smaller ones, or as no program writes them
        self._thousands = any(
            price.currency or "," in number or number.isdecimal() for price in written for number in price.numbers
        )

    def amount(self, price: WrittenPrice) -> tuple[float, bool]:
        """Return the amount of a price, and whether its decimal mark is a guess."""
        if not price.is_ambiguous:
            return price.amount(), False
        votes = self._by_currency[price.currency] or self._column
        if votes:
            return price.amount(votes.most_common(1)[0][0]), False
        decimals = needs_three_decimals(price.currency) or not self._thousands
        return price.amount("." if "." in price.numbers[0] and decimals else ""), True


def _shown_mark(number: str) -> str:
    """Return the decimal mark of a number or, of one with groups of thousands, the mark that is not theirs."""
    mark = decimal_mark(number)
    if mark == "" and "." in number:
        return ","
    if mark == "" and "," in number:
        return "."
    return mark or ""
