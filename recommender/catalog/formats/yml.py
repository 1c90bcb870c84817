"""YML, the feed of products of Yandex Market, which Prom, Rozetka and other markets take, too.

See https://yandex.com/support/marketplace/assortment/files/yml.html.
"""

import re

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.headings import headings, others, renamed
from recommender.catalog.formats.parsing import column, decimals, filled, option_name
from recommender.catalog.report import DataReport

_TITLE = "a YML feed"
_NAMES = {
    "id": ("id", "shop-sku"),
    "name": ("name",),
    "prefix": ("typePrefix",),
    "vendor": ("vendor",),
    "model": ("model",),
    "description": ("description",),
    "picture": ("picture",),
    "price": ("price",),
    "old_price": ("oldprice",),
    "currency": ("currencyId",),
    "category": ("categoryId",),
    "available": ("available",),
    "group": ("group_id",),
    "sku": ("vendorCode",),
    "barcode": ("barcode",),
}
_IGNORED = re.compile(r"^(url|delivery|pickup|store|sales_notes|type|bid|cbid|cpa|fee|vat|count)", re.IGNORECASE)


def _read(table: Table, report: DataReport) -> Table:
    """Return the offers of a YML feed; their categories are numbers, whose names the offers do not have.

    Raises
    ------
    DataError
        If it lacks the id or the price.
    """
    named = renamed(table, _NAMES, _TITLE, report, needs=("id", "price"))
    price, old = column(named, "price"), column(named, "old_price")
    reduced = decimals(old) > decimals(price)
    model = column(named, "prefix") + " " + column(named, "vendor") + " " + column(named, "model")
    pictures = named.frame["picture"] if "picture" in named.frame else column(named, "picture")
    products = {
        "id": column(named, "id"),
        "item_group_id": column(named, "group"),
        "title": filled(column(named, "name"), model.str.split().str.join(" ")),
        "description": column(named, "description"),
        "image_link": pictures.map(lambda cell: cell[0] if isinstance(cell, list) else cell),
        "product_type": column(named, "category"),
        "brand": column(named, "vendor"),
        "price": old.where(reduced, price),
        "sale_price": price.where(reduced, ""),
        "currency": column(named, "currency"),
        "availability": column(named, "available"),
        "sku": column(named, "sku"),
        "barcode": column(named, "barcode"),
    }
    parameters = {option_name(name): cells for name, cells in others(named, _NAMES, _IGNORED).items()}
    return named.with_frame(pd.DataFrame({**parameters, **products}))


def _recognizes(table: Table) -> bool:
    return {"id", "price", "currencyid"} <= headings(table)


FORMAT = Format("yml", _TITLE, _read, _recognizes)
