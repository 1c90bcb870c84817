"""Heureka's feed of products in XML, as shops in Czechia and Slovakia have it for price comparison.

See https://sluzby.heureka.cz/napoveda/xml-feed/.
"""

import re

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.headings import headings, others, renamed
from recommender.catalog.formats.parsing import column, filled, option_name, per_value
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "a Heureka feed"
_NAMES = {
    "id": ("ITEM_ID",),
    "name": ("PRODUCTNAME",),
    "product": ("PRODUCT",),
    "description": ("DESCRIPTION",),
    "image": ("IMGURL",),
    "price": ("PRICE_VAT",),
    "net": ("PRICE",),
    "brand": ("MANUFACTURER",),
    "category": ("CATEGORYTEXT",),
    "barcode": ("EAN",),
    "group": ("ITEMGROUP_ID",),
    "delivery": ("DELIVERY_DATE",),
    "url": ("URL",),
    "sku": ("PRODUCTNO",),
}
_IGNORED = re.compile(
    r"^(IMGURL_ALTERNATIVE|VIDEO|VAT|HEUREKA_CPC|DELIVERY|ITEM_TYPE|ACCESSORY|GIFT|EXTENDED)", re.I
)


def _read(table: Table, report: DataReport) -> Table:
    """Return the products of a Heureka feed; one without an id has its EAN or its address.

    Raises
    ------
    DataError
        If it has neither PRODUCTNAME nor PRODUCT.
    """
    named = renamed(table, _NAMES, _TITLE, report)
    if "product" not in named.frame and "name" not in named.frame:
        table.require("PRODUCTNAME", f"of {_TITLE}")
    delivery = column(named, "delivery")
    products = {
        "id": filled(filled(column(named, "id"), column(named, "barcode")), column(named, "url")),
        "item_group_id": column(named, "group"),
        "title": filled(column(named, "name"), column(named, "product")),
        "description": column(named, "description"),
        "image_link": column(named, "image"),
        "product_type": strings(per_value(column(named, "category"), _category)),
        "brand": column(named, "brand"),
        "price": filled(column(named, "price"), column(named, "net")),
        "availability": delivery.str.contains("-").map({True: "preorder", False: "in_stock"}),  # days, or a date
        "barcode": column(named, "barcode"),
        "sku": column(named, "sku"),
    }
    parameters = {option_name(name): cells for name, cells in others(named, _NAMES, _IGNORED).items()}
    return named.with_frame(pd.DataFrame({**parameters, **products}))


def _category(cell: str) -> str:
    """Return a category with " > " between levels, without Heureka's name.

    >>> _category("Heureka.cz | Elektronika | Telefony")
    'Elektronika > Telefony'
    """
    levels = [level.strip() for level in cell.split("|")]
    return " > ".join(level for level in levels if level and not level.startswith("Heureka."))


def _recognizes(table: Table) -> bool:
    return bool({"productname", "product"} & headings(table)) and "price_vat" in headings(table)


FORMAT = Format("heureka", _TITLE, _read, _recognizes)
