"""Orders: what was bought less what was returned, and the recommendation that each product is credited to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from recommender.stores.attribution import SUFFIX_LENGTH, Attribution

# Events with a recommendation id that are clicks, and the one that is a view. An order may name the id itself.
CLICKS = ("select_item", "view_item", "add_to_wishlist", "add_to_cart", "purchase")
VIEW = "view_item_list"


class Touch(NamedTuple):
    """A click or a view of a recommended product."""

    recommendation_id: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One product of an order, less what was returned.

    Parameters
    ----------
    order_id
        The transaction id of the purchase, or its event id where it has none.
    item_id
        The product.
    timestamp
        Of the purchase.
    user_id, session_id
        Who bought it; empty if not known.
    currency
        Of the price; None if not known.
    units
        Pieces bought and not returned, at least 0.
    revenue
        What they cost; None without a price.
    click, view
        The latest of the product by the same user or session, at or before the purchase.
    """

    order_id: str
    item_id: str
    timestamp: datetime
    user_id: str
    session_id: str
    currency: str | None
    units: float
    revenue: float | None
    click: Touch | None = None
    view: Touch | None = None

    def credited_to(self, click_days: int, view_days: int) -> Attribution | None:
        """Return what the recommendation is of that the product is credited to; None if there is none.

        That is the latest click if it is at most `click_days` old, else the latest view if it is at most
        `view_days` old; without a window for views, they do not count.
        """
        for touch, days in ((self.click, click_days), (self.view, view_days)):
            if touch is not None and days and self.timestamp - touch.timestamp <= timedelta(days=days):
                return Attribution.parse(touch.recommendation_id[:-SUFFIX_LENGTH])
        return None


class FirstView(NamedTuple):
    """When a session, or a user without one, first saw recommendations of one attribution.

    Parameters
    ----------
    session_id, user_id
        Of the events; one of them may be empty.
    attribution
        Of what was seen.
    timestamp
        The earliest in the period.
    """

    session_id: str
    user_id: str
    attribution: Attribution
    timestamp: datetime


class Purchase(NamedTuple):
    """A purchase of one product, as it was sent."""

    event_id: str
    item_id: str
    timestamp: datetime
    user_id: str
    session_id: str
    quantity: float | None
    price: float | None
    transaction_id: str | None
    currency: str | None

    @property
    def order_id(self) -> str:
        """The transaction id, or the event id where there is none."""
        return self.transaction_id or self.event_id


class Refund(NamedTuple):
    """Pieces of an order's product that were returned; without a price, at that of the purchase."""

    order_id: str
    item_id: str
    quantity: float | None
    price: float | None


def order_lines(
    purchases: Sequence[Purchase],
    refunds: Sequence[Refund],
    clicks: dict[tuple[str, str], Touch],
    views: dict[tuple[str, str], Touch],
) -> Iterator[OrderLine]:
    """Yield the lines of orders, less refunds: no more is subtracted than was bought.

    Parameters
    ----------
    clicks, views
        By event id and item id of the purchase.
    """
    returned: dict[tuple[str, str], list[Refund]] = {}
    for refund in refunds:
        returned.setdefault((refund.order_id, refund.item_id), []).append(refund)
    for each in purchases:
        units, revenue = _less(each, returned.get((each.order_id, each.item_id), ()))
        key = each.event_id, each.item_id
        yield OrderLine(
            each.order_id,
            each.item_id,
            each.timestamp,
            each.user_id,
            each.session_id,
            each.currency,
            units,
            revenue,
            clicks.get(key),
            views.get(key),
        )


def _less(purchase: Purchase, refunds: Sequence[Refund]) -> tuple[float, float | None]:
    """Return the pieces of a purchase that were not returned, and what they cost."""
    units, price = _pieces(purchase.quantity), purchase.price
    cost = None if price is None else units * abs(price)
    for refund in refunds:
        pieces = min(_pieces(refund.quantity), units)
        units -= pieces
        if cost is not None and price is not None:
            cost = max(cost - pieces * abs(price if refund.price is None else refund.price), 0.0)
    return units, 0.0 if cost is not None and not units else cost


def _pieces(quantity: float | None) -> float:
    return 1.0 if quantity is None else abs(quantity)
