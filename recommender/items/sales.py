"""Sale prices: the price that is in force now, which changes when a sale starts or ends."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from recommender.core.blocks import Double
from recommender.items.columns import Numbers, posix

# What a price is worked out from: attributes of a catalogue that has sale prices.
OFFER = ("regular_price", "sale_price", "sale_starts", "sale_ends")
SALE = frozenset(OFFER[1:])
_DAY = 86_400.0


def now() -> float:
    """Return the time in POSIX seconds at which prices are in force; tests replace it."""
    return time.time()


class SalePrices:
    """Regular and sale prices of n products, with the periods of the sales.

    Parameters
    ----------
    regular, sale
        (n,) prices, NaN for none.
    starts, ends
        (n,) POSIX seconds; the end is not in the period; NaN for an open one.
    """

    def __init__(self, regular: Double, sale: Double, starts: Double, ends: Double) -> None:
        self._rows = np.flatnonzero(sale == sale)  # NaN is not equal to itself
        self._regular, self._sale = regular, sale[self._rows]
        self._starts, self._ends = starts[self._rows], ends[self._rows]
        moments = np.concatenate([self._starts, self._ends])
        self._boundaries = np.unique(moments[np.isfinite(moments)])

    def at(self, moment: float) -> Double:
        """Return the price in force at a moment, (n,), NaN for none."""
        on_sale = ~(moment < self._starts) & ~(moment >= self._ends)  # a comparison with NaN is false
        prices = np.array(self._regular, np.float64)
        prices[self._rows[on_sale]] = self._sale[on_sale]
        return prices

    def until(self, moment: float) -> float:
        """Return the first start or end of a sale after a moment; infinity if there is none."""
        after = int(np.searchsorted(self._boundaries, moment, side="right"))
        return float(self._boundaries[after]) if after < len(self._boundaries) else np.inf


class CurrentPrices(Numbers):
    """A column of the prices in force now, worked out again when a sale starts or ends.

    Parameters
    ----------
    sales
        The prices and periods.
    """

    def __init__(self, sales: SalePrices) -> None:
        self._sales = sales
        self._state: tuple[float, float, Double] = (np.inf, -np.inf, np.zeros(0))

    @property
    def values(self) -> Double:  # type: ignore[override]
        """The prices in force, (n,) float64, NaN for null."""
        moment = now()
        since, until, prices = self._state
        if not since <= moment < until:
            prices = self._sales.at(moment)
            self._state = (moment, self._sales.until(moment), prices)
        return prices

    def until(self, moment: float) -> float:
        """See `SalePrices.until`."""
        return self._sales.until(moment)


def current_offer(
    change: Mapping[str, Any], known: Mapping[str, Any], moment: float
) -> tuple[Mapping[str, Any], float]:
    """Return a product's live change with the price in force, and the moment until which it is.

    A price that is changed without a sale price is the price from now on; with one it is the regular price.

    Parameters
    ----------
    change
        Changed attributes.
    known
        Attributes of the bundle that the change does not name, as far as there are: `OFFER` and "price".
    moment
        POSIX seconds.
    """
    regular = known.get("price") if known.get("regular_price") is None else known["regular_price"]
    regular = change.get("regular_price", change.get("price", regular))
    sale, *period = (change.get(name, known.get(name)) for name in OFFER[1:])
    starts, ends = map(_seconds, period)
    if period[1] is not None and len(period[1]) == len("2026-11-23"):
        ends += _DAY  # a sale that ends on a day holds until its end
    if sale is None or (regular is not None and sale > regular):
        return {**change, "price": regular}, np.inf
    sales = SalePrices(*(np.array([value], np.float64) for value in (np.nan, sale, starts, ends)))
    price = sales.at(moment).item()
    return {**change, "price": regular if price != price else price}, sales.until(moment)


def _seconds(date: str | None) -> float:
    seconds = None if date is None else posix(date)
    return np.nan if seconds is None else seconds


def complete_offer(change: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a change of price with all of `OFFER` that it implies, for a product that may be on sale.

    A price alone is the price from now on, so that it ends a sale; with a sale price it is the regular price.
    """
    if "price" not in change:
        return change
    if change.keys().isdisjoint(SALE):
        return {**change, "regular_price": change["price"], **dict.fromkeys(SALE)}
    return {"regular_price": change["price"], **change}
