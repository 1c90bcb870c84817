"""A shop's table to a catalogue's frame: columns by their standard names, checked, sorted by id."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from recommender.catalog.cells import (
    Mask,
    dates,
    fields,
    fill,
    is_multi,
    kind_of,
    levelled,
    lists,
    numbers,
    strings,
)
from recommender.catalog.formats import as_products
from recommender.catalog.report import DataReport
from recommender.catalog.tables import Table, unpacked
from recommender.config import CatalogConfig
from recommender.errors import ConfigError, DataError
from recommender.items.schema import STANDARD, Kind


def map_products(table: Table, config: CatalogConfig, report: DataReport) -> tuple[pd.DataFrame, dict[str, Kind]]:
    """Return the products (n, columns) sorted by id, with "id" first, and the kind of every other column.

    Products without an id or with one seen before are left out and reported; cells that do not fit their column
    are missing, and reported.

    Raises
    ------
    DataError
        If the table lacks a mapped column or has no product.
    ConfigError
        If a template names a column that is not there.
    """
    table = _levelled(_split(as_products(unpacked(table), config.format), config.separators), config.levels)
    ids = _ids(table, config.id)
    keep = _distinct(table, ids, report)
    table, ids = table.where(keep), ids[keep].reset_index(drop=True)
    if not len(ids):
        raise DataError(f"{table.name}: no row has an id; expected one in the column {config.id!r}")
    frame, kinds = pd.DataFrame({"id": ids}), {}
    for name, cells in {**_standard(table, config), **_attributes(table, config)}.items():
        kinds[name] = _kind(name, cells)
        frame[name] = _Cells(name, cells, table, ids).typed(kinds[name], report)
    order = np.argsort(ids.to_numpy(object), kind="stable")
    return frame.iloc[order].reset_index(drop=True), kinds


def _split(table: Table, separators: dict[str, str]) -> Table:
    for name in separators:
        table.require(name, "named in separators")
    parted = {name: lists(table.frame[name], separator) for name, separator in separators.items()}
    return table.with_frame(table.frame.assign(**parted))


def _levelled(table: Table, levels: dict[str, str]) -> Table:
    """Part the levels of hierarchical values by " > ", as Google Merchant does."""
    for name in levels:
        table.require(name, "named in levels")
    paths = {name: levelled(table.frame[name], separator) for name, separator in levels.items()}
    return table.with_frame(table.frame.assign(**paths))


def sources_of(source: str) -> list[str]:
    """Return the columns that a mapping names: itself, or those of its template."""
    return fields(source) if "{" in source else [source]


def _ids(table: Table, source: str) -> pd.Series:
    if "{" in source:
        return fill(source, table.frame)
    table.require(source, "the product's id")
    return strings(table.frame[source])


def _distinct(table: Table, ids: pd.Series, report: DataReport) -> Mask:
    """Mask the first row of each id; report the others and those without."""
    blank = (ids == "").to_numpy(bool)
    again = ids.duplicated().to_numpy(bool) & ~blank
    known = ids[again].tolist()
    first = dict(zip(reversed(ids.tolist()), reversed(table.rows.tolist()), strict=True))

    def message(i: int) -> str:
        return f"its id stands in row {first[known[i]]} already; expected one row a product; left out"

    nameless = "has no id; expected one; left out"
    report.add("no id", table.name, table.rows[blank], ids[blank].tolist(), lambda i: nameless)
    report.add("duplicate id", table.name, table.rows[again], known, message)
    return ~(blank | again)


def _standard(table: Table, config: CatalogConfig) -> dict[str, pd.Series]:
    """Return the cells of the standard columns that the config maps, or that bear the standard name."""
    found: dict[str, pd.Series] = {}
    for name, source in _sources(table, config):
        if "{" in source:
            found[name] = fill(source, table.frame)
        else:
            table.require(source, f"mapped to {name}")
            found[name] = table.frame[source]
    return found


def _sources(table: Table, config: CatalogConfig) -> Iterator[tuple[str, str]]:
    """Yield each standard column with the column or template that it is taken from."""
    for name in STANDARD:
        own = next((column for column in _own_names(name) if column in table.frame), None)
        source = getattr(config, name) or own
        if source is not None:
            yield name, source


def _own_names(name: str) -> tuple[str, ...]:
    return ("image_link", "image") if name == "image_link" else (name,)


def _attributes(table: Table, config: CatalogConfig) -> dict[str, pd.Series]:
    """Return the cells of the further columns: those that the config lists, else all that it does not use."""
    sources = dict(_sources(table, config))
    taken = {"id", *sources}
    if config.attributes is None:
        used = {config.id, *sources.values()}
        return {name: table.frame[name] for name in map(str, table.frame) if name not in used | taken}
    for name in config.attributes:
        table.require(name, "named in attributes")
        if name in taken:
            raise ConfigError(f"[catalog] attributes: {name!r} is a standard column already; leave it out there")
    return {name: table.frame[name] for name in config.attributes}


def _kind(name: str, cells: pd.Series) -> Kind:
    standard = STANDARD.get(name)
    if standard is None:
        return kind_of(cells)
    return "multi" if standard == "category" and is_multi(cells) else standard


class _Cells:
    """A column of a table, on its way to a kind."""

    def __init__(self, name: str, cells: pd.Series, table: Table, ids: pd.Series) -> None:
        self._name, self._cells, self._table, self._ids = name, cells, table, ids

    def typed(self, kind: Kind, report: DataReport) -> pd.Series:
        """Return the values; what does not fit is missing, and reported."""
        if kind == "multi":
            return lists(self._cells)
        if kind == "number":
            values, bad = numbers(self._cells, least=0.0 if self._name == "price" else -np.inf)
            self._report(bad, "a number such as 12.50", report)
            return pd.Series(values)
        if kind == "date":
            moments, bad = dates(self._cells)
            self._report(bad, "a date such as 2026-11-23 or 2026-11-23T06:41:07Z", report)
            return moments
        return strings(self._cells)

    def _report(self, bad: Mask, expected: str, report: DataReport) -> None:
        found = strings(self._cells[bad]).tolist()

        def message(i: int) -> str:
            return f'{self._name} is "{found[i]}"; expected {expected}; taken as missing'

        report.add(f"bad {self._name}", self._table.name, self._table.rows[bad], self._ids[bad].tolist(), message)
