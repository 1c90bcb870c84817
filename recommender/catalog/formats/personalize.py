"""Amazon Personalize's item interactions: one CSV row per event.

See https://docs.aws.amazon.com/personalize/latest/dg/interactions-datasets.html.
"""

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.parsing import column
from recommender.catalog.report import DataReport

# Event types are free; these are those of its guides, in lower case and without spaces.
_NAMES = {
    "view": "view_item",
    "detailpageview": "view_item",
    "productviewed": "view_item",
    "click": "select_item",
    "like": "add_to_wishlist",
    "addtocart": "add_to_cart",
    "productadded": "add_to_cart",
    "purchase": "purchase",
    "orderplaced": "purchase",
    "ordercompleted": "purchase",
}
_COLUMNS = {
    "USER_ID": "user_id",
    "ITEM_ID": "item_id",
    "TIMESTAMP": "timestamp",
    "EVENT_TYPE": "event_name",
    "EVENT_VALUE": "value",
    "RECOMMENDATION_ID": "recommendation_id",
}


def _read(table: Table, report: DataReport) -> Table:
    """Return the events of a Personalize interactions file; impressions and other columns are left out.

    Another event type keeps its name and needs a weight in ``[events.weights]``. A file without types needs one
    name for all events, such as ``event_name = "purchase"``.

    Raises
    ------
    DataError
        If it lacks USER_ID, ITEM_ID or TIMESTAMP.
    """
    upper = table.with_frame(table.frame.rename(columns=lambda name: str(name).upper()))
    for name in ("USER_ID", "ITEM_ID", "TIMESTAMP"):
        upper.require(name, "of a Personalize file")
    named = upper.frame.rename(columns=_COLUMNS)
    frame = named[[name for name in _COLUMNS.values() if name in named]]
    if "event_name" in frame:
        names = column(table.with_frame(frame), "event_name")
        plain = names.str.lower().str.replace(r"[\s_-]", "", regex=True)
        frame = frame.assign(event_name=plain.map(_NAMES).fillna(names))
    return table.with_frame(frame)


def _recognizes(table: Table) -> bool:
    return {"USER_ID", "ITEM_ID", "TIMESTAMP"} <= set(map(str, table.frame))


FORMAT = Format("personalize", "a Personalize file", _read, _recognizes)
