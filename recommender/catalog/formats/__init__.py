"""Formats of shop systems and event trackers, mapped to the standard column names.

A format is a function from the file's table to one with the standard names, to which the config's mapping is then
applied. Products that are not for sale, and events without a product, are left out.
"""

from collections.abc import Callable

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.ga4 import ga4
from recommender.catalog.formats.google_merchant import google_merchant
from recommender.catalog.formats.personalize import personalize
from recommender.catalog.formats.shopify import shopify
from recommender.catalog.formats.woocommerce import woocommerce

Format = Callable[[Table], Table]
PRODUCTS: dict[str, Format] = {
    "google_merchant": google_merchant,
    "shopify": shopify,
    "woocommerce": woocommerce,
}
EVENTS: dict[str, Format] = {"ga4": ga4, "personalize": personalize}


def as_products(table: Table, format: str | None) -> Table:
    """Return the products of a table in one of the formats of `PRODUCTS`; None returns it as it is.

    Raises
    ------
    DataError
        If it lacks a column of the format.
    """
    return table if format is None else PRODUCTS[format](table)


def as_events(table: Table, format: str | None) -> Table:
    """Return the events of a table in one of the formats of `EVENTS`; see `as_products`."""
    return table if format is None else EVENTS[format](table)
