"""Map a shop's table to a catalogue's frame: standard column names, checked values, sorted by id."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from recommender.catalog.columns import KindGuesses, check_kinds
from recommender.catalog.files.tables import Table, unpacked
from recommender.catalog.formats import as_products, format_of_products
from recommender.catalog.headings import likely, respelled
from recommender.catalog.pricing import PERIOD, PRICES, read_prices
from recommender.catalog.report import CellReport, DataReport, Severity
from recommender.catalog.stock import read_availability
from recommender.catalog.values.cells import (
    Mask,
    fields,
    fill,
    is_template,
    levelled,
    lists,
    numbers,
    strings,
)
from recommender.catalog.values.ids import in_scientific_notation, without_decimals
from recommender.catalog.values.markup import plain_text
from recommender.catalog.values.moments import read_moments
from recommender.catalog.where import names_in, select
from recommender.config import CatalogConfig
from recommender.errors import ConfigError, DataError
from recommender.items.schema import STANDARD, Kind

UPDATED_AT = "updated_at"  # column of the frame where the config maps one
_VERBATIM = {"image_link", "item_group_id"}
# Columns that are read together, since each says something about the others.
OFFERS = frozenset({*PRICES, PERIOD, "sale_starts", "sale_ends", "currency", "availability"})
# Standard columns without which recommendations are worse.
_TELLING = ("title", "description", "image_link", "product_type", "brand", "price")
_OTHER_NAMES = {
    "image_link": ("image",),
    "sale_price": ("special_price",),
    "sale_starts": ("sale_price_starts", "special_from_date", "special_price_from_date", "date_on_sale_from"),
    "sale_ends": ("sale_price_ends", "special_to_date", "special_price_to_date", "date_on_sale_to"),
}


def select_products(table: Table, config: CatalogConfig, report: DataReport) -> tuple[Table, frozenset[str]]:
    """Return the products of a file under the names of its format, and the ids of those that `where` leaves out.

    Raises
    ------
    DataError
        If the table lacks a column of the format or of `where`, or `where` holds for no row.
    ConfigError
        If `where` is no condition.
    """
    table = unpacked(table)
    format = config.format if config.format or config.names_columns() else format_of_products(table, report)
    if format is None:
        names = respelled(map(str, table.frame), {"id", *STANDARD}, str(config))
        table = table.with_frame(table.frame.rename(columns=names))
    if config.where is None:
        return as_products(table, format, report), frozenset()
    before_format = format is None or names_in(config.where, "catalog") <= {*map(str, table.frame)}
    if not before_format:
        table = as_products(table, format, report)
    selected = select(table, config.where, "catalog", _columns(table, config), report)
    later = format if before_format else None
    rows = as_products(table.where(selected), later, report)
    return rows, _ids_in(table.where(~selected), config, later) - frozenset(_ids(rows, config.id))


def _ids_in(table: Table, config: CatalogConfig, format: str | None) -> frozenset[str]:
    """Return the ids of the products of a table, of which none may be for sale."""
    try:
        return frozenset(_ids(as_products(table, format, DataReport()), config.id))
    except DataError:
        return frozenset()


def _columns(table: Table, config: CatalogConfig) -> dict[str, str]:
    """Return the standard names of columns that the table has under another one."""
    return {
        name: source for name, source in [("id", config.id), *_sources(table, config)] if source in table.frame
    }


def map_products(
    table: Table, config: CatalogConfig, report: DataReport, kinds: Mapping[str, Kind] | None = None
) -> tuple[pd.DataFrame, dict[str, Kind]]:
    """Return the products (n, columns) sorted by id, with "id" first, and the kind of every attribute.

    Where the config maps it, the column `UPDATED_AT` has the moment of each row's last change; it is no attribute.

    Products without an id, or with that of an earlier row, are left out and reported; cells that do not fit their
    column count as missing and are reported.

    Parameters
    ----------
    table
        As `select_products` returns it.
    kinds
        Of columns, as in a bundle; by default `[catalog] kinds`, then what most of their cells are.

    Raises
    ------
    DataError
        If the table lacks a mapped column or has no product, or most cells of a column are not of a given kind.
    ConfigError
        If a template or `[catalog] kinds` names a column that does not exist.
    """
    table = _with_levels(_with_lists(table, config.separators), config.levels)
    ids = _repaired(_ids(table, config.id), table, report)
    valid = _distinct(table, ids, report)
    table, ids = table.where(valid), ids[valid].reset_index(drop=True)
    if not len(ids):
        raise DataError(f"{table.name}: no row has an id; expected one in the column {config.id!r}")
    columns = {**_standard(table, config), **_attributes(table, config)}
    if kinds is None:
        check_kinds(config, columns)
    offers = _offers(columns, table, config, CellReport(report, table.name, table.rows, ids.tolist()))
    given = config.kinds | dict(kinds or {})
    frame, found = pd.DataFrame({"id": ids}), KindGuesses(given, config)
    for name in dict.fromkeys([*columns, *offers]):
        if name in offers:
            found.kinds[name], frame[name] = STANDARD[name], offers[name]
        elif name not in OFFERS:
            cells = _plain(name, columns[name])
            column = _Cells(name, cells, table, ids, config)
            frame[name] = column.typed(found.of(name, cells), name in given, report)
    if config.updated_at is not None:
        table.require(config.updated_at, "mapped to updated_at")
        moments = _Cells(UPDATED_AT, table.frame[config.updated_at], table, ids, config)
        frame[UPDATED_AT] = moments.typed("date", given=False, report=report)
    found.report(report)
    _report_likely(table, config, frame, report)
    order = np.argsort(ids.to_numpy(object), kind="stable")
    return frame.iloc[order].reset_index(drop=True), found.kinds


def _with_lists(table: Table, separators: dict[str, str]) -> Table:
    for name in separators:
        table.require(name, "named in separators")
    columns = {name: lists(table.frame[name], separator) for name, separator in separators.items()}
    return table.with_frame(table.frame.assign(**columns))


def _with_levels(table: Table, levels: dict[str, str]) -> Table:
    """Separate the levels of hierarchical values by " > ", as Google Merchant does."""
    for name in levels:
        table.require(name, "named in levels")
    paths = {name: levelled(table.frame[name], separator) for name, separator in levels.items()}
    return table.with_frame(table.frame.assign(**paths))


def sources_of(source: str) -> list[str]:
    """Return the columns that a mapping names: itself, or those of its template."""
    return fields(source) if is_template(source, ()) else [source]


def _ids(table: Table, source: str) -> pd.Series:
    if is_template(source, table.frame):
        return fill(source, table.frame)
    table.require(source, "the product's id")
    return strings(table.frame[source])


def _repaired(ids: pd.Series, table: Table, report: DataReport) -> pd.Series:
    """Return ids that a column of floats wrote as 104.0 as 104; report them, and those whose digits are lost."""
    whole, changed = without_decimals(ids)
    lost = in_scientific_notation(ids)
    before, after, broken = ids[changed].tolist(), whole[changed].tolist(), ids[lost].tolist()
    report.add(
        "id with a decimal point",
        table.name,
        table.rows[changed],
        after,
        lambda i: f"id is {before[i]!r}, as of a column of floats; taken as {after[i]!r}",
        "warning",
    )
    report.add(
        "id in scientific notation",
        table.name,
        table.rows[lost],
        broken,
        lambda i: f"id is {broken[i]!r}, a spreadsheet has lost its digits; export the column as text",
        "warning",
    )
    return whole


def _distinct(table: Table, ids: pd.Series, report: DataReport) -> Mask:
    """Return the mask of each id's first row; report other rows, copies of a row, and those without an id."""
    blank = (ids == "").to_numpy(bool)
    repeated = ids.duplicated().to_numpy(bool) & ~blank
    same = repeated.copy()
    among = ids.isin(ids[repeated]).to_numpy(bool)
    same[among] = table.frame[among].astype(str).duplicated().to_numpy(bool)
    known, copies = ids[repeated & ~same].tolist(), ids[same].tolist()
    first = dict(zip(reversed(ids[among].tolist()), reversed(table.rows[among].tolist()), strict=True))

    def message(i: int) -> str:
        file, row = report.place(table.name, first[known[i]])
        where = f"row {row}" if file == table.name else f"row {row} of {file}"
        return f"{where} has the same id; expected one row a product"

    missing = "has no id; expected one"
    report.add("no id", table.name, table.rows[blank], ids[blank].tolist(), lambda i: missing, "left_out")
    report.add("duplicate id", table.name, table.rows[repeated & ~same], known, message, "left_out")
    copy = "repeats an earlier row in every cell; counted once"
    report.add("repeated row", table.name, table.rows[same], copies, lambda i: copy, "warning")
    return ~(blank | repeated)


def _standard(table: Table, config: CatalogConfig) -> dict[str, pd.Series]:
    """Return the cells of the standard columns that the config maps, or that bear the standard name."""
    columns: dict[str, pd.Series] = {}
    for name, source in _sources(table, config):
        if is_template(source, table.frame):
            columns[name] = fill(source, table.frame)
        else:
            table.require(source, f"mapped to {name}")
            columns[name] = table.frame[source]
    return columns


def _sources(table: Table, config: CatalogConfig) -> Iterator[tuple[str, str]]:
    """Yield each standard column with its source, a column or a template."""
    for name in STANDARD:
        same = next((column for column in _names(name) if column in table.frame), None)
        source = getattr(config, name, None) or same
        if source is not None and (name != "currency" or source in table.frame):  # or it is a currency's code
            yield name, source


def _report_likely(table: Table, config: CatalogConfig, frame: pd.DataFrame, report: DataReport) -> None:
    """Report columns that are used as they are, though their headings say that they are standard ones."""
    used = {config.id, *dict(_sources(table, config)).values()}
    for name in (name for name in _TELLING if name not in frame):
        column = likely(name, [column for column in map(str, table.frame) if column not in used])
        if column is not None and (strings(table.frame[column]) != "").any():
            used.add(column)
            message = f'there is no {name}, but a column {column!r}; where it is that, write {name} = "{column}"'
            report.add_group("column not used", table.name, "", 1, message, "warning")


def _names(name: str) -> tuple[str, ...]:
    return (name, *_OTHER_NAMES.get(name, ()))


def _offers(
    columns: dict[str, pd.Series], table: Table, config: CatalogConfig, report: CellReport
) -> dict[str, pd.Series]:
    """Return the typed columns of prices, sales, currencies and availability."""
    fixed = config.currency if config.currency not in table.frame else None
    period = {PERIOD: table.frame[PERIOD]} if PERIOD in table.frame else {}
    used = {config.id, *dict(_sources(table, config)).values()}
    others = {name: table.frame[name] for name in map(str, table.frame) if name not in used}
    offers = read_prices({**period, **columns}, fixed, report, config.timezone, config.timestamp_format)
    cells = _plain("availability", columns["availability"]) if "availability" in columns else None
    availability = read_availability(cells, others, config.availability_words, report)
    return offers if availability is None else {**offers, "availability": availability}


def _attributes(table: Table, config: CatalogConfig) -> dict[str, pd.Series]:
    """Return the other columns: those that the config lists, else all that it does not map."""
    sources = dict(_sources(table, config))
    mapped = {"id", *sources} | ({UPDATED_AT, config.updated_at} if config.updated_at is not None else set())
    if config.attributes is None:
        used = {config.id, *sources.values()}
        return {name: table.frame[name] for name in map(str, table.frame) if name not in used | mapped}
    for name in config.attributes:
        table.require(name, "named in attributes")
        if name in mapped:
            what = "a standard column" if name in {"id", *sources} else "mapped to updated_at"
            raise ConfigError(f"[catalog] attributes: {name!r} is {what}; leave it out there")
    return {name: table.frame[name] for name in config.attributes}


def _plain(name: str, cells: pd.Series) -> pd.Series:
    """Return cells of strings or lists without markup; links and ids as they are."""
    if name in _VERBATIM or not (cells.dtype == object or isinstance(cells.dtype, pd.StringDtype)):
        return cells
    return plain_text(cells)


class _Cells:
    """A column of a table that is converted to a kind."""

    def __init__(self, name: str, cells: pd.Series, table: Table, ids: pd.Series, config: CatalogConfig) -> None:
        self._name, self._cells, self._table, self._ids, self._config = name, cells, table, ids, config

    def typed(self, kind: Kind, given: bool, report: DataReport) -> pd.Series:
        """Return the values; cells that do not fit are missing, and reported.

        Raises
        ------
        DataError
            If the kind is given, and most cells do not fit.
        """
        if kind == "multi":
            return lists(self._cells)
        if kind == "number":
            values, bad = numbers(self._cells)
            self._report(bad, "a number such as 12.50", given, report)
            return pd.Series(values)
        if kind == "date":
            return self._dates(given, report)
        return strings(self._cells)

    def _dates(self, given: bool, report: DataReport) -> pd.Series:
        zone, format = self._config.timezone, self._config.timestamp_format
        moments = read_moments(self._cells, zone, format)
        self._report(moments.bad, moments.expected, given, report)
        for mask, done in moments.guesses:
            self._add(f"{self._name} in doubt", mask, done, report, "warning")
        return moments.times

    def _report(self, bad: Mask, expected: str, given: bool, report: DataReport) -> None:
        filled = int((strings(self._cells) != "").sum()) if given and bad.any() else 0
        if 2 * int(bad.sum()) > filled > 0:
            first = strings(self._cells[bad]).iloc[0]
            raise DataError(f'{self._name} is "{first}", as most cells of it are; expected {expected}')
        self._add(f"bad {self._name}", bad, f"expected {expected}; taken as missing", report)

    def _add(self, kind: str, mask: Mask, what: str, report: DataReport, severity: Severity = "error") -> None:
        values, ids = strings(self._cells[mask]).tolist(), self._ids[mask].tolist()
        rows = self._table.rows[mask]
        report.add(kind, self._table.name, rows, ids, lambda i: f'{self._name} is "{values[i]}"; {what}', severity)
