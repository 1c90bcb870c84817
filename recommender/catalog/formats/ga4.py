"""Google Analytics 4: rows of its export to BigQuery, as JSON Lines or Parquet, or CSV with the items as JSON.

See https://support.google.com/analytics/answer/7029846.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.event_items import Item, fields, items_of, nested, with_products
from recommender.catalog.formats.parsing import blank, column, count, filled
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "a GA4 export"
# They name products, but add nothing to the events around them.
_IGNORED = (
    *("view_cart", "begin_checkout", "add_shipping_info", "add_payment_info"),
    *("view_promotion", "select_promotion"),
)
_NOT_SET = ("(not set)", "(other)")
_PARAMS = ("ga_session_id", "transaction_id")


def _read(table: Table, report: DataReport) -> Table:
    """Return one event per product of a row; rows without products are counted.

    The user is `user_id` if there is one, else the browser's `user_pseudo_id`. The products are in `items`, or in
    `item_id` where a query has unnested them.

    Raises
    ------
    DataError
        If it lacks event_name, event_timestamp or items, or items are neither nested nor JSON.
    """
    for name in ("event_name", "event_timestamp"):
        table.require(name, f"of {_TITLE}")
    other = table.frame["event_name"].isin(_IGNORED)
    count(report, "rows of checkout steps and promotions", int(other.sum()))
    table = table.where(~other)
    if "item_id" in table.frame and "items" not in table.frame:
        names = (name for name in ("quantity", "price") if name in table.frame)
        ids = column(table, "item_id").map(_id)
        return table.with_frame(_events(table).assign(item_id=ids, **{name: table.frame[name] for name in names}))
    table, items = with_products(*nested(table, "items", _TITLE, report), report)
    values = {
        "item_id": lambda item: _id(item.get("item_id")),
        "quantity": _get("quantity"),
        "price": _get("price"),
    }
    return table.with_frame(_events(table).assign(items=fields(items, values)))


def _events(table: Table) -> pd.DataFrame:
    params = (
        table.frame["event_params"].map(_params) if "event_params" in table.frame else blank(table).map(_params)
    )
    session, transaction = (strings(params.map(lambda found, key=key: found.get(key))) for key in _PARAMS)
    session = filled(filled(session, column(table, "ga_session_id")), column(table, "event_params.ga_session_id"))
    pseudo = column(table, "user_pseudo_id")
    given = filled(column(table, "ecommerce.transaction_id"), column(table, "transaction_id"))
    return pd.DataFrame(
        {
            "user_id": filled(column(table, "user_id"), pseudo),
            "event_name": column(table, "event_name"),
            "timestamp": table.frame["event_timestamp"],
            "session_id": (pseudo + "." + session).where(session != "", ""),
            "transaction_id": filled(given.replace(list(_NOT_SET), ""), transaction),
        }
    )


def _id(cell: Any) -> Any:
    return "" if cell is None or cell in _NOT_SET else cell


def _get(name: str) -> Callable[[Item], Any]:
    return lambda item: item.get(name)


def _params(cell: Any) -> dict[str, Any]:
    """Return the parameters of an event that are used."""
    found = {}
    for param in items_of(cell) or ():
        if param.get("key") in _PARAMS and isinstance(param.get("value"), dict):
            found[param["key"]] = next((value for value in param["value"].values() if value is not None), None)
    return found


def _recognizes(table: Table) -> bool:
    names = set(map(str, table.frame))
    return {"event_name", "event_timestamp"} <= names and any(
        name.startswith(("items", "event_params")) for name in names
    )


FORMAT = Format("ga4", _TITLE, _read, _recognizes)
