"""Formats of shop systems and event trackers, mapped to the standard column names.

A format reads a file's table to one with the standard names, to which the config's mapping is then applied.
Products that are not for sale, and events without a product, are left out and counted. Cells of prices, dates,
availability and texts are handed on as they are.
"""

from collections.abc import Mapping

from recommender.catalog.files.tables import Table
from recommender.catalog.formats import (
    bigcommerce,
    ga4,
    google_merchant,
    heureka,
    magento,
    personalize,
    prestashop,
    recbole,
    segment,
    shopify,
    snowplow,
    woocommerce,
    yml,
)
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.parsing import count
from recommender.catalog.report import DataReport
from recommender.errors import DataError

_PRODUCTS = (
    *(shopify.FORMAT, woocommerce.FORMAT, magento.FORMAT, prestashop.FORMAT, bigcommerce.FORMAT),
    *(google_merchant.FORMAT, heureka.FORMAT, yml.FORMAT, recbole.PRODUCTS),
)
_EVENTS = (ga4.FORMAT, segment.FORMAT, snowplow.FORMAT, personalize.FORMAT, recbole.EVENTS)
PRODUCTS: Mapping[str, Format] = {format.name: format for format in _PRODUCTS}
EVENTS: Mapping[str, Format] = {format.name: format for format in _EVENTS}


def format_of_products(table: Table, report: DataReport) -> str | None:
    """Return the one format of `PRODUCTS` that the headings clearly are of, else None; it is reported."""
    return _found_out(table, PRODUCTS, report)


def format_of_events(table: Table, report: DataReport) -> str | None:
    """Return the one format of `EVENTS` that the headings clearly are of, else None; it is reported."""
    return _found_out(table, EVENTS, report)


def as_products(table: Table, format: str | None, report: DataReport) -> Table:
    """Return the products of a table in one of the formats of `PRODUCTS`; None returns it as it is.

    Raises
    ------
    DataError
        If it lacks a column of the format, or its headings are clearly of another one.
    """
    return table if format is None else _read(table, format, PRODUCTS, report)


def as_events(table: Table, format: str | None, report: DataReport) -> Table:
    """Return the events of a table in one of the formats of `EVENTS`; see `as_products`."""
    return table if format is None else _read(table, format, EVENTS, report)


def _found_out(table: Table, formats: Mapping[str, Format], report: DataReport) -> str | None:
    likely = [format for format in formats.values() if format.recognizes(table)]
    if len(likely) != 1:
        return None
    count(report, f"rows read as {likely[0].title}", len(table.frame))
    return likely[0].name


def _read(table: Table, name: str, formats: Mapping[str, Format], report: DataReport) -> Table:
    likely = [format for format in formats.values() if format.recognizes(table)]
    if likely and formats[name] not in likely:
        raise DataError(
            f"{table.name} has the headings of {likely[0].title}; expected those of {formats[name].title}. "
            f'Write format = "{likely[0].name}"'
        )
    return formats[name].read(table, report)
