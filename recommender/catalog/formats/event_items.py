"""Products of events in exports of trackers: nested lists in the shapes of warehouses, and JSON in text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.parsing import count
from recommender.catalog.report import DataReport
from recommender.errors import DataError

Item = dict[str, Any]
_WRAPPERS = ("list", "array", "bag")  # of Parquet's lists
_LISTS = (list, tuple, np.ndarray)
_ELEMENTS = ("element", "item", "array_element")


def nested(table: Table, name: str, title: str, report: DataReport) -> tuple[Table, pd.Series]:
    """Return the rows whose column of nested objects can be read, and the objects of each.

    They are lists, lists within the wrappers of Parquet, or JSON in text.

    Raises
    ------
    DataError
        If the column is missing, or is text in which no cell is JSON.
    """
    columns = [name, *(f"{name}.{wrapper}" for wrapper in _WRAPPERS)]
    found = [column for column in columns if column in table.frame]
    if not found:
        table.require(name, f"of {title}")
    raw = table.frame[found[0]]
    for other in found[1:]:  # a file may have rows of several shapes
        raw = raw.where(raw.notna(), table.frame[other])
    items = pd.Series([items_of(cell) for cell in raw], raw.index, dtype=object)
    broken = items.isna().to_numpy(bool)
    if broken.any():
        example = str(raw[broken].iloc[0])[:60]
        if not items.map(bool).any():
            raise DataError(
                f"{table.name}: {name} is {example!r}; expected JSON such as "
                f'[{{"item_id": "A1"}}]. CSV cannot nest: export {title} as JSON Lines or Parquet'
            )
        message = f"{name} is no JSON; expected a list of objects"
        rows = table.rows[broken]
        report.add(f"bad {name}", table.name, rows, [""] * len(rows), lambda i: message, "left_out")
    return table.where(~broken), items[~broken].reset_index(drop=True)


def items_of(cell: Any) -> list[Item] | None:
    """Return the objects of a nested cell, [] where it is empty, None where it is text without JSON."""
    if isinstance(cell, str):
        try:
            cell = orjson.loads(cell) if cell.strip() else []
        except orjson.JSONDecodeError:
            return None
    if isinstance(cell, dict):
        cell = next((cell[wrapper] for wrapper in _WRAPPERS if isinstance(cell.get(wrapper), _LISTS)), [cell])
    if not isinstance(cell, _LISTS):
        return []
    return [_element(each) for each in cell if isinstance(each, dict)]


def _element(item: Item) -> Item:
    inner = next((item[name] for name in _ELEMENTS if len(item) == 1 and isinstance(item.get(name), dict)), None)
    return item if inner is None else inner


def with_products(table: Table, items: pd.Series, report: DataReport) -> tuple[Table, pd.Series]:
    """Return the events that name a product; the others are counted."""
    mask = items.map(bool).to_numpy(bool)
    count(report, "rows that name no product", int(np.count_nonzero(~mask)))
    return table.where(mask), items[mask].reset_index(drop=True)


def fields(items: pd.Series, names: dict[str, Callable[[Item], Any]]) -> pd.Series:
    """Return the objects with the standard names only."""
    return items.map(lambda listed: [{name: value(item) for name, value in names.items()} for item in listed])
