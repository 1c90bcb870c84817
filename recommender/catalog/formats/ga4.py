"""Google Analytics 4: rows of its export to BigQuery, as JSON Lines or Parquet.

See https://support.google.com/analytics/answer/7029846.
"""

from typing import Any

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.parsing import column
from recommender.catalog.values.cells import strings

# They name products, but add nothing to the events around them.
_IGNORED = (
    *("view_cart", "begin_checkout", "add_shipping_info", "add_payment_info"),
    *("view_promotion", "select_promotion"),
)
_NOT_SET = "(not set)"
_ITEM_FIELDS = ("item_id", "quantity", "price")


def ga4(table: Table) -> Table:
    """Return one event per product of a row; rows without products are left out.

    The user is `user_id` if there is one, else the browser's `user_pseudo_id`.

    Raises
    ------
    DataError
        If it lacks event_name, event_timestamp or items.
    """
    for name in ("event_name", "event_timestamp", "items"):
        table.require(name, "of a GA4 export")
    has_items = table.frame["items"].map(_filled)
    table = table.where(has_items & ~table.frame["event_name"].isin(_IGNORED))
    user = column(table, "user_id")
    frame = pd.DataFrame(
        {
            "user_id": user.where(user != "", column(table, "user_pseudo_id")),
            "event_name": column(table, "event_name"),
            "timestamp": pd.to_numeric(strings(table.frame["event_timestamp"]), errors="coerce") / 1e6,
            "session_id": _sessions(table),
            "items": table.frame["items"].map(_items),
        }
    )
    return table.with_frame(frame)


def _filled(cell: Any) -> bool:
    return not isinstance(cell, float | None) and len(cell) > 0


def _items(cell: Any) -> list[dict[str, Any]]:
    """Return the products of an event with the fields that are used."""
    known = [{name: item.get(name) for name in _ITEM_FIELDS} for item in cell]
    return [item | {"item_id": "" if item["item_id"] in (None, _NOT_SET) else item["item_id"]} for item in known]


def _sessions(table: Table) -> pd.Series:
    """Return the session of each event, from its parameters; "" unknown."""
    if "event_params" not in table.frame:
        return pd.Series("", table.frame.index, dtype="str")
    pseudo = column(table, "user_pseudo_id")
    number = strings(table.frame["event_params"].map(_session))
    return (pseudo + "." + number).where(number != "", "")


def _session(params: Any) -> Any:
    for param in params if _filled(params) else ():
        if param["key"] == "ga_session_id":
            return param["value"].get("int_value")
    return None
