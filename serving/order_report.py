"""Report of orders: what recommendations sold, by placement, strategy, arm and day, never across currencies."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recommender.stores.attribution import DRAWN
from recommender.stores.orders import OrderLine

DIMENSIONS = ("day", "placement", "strategy", "arm")
AMOUNTS = ("orders", "units", "revenue", "average_order_value", "users", "unpriced_units")


@dataclass
class Sales:
    """What was sold: its orders and shoppers are counted once each.

    A line whose pieces were all returned is no order.
    """

    orders: set[str] = field(default_factory=set)
    users: set[tuple[str, str]] = field(default_factory=set)
    units: float = 0.0
    unpriced_units: float = 0.0
    revenue: float = 0.0

    def add(self, line: OrderLine) -> None:
        """Add a product of an order."""
        if line.units <= 0:
            return
        self.orders.add(line.order_id)
        self.users.add((line.user_id, "" if line.user_id else line.session_id))
        self.units += line.units
        if line.revenue is None:
            self.unpriced_units += line.units
        else:
            self.revenue += line.revenue

    def amounts(self) -> dict[str, float]:
        """Return the amounts of a report's line; revenue to the cent of a cent."""
        revenue = round(self.revenue, 4)
        orders = len(self.orders)
        average = round(self.revenue / orders, 4) if orders else 0.0
        return {
            "orders": orders,
            "units": self.units,
            "revenue": revenue,
            "average_order_value": average,
            "users": len(self.users),
            "unpriced_units": self.unpriced_units,
        }


def attributed(
    lines: Iterable[OrderLine], by: Sequence[str], click_days: int, view_days: int
) -> list[dict[str, Any]]:
    """Return the orders that recommendations are credited with, a line per group and currency.

    Parameters
    ----------
    lines
        Of the orders of a period.
    by
        Some of `DIMENSIONS`; days are those of the purchase in UTC.
    click_days, view_days
        See `OrderLine.credited_to`.
    """
    groups: dict[tuple[str, ...], Sales] = defaultdict(Sales)
    for line in lines:
        credit = line.credited_to(click_days, view_days)
        if credit is not None and credit.arm != DRAWN:
            values = {**credit._asdict(), "day": line.timestamp.date().isoformat()}
            groups[*(values[name] for name in by), line.currency or ""].add(line)
    names = (*by, "currency")
    return [
        {**dict(zip(names, key, strict=True)), **sales.amounts()}
        for key, sales in sorted(groups.items())
        if sales.orders
    ]


def shop_totals(lines: Iterable[OrderLine], click_days: int, view_days: int) -> list[dict[str, Any]]:
    """Return all that was sold, by currency, and how much of it recommendations are credited with."""
    everything: dict[str, Sales] = defaultdict(Sales)
    credited: dict[str, Sales] = defaultdict(Sales)
    for line in lines:
        everything[line.currency or ""].add(line)
        if line.credited_to(click_days, view_days) is not None:
            credited[line.currency or ""].add(line)
    return [
        {
            "currency": currency,
            **sales.amounts(),
            "attributed_orders": len(credited[currency].orders),
            "attributed_revenue": round(credited[currency].revenue, 4),
        }
        for currency, sales in sorted(everything.items())
    ]


def rule(click_days: int, view_days: int) -> str:
    """Return the attribution rule in words."""
    views = (
        f"else to the latest recommendation of it that they saw in the {_days(view_days)} before"
        if view_days
        else "views do not count"
    )
    return (
        f"Each product of an order is credited to the latest recommendation of it that the same user or session"
        f" clicked in the {_days(click_days)} before, {views}. A product of a transaction counts once; refunds"
        " subtract from the day of the order. Amounts are per currency. Days are in UTC."
    )


def _days(count: int) -> str:
    return "day" if count == 1 else f"{count} days"
