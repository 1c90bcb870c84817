"""Prices of a catalogue: amounts, currencies, and sales with their periods."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.report import CellReport
from recommender.catalog.values.cells import Mask, strings
from recommender.catalog.values.moments import moments
from recommender.catalog.values.prices import Prices, prices
from recommender.core.blocks import Double
from recommender.errors import ConfigError
from recommender.items import sales
from recommender.items.prices import currency_code

PERIOD = "sale_price_effective_date"  # Google Merchant's attribute: start and end of a sale
PRICES = ("price", "regular_price", "sale_price")
_DAY = r"\d{4}-?\d\d-?\d\d"
MomentReader = Callable[[pd.Series], tuple[pd.Series, Mask]]
_ENTIRE_DAY = pd.Timedelta(days=1)


def read_prices(
    cells: Mapping[str, pd.Series],
    currency: str | None,
    report: CellReport,
    timezone: str | None = None,
    format: str | None = None,
) -> dict[str, pd.Series]:
    """Return the typed columns of prices, sales and currencies of n products.

    A catalogue with sale prices gets all of `recommender.items.sales.OFFER`; its "price" is the one in force now.

    Parameters
    ----------
    cells
        By standard name, as far as there are: `PRICES`, `PERIOD`, "sale_starts", "sale_ends" and "currency".
    currency
        Code of all prices without one; None for none.
    report
        Gets what was left out, repaired or guessed.
    timezone, format
        Of the moments of sales, see `recommender.catalog.values.moments.read_moments`.

    Raises
    ------
    ConfigError
        If `currency` is no currency.
    """
    texts = {name: cells[name] for name in PRICES if name in cells}
    read = _read(texts)
    for name, column in read.items():
        _report(name, column, texts[name], report)
    amounts = {name: column.amounts for name, column in read.items()}
    typed = {name: pd.Series(values) for name, values in amounts.items()}
    if "sale_price" in amounts:
        typed |= _sales(amounts, cells, report, partial(moments, timezone=timezone, format=format))
    elif "price" not in amounts and "regular_price" in amounts:
        typed["price"] = typed["regular_price"]
    currencies = _currencies(list(read.values()), cells.get("currency"), currency, report)
    return typed if currencies is None else {**typed, "currency": currencies}


def _read(texts: Mapping[str, pd.Series]) -> dict[str, Prices]:
    """Read columns of texts at once: their decimal mark is the same."""
    if any(pd.api.types.is_numeric_dtype(column) for column in texts.values()) or len(texts) < 2:
        return {name: prices(column) for name, column in texts.items()}
    whole = prices(pd.concat([strings(column) for column in texts.values()], ignore_index=True))
    n = len(next(iter(texts.values())))
    return {name: whole.part(slice(i * n, i * n + n)) for i, name in enumerate(texts)}


def _report(name: str, column: Prices, texts: pd.Series, report: CellReport) -> None:
    def text(i: int) -> str:
        return f'{name} is "{strings(texts.iloc[[i]]).iloc[0]}"'

    def amount(i: int) -> str:
        return f"{column.amounts[i]:.12g}"

    report.add(
        f"bad {name}", column.bad, lambda i: f"{text(i)}; expected a number such as 12.50; taken as missing"
    )
    repaired = {
        f"range of {name}": (column.starts_at, "the lowest price, {}, is taken"),
        f"{name} per unit": (column.per_unit, "the price of a unit, {}, is taken"),
        f"ambiguous {name}": (column.guessed, "the mark may be of thousands or of decimals; taken as {}"),
    }
    if name != "sale_price":
        repaired[f"{name} of 0"] = (column.amounts == 0, "expected more than 0; taken as {}")
    for kind, (mask, what) in repaired.items():
        report.add(kind, mask, lambda i, what=what: f"{text(i)}; {what.format(amount(i))}", "warning")  # type: ignore[misc]


def _currencies(
    read: list[Prices], column: pd.Series | None, fixed: str | None, report: CellReport
) -> pd.Series | None:
    """Return the currency of each product, "" unknown: that of its price's text, else the declared one."""
    n = len(report.ids)
    found, shared = np.full(n, "", object), np.full(n, frozenset(), object)
    for prices_read in read:
        shared = np.where((found == "") & (prices_read.currencies != ""), prices_read.shared, shared)
        found = np.where(found == "", prices_read.currencies, found)
    declared = _declared(column, fixed, report)
    if declared is not None:
        meant = np.array([code in codes for code, codes in zip(declared, shared, strict=True)], bool)
        found = np.where((declared != "") & ((found == "") | meant), declared, found)
    counts = Counter(found[found != ""].tolist())
    if len(counts) > 1:
        listed = ", ".join(f"{count:,} in {code}" for code, count in counts.most_common(10))
        report.add_file("mixed currencies", f"prices are not in one currency: {listed}; they are not converted")
    return pd.Series(found, dtype="str") if counts else None


def _declared(column: pd.Series | None, fixed: str | None, report: CellReport) -> "NDArray[np.object_] | None":
    if fixed is not None:
        code = currency_code(fixed)
        if not code:
            raise ConfigError(f"[catalog] currency: {fixed!r} is neither a column nor a currency such as EUR")
        return np.full(len(report.ids), code, object)
    if column is None:
        return None
    codes, texts = pd.factorize(strings(column).to_numpy(object))
    known = np.array([currency_code(text) if text else "" for text in texts], object)[codes]
    expected = "expected a code of ISO 4217 such as EUR; taken as missing"
    report.add("bad currency", pd.isna(known), lambda i: f'currency is "{texts[codes[i]]}"; {expected}')
    return np.where(pd.isna(known), "", known)


def _sales(
    amounts: Mapping[str, Double], cells: Mapping[str, pd.Series], report: CellReport, read: MomentReader
) -> dict[str, pd.Series]:
    """Return the columns of sales, without those that cannot be, and the price in force now."""
    sale, nothing = amounts["sale_price"], np.full(len(report.ids), np.nan)
    price, regular = amounts.get("price", nothing), amounts.get("regular_price", nothing)
    # Some shops' price is the one in force, beside a regular price.
    regular = np.where(np.isnan(price) | (~np.isnan(sale) & ~np.isnan(regular)), regular, price)
    starts, ends, bad = _periods(cells, len(sale), read)

    def leave_out(kind: str, wrong: Mask, what: str) -> None:
        report.add(kind, wrong, lambda i: f"sale_price {sale[i]:.12g} {what}; the sale is left out", "warning")

    leave_out("sale price above the price", sale > regular, "is more than the price")
    leave_out("sale price of 0", (sale == 0) & (regular > 0), "is expected to be more than 0")
    leave_out("bad period of a sale", bad & ~np.isnan(sale), f"has no period such as {_EXAMPLE} or {_DAYS}")
    sale = np.where((sale > regular) | ((sale == 0) & (regular > 0)) | bad, np.nan, sale)
    current = sales.SalePrices(regular, sale, _posix(starts), _posix(ends)).at(sales.now())
    values = {"price": current, "regular_price": regular, "sale_price": sale}
    typed = {name: pd.Series(column) for name, column in values.items()}
    return {**typed, "sale_starts": starts, "sale_ends": ends}


_EXAMPLE, _DAYS = "2026-11-24T13:00-0800/2026-11-29T15:30-0800", "2026-11-24/2026-11-29"


def _periods(cells: Mapping[str, pd.Series], n: int, read: MomentReader) -> tuple[pd.Series, pd.Series, Mask]:
    """Return start and end (not included) of each sale, NaT for an open one, and the mask of what is no period."""
    first, last = cells.get("sale_starts"), cells.get("sale_ends")
    duration = pd.Series("", range(n), dtype="str")
    odd = np.zeros(n, bool)
    if first is None and last is None and PERIOD in cells:
        first, last, odd = _halves(strings(cells[PERIOD]).reset_index(drop=True))
        is_duration = last.str.startswith("P")
        duration, last = last.where(is_duration, ""), last.where(~is_duration, "")
    starts, bad_starts = _moments(first, n, read)
    ends, bad_ends = _moments(last, n, read)
    if last is not None:  # a sale that ends on a day holds until its end
        ends = ends.where(~_is_day(last), ends + _ENTIRE_DAY)
    if (duration != "").any():
        ends = ends.where(
            duration == "", starts + pd.to_timedelta(duration.where(duration != ""), errors="coerce")
        )
        odd = odd | (duration != "").to_numpy(bool) & ends.isna().to_numpy(bool)
    bad = odd | bad_starts | bad_ends | (ends <= starts).to_numpy(bool)
    return starts.astype("datetime64[us]"), ends.astype("datetime64[us]"), bad


def _moments(column: pd.Series | None, n: int, read: MomentReader) -> tuple[pd.Series, Mask]:
    if column is None:
        return pd.Series(np.full(n, np.datetime64("NaT", "us"))), np.zeros(n, bool)
    times, bad = read(column)
    return times.reset_index(drop=True), bad


def _halves(periods: pd.Series) -> tuple[pd.Series, pd.Series, Mask]:
    """Split periods such as "2026-11-24/2026-11-29" and "2026-11-24 - 2026-11-29"."""
    parts = periods.str.extract(
        r"^\s*(?P<first>.*?)\s*(?:/|\s[-–]\s|\s(?:to|until)\s)\s*(?P<last>.*?)\s*$"
    ).fillna("")
    odd = (periods != "") & (parts["first"] + parts["last"]).isin(["", ".."])
    open_end = {"..": "", "-": ""}
    return parts["first"].replace(open_end), parts["last"].replace(open_end), odd.to_numpy(bool)


def _is_day(column: pd.Series) -> pd.Series:
    """Return the mask of dates without a time; a column of moments has days if all are at midnight."""
    if pd.api.types.is_datetime64_any_dtype(column):
        times = column.dropna()
        return pd.Series(bool((times == times.dt.normalize()).all()), range(len(column)))
    return strings(column).reset_index(drop=True).str.fullmatch(_DAY)


def _posix(moments: pd.Series) -> Double:
    values = moments.to_numpy("datetime64[us]")
    return np.where(np.isnat(values), np.nan, values.astype(np.int64) / 1e6)
