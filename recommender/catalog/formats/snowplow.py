"""Snowplow's enriched events of its e-commerce schemas, as JSON Lines or Parquet.

See https://docs.snowplow.io/docs/events/ootb-data/ecommerce-events/.
"""

from typing import Any

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.event_items import Item, items_of, with_products
from recommender.catalog.formats.parsing import blank, column, count, filled, per_value
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "Snowplow's events"
_ACTION = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
_PRODUCT = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
_TRANSACTION = ("transaction", "refund")
_CONTEXT = "contexts_com_snowplowanalytics_snowplow_ecommerce_{}_1"
# Types of the action; others add nothing.
_EVENTS = {
    "list_view": "view_item_list",
    "list_click": "select_item",
    "product_view": "view_item",
    "add_to_cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "transaction": "purchase",
    "refund": "refund",
}


def _read(table: Table, report: DataReport) -> Table:
    """Return one event per product of an e-commerce action, and per row of an older ``transaction_item``.

    The user is `user_id` if there is one, else `domain_userid`.

    Raises
    ------
    DataError
        If it has neither e-commerce actions nor ``ti_sku``.
    """
    names = {str(name).lower(): name for name in table.frame}
    table = table.with_frame(table.frame.rename(columns={name: low for low, name in names.items()}))
    action = _column_of(table, _ACTION)
    if action is None and "ti_sku" not in table.frame:
        table.require(_ACTION, f"of {_TITLE}")
    types = _types(table, action)
    known = strings(per_value(types, lambda name: _EVENTS.get(name, "")))
    older = column(table, "ti_sku")
    event = filled(known, pd.Series("purchase", table.frame.index, dtype="str").where(older != "", ""))
    count(report, "rows of other events", int((event == "").sum()))
    table, event = table.where(event != ""), event[event != ""].reset_index(drop=True)
    table, items = with_products(table.with_frame(table.frame.assign(event_name=event)), _items(table), report)
    user = column(table, "domain_userid")
    frame = pd.DataFrame(
        {
            "user_id": filled(column(table, "user_id"), user),
            "session_id": column(table, "domain_sessionid"),
            "event_name": column(table, "event_name"),
            "timestamp": filled(column(table, "derived_tstamp"), column(table, "collector_tstamp")),
            "event_id": column(table, "event_id"),
            "transaction_id": _transactions(table),
            "items": items,
        }
    )
    return table.with_frame(frame)


def _column_of(table: Table, name: str) -> str | None:
    """Return the column of a schema: exactly, or with the minor version or a field behind it."""
    return next((found for found in map(str, table.frame) if found.startswith(name)), None)


def _types(table: Table, action: str | None) -> pd.Series:
    """Return the type of each e-commerce action, "" for other events."""
    if action is None:
        return blank(table)
    field = next(
        (name for name in map(str, table.frame) if name.startswith(_ACTION) and name.endswith(".type")), None
    )
    if field is not None:
        return column(table, field)
    return strings(table.frame[action].map(lambda cell: next(iter(items_of(cell) or ()), {}).get("type")))


def _items(table: Table) -> pd.Series:
    """Return the products of each event."""
    fields = (column(table, name) for name in ("ti_sku", "ti_quantity", "ti_price"))
    older: list[Item] = [
        dict(zip(("item_id", "quantity", "price"), cells, strict=True)) for cells in zip(*fields, strict=True)
    ]
    context = _column_of(table, _PRODUCT)
    cells: Any = [None] * len(older) if context is None else table.frame[context]
    found = [items_of(cell) or [] for cell in cells]
    products: list[Any] = [
        [_item(item) for item in items if item.get("id")] or ([one] if one["item_id"] else [])
        for items, one in zip(found, older, strict=True)
    ]
    return pd.Series(products, table.frame.index, dtype=object)


def _item(item: Item) -> Item:
    return {"item_id": item["id"], "quantity": item.get("quantity"), "price": item.get("price")}


def _transactions(table: Table) -> pd.Series:
    """Return the id of each event's order, "" unknown."""
    ids = filled(column(table, "ti_orderid"), column(table, "tr_orderid"))
    for kind in _TRANSACTION:
        context = _column_of(table, _CONTEXT.format(kind))
        if context is not None:
            found = table.frame[context].map(
                lambda cell: next(iter(items_of(cell) or ()), {}).get("transaction_id")
            )
            ids = filled(ids, strings(found))
    return ids


def _recognizes(table: Table) -> bool:
    names = {str(name).lower() for name in table.frame}
    return {"collector_tstamp", "domain_userid"} <= names and bool(names & {"event_id", "event", "event_name"})


FORMAT = Format("snowplow", _TITLE, _read, _recognizes)
