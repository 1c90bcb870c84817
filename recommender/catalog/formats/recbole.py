"""RecBole's atomic files: tab-separated text with the type in each heading, such as ``item_id:token``.

See https://recbole.io/docs/user_guide/data/atomic_files.html.
"""

import re

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.parsing import column, per_value
from recommender.catalog.report import DataReport

_HEADING = re.compile(r"(.+):(token|token_seq|float|float_seq)")
_PRODUCTS = {"item_id": "id", "name": "title", "item_name": "title", "categories": "product_type"}
_EVENTS = {"rating": "value"}
_TEXTS = {"title", "name", "item_name", "description"}


def _products(table: Table, report: DataReport) -> Table:
    """Return the products of an ``.item`` file; sequences are lists.

    Raises
    ------
    DataError
        If it lacks ``item_id:token``.
    """
    table.require("item_id:token", "of RecBole's atomic files")
    return _named(table, _PRODUCTS)


def _events(table: Table, report: DataReport) -> Table:
    """Return the interactions of an ``.inter`` file; with a rating they are events ``rate``.

    Raises
    ------
    DataError
        If it lacks ``user_id:token`` or ``item_id:token``.
    """
    for name in ("user_id:token", "item_id:token"):
        table.require(name, "of RecBole's atomic files")
    named = _named(table, _EVENTS)
    if "value" not in named.frame or "event_name" in named.frame:
        return named
    return named.with_frame(named.frame.assign(event_name="rate"))


def _named(table: Table, standard: dict[str, str]) -> Table:
    """Return a table with plain names; sequences of tokens are lists, but for texts."""
    matches = {name: match for name in map(str, table.frame) if (match := _HEADING.fullmatch(name)) is not None}
    plain = {name: match[1] for name, match in matches.items()}
    frame = table.frame.copy()
    for name, match in matches.items():
        if match[2].endswith("_seq") and match[1] not in _TEXTS:
            frame[name] = per_value(column(table, name), str.split)
    columns = {name: standard.get(new, new) for name, new in plain.items()}
    twins = {name for name, new in columns.items() if new != plain[name] and new in plain.values()}
    return table.with_frame(frame.rename(columns=columns | {name: plain[name] for name in twins}))


def _recognizes(table: Table) -> bool:
    return len(table.frame.columns) > 0 and all(_HEADING.fullmatch(str(name)) for name in table.frame)


PRODUCTS = Format("recbole", "RecBole's products", _products, _recognizes)
EVENTS = Format("recbole", "RecBole's interactions", _events, _recognizes)
