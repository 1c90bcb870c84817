"""What a user did: one event, and how much each kind of event says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

# GA4's e-commerce names with their default weights; `rate` is weighted by its value (see `event_weight`).
EVENT_WEIGHTS: dict[str, float] = {
    "view_item_list": 0.0,
    "select_item": 1.0,
    "view_item": 1.0,
    "add_to_wishlist": 2.0,
    "add_to_cart": 3.0,
    "remove_from_cart": -1.0,
    "purchase": 5.0,
    "refund": -3.0,
    "rate": 1.0,
    "dismiss": -5.0,
}
# What ids of shoppers begin with that the shop's own people play in the storefront: nothing is learned from them.
PLAYED = "storefront:"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a user did to one product.

    Parameters
    ----------
    item_id
        The shop's id of the product.
    event_name
        A GA4 e-commerce name, see `EVENT_WEIGHTS`.
    timestamp
        When, timezone-aware, in UTC.
    user_id
        The shop's id of the user; empty in a history that a request brings along.
    value
        A rating in stars for `rate`; otherwise None.
    event_id
        The sender's id; a store that sees it twice keeps the event once.
    session_id, recommendation_id, quantity, price
        Optional context, kept by the store.
    """

    item_id: str
    event_name: str
    timestamp: datetime
    user_id: str = ""
    value: float | None = None
    event_id: str = ""
    session_id: str = ""
    recommendation_id: str = ""
    quantity: float | None = None
    price: float | None = None


def event_weight(event_name: str, value: float | None, weights: Mapping[str, float]) -> float:
    """Return how much one event says about its user's taste.

    A rating of 3 stars is neutral, 5 stars weigh twice the name's weight and 1 star minus twice.
    """
    weight = weights.get(event_name, 0.0)
    if event_name == "rate" and value is not None:
        return weight * (value - 3.0)
    return weight
