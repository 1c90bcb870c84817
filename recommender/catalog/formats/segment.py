"""Segment's calls of its e-commerce specification, as JSON Lines or from a warehouse; RudderStack's are the same.

See https://segment.com/docs/connections/spec/ecommerce/v2/.
"""

import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from recommender.catalog.files.tables import Table, unpacked
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.event_items import Item, items_of, with_products
from recommender.catalog.formats.parsing import blank, column, count, filled, per_value
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "Segment's calls"
_NAMES = {
    "product list viewed": "view_item_list",
    "product clicked": "select_item",
    "product viewed": "view_item",
    "product added": "add_to_cart",
    "product removed": "remove_from_cart",
    "product added to wishlist": "add_to_wishlist",
    "wishlist product added to cart": "add_to_cart",
    "product reviewed": "rate",
    "order completed": "purchase",
    "order refunded": "refund",
}
# They may name products, but add nothing to the events around them.
_IGNORED = (
    *(
        "product list filtered",
        "product removed from wishlist",
        "product shared",
        "products searched",
        "cart viewed",
    ),
    *("cart shared", "order updated", "order cancelled", "checkout started", "checkout step viewed"),
    *(
        "checkout step completed",
        "payment info entered",
        "promotion viewed",
        "promotion clicked",
        "coupon entered",
    ),
    *("coupon applied", "coupon denied", "coupon removed"),
)
# By their words: the older specification has "Viewed Product" for "Product Viewed".
_EVENTS = {frozenset(name.split()): event for name, event in (_NAMES | dict.fromkeys(_IGNORED, "")).items()}
_IDS = ("product_id", "productId", "sku", "id")


def _read(table: Table, report: DataReport) -> Table:
    """Return one event per product of a track call; other calls are counted.

    Raises
    ------
    DataError
        If it lacks the event's name or the user.
    """
    table = unpacked(table)
    table.require("event", f"of {_TITLE}")
    track = column(table, "type").str.lower().isin(["", "track"])
    names = strings(per_value(column(table, "event"), _event))
    wanted = track & (names != "")
    count(report, "rows of other calls", int((~wanted).sum()))
    table = table.where(wanted)
    table, items = with_products(table, _items(table), report)
    frame = pd.DataFrame(
        {
            "user_id": _first(table, "userId", "user_id"),
            "session_id": _first(table, "properties.session_id", "session_id", "anonymousId", "anonymous_id"),
            "event_name": strings(per_value(column(table, "event"), _event)),
            "timestamp": _first(
                table, "timestamp", "originalTimestamp", "original_timestamp", "sentAt", "receivedAt"
            ),
            "event_id": _first(table, "messageId", "message_id", "id"),
            "transaction_id": _first(table, "properties.order_id", "properties.orderId", "order_id"),
            "value": _first(table, "properties.rating", "rating"),
            "items": items,
        }
    )
    return table.with_frame(frame)


def _event(name: str) -> str:
    """Return the standard name of an event, "" for those that add nothing."""
    words = re.findall(r"\w+", name.lower().replace("_", " "))
    return _EVENTS.get(frozenset(words), "_".join(words))


def _items(table: Table) -> pd.Series:
    """Return the products of each call: those of a list, else the one that its properties name."""
    fields = (*_IDS[:-1], "quantity", "price")
    single = zip(*(_first(table, f"properties.{name}", name) for name in fields), strict=True)
    lists = _first_raw(table, "properties.products", "products")
    products: list[Any] = [
        _known(items_of(cell) or [dict(zip(fields, cells, strict=True))])
        for cell, cells in zip(lists, single, strict=True)
    ]
    return pd.Series(products, table.frame.index, dtype=object)


def _known(items: list[Item]) -> list[Item]:
    """Return the products that have an id, with the fields that are used."""
    ids = [next((item[name] for name in _IDS if item.get(name) not in (None, "")), None) for item in items]
    return [
        {"item_id": id, "quantity": item.get("quantity"), "price": item.get("price")}
        for id, item in zip(ids, items, strict=True)
        if id is not None
    ]


def _first(table: Table, *names: str) -> pd.Series:
    """Return the first of some columns that has a value, "" where none has."""
    cells = blank(table)
    for name in names:
        cells = filled(cells, column(table, name))
    return cells


def _first_raw(table: Table, *names: str) -> Iterable[Any]:
    found = next((name for name in names if name in table.frame), None)
    return blank(table) if found is None else table.frame[found]


def _recognizes(table: Table) -> bool:
    names = set(map(str, table.frame))
    users = names & {"userId", "anonymousId", "anonymous_id"}
    return "event" in names and bool(users) and bool(names & {"messageId", "properties", "event_text", "sentAt"})


FORMAT = Format("segment", _TITLE, _read, _recognizes)
