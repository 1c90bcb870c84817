"""What shops already have: exports of shop systems and of event trackers, read into tables of standard names.

A format is a function from the file's table to one whose columns bear the standard names, so that the column
mapping of the config goes on from there. What a format says is not for sale, or is no event of a product, is gone.
"""

from collections.abc import Callable

from recommender.catalog.formats.ga4 import ga4
from recommender.catalog.formats.google_merchant import google_merchant
from recommender.catalog.formats.personalize import personalize
from recommender.catalog.formats.shopify import shopify
from recommender.catalog.formats.woocommerce import woocommerce
from recommender.catalog.tables import Table

Format = Callable[[Table], Table]
PRODUCTS: dict[str, Format] = {
    "google_merchant": google_merchant,
    "shopify": shopify,
    "woocommerce": woocommerce,
}
EVENTS: dict[str, Format] = {"ga4": ga4, "personalize": personalize}


def as_products(table: Table, format: str | None) -> Table:
    """Return the products of a file in one of the formats of `PRODUCTS`, or as they are.

    Raises
    ------
    DataError
        If it lacks a column that the format has.
    """
    return table if format is None else PRODUCTS[format](table)


def as_events(table: Table, format: str | None) -> Table:
    """Return the events of a file in one of the formats of `EVENTS`, or as they are; raises as `as_products`."""
    return table if format is None else EVENTS[format](table)
