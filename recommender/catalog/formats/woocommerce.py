"""WooCommerce's product export: a row for each product, and for each variation of one.

See https://github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema.
"""

import re

import pandas as pd

from recommender.catalog.formats.parsing import column, option_name, plain_text, stock
from recommender.catalog.tables import Table

_ATTRIBUTE = re.compile(r"Attribute (\d+) name")
_COMMA = re.compile(r"(?<!\\),")  # a comma within a value is written "\,"
# What a variation has of its product where it says nothing itself.
_INHERITED = ("description", "image_link", "product_type", "tags", "brand")


def woocommerce(table: Table) -> Table:
    """Return the published products and variations of a WooCommerce export.

    Ids are WooCommerce's own, as the shop's pages send them with events. The `item_group_id` of a product with
    variations, and of these, is the product's id.

    Raises
    ------
    DataError
        If there is no ID or Name.
    """
    for name in ("ID", "Name"):
        table.require(name, "of a WooCommerce export")
    ids, parents = column(table, "ID"), _parents(table)
    sale = column(table, "Sale price")
    short, long = (plain_text(column(table, name)) for name in ("Short description", "Description"))
    categories = column(table, "Categories").map(_listed)
    frame = pd.DataFrame(
        {
            "id": ids,
            "sku": column(table, "SKU"),
            "item_group_id": parents.where(parents != "", ids.where(ids.isin(set(parents)), "")),
            "title": column(table, "Name"),
            "description": (short + " " + long).str.strip(),
            "image_link": column(table, "Images").map(_first),
            "product_type": categories.map(lambda listed: listed[0] if listed else ""),
            "brand": column(table, "Brands").map(_first),
            "price": sale.where(sale != "", column(table, "Regular price")),
            "availability": stock(column(table, "In stock?") != "0"),
            "tags": column(table, "Tags").map(_listed),
            **_attributes(table),
        }
    )
    frame = _inherited(frame, parents)
    published = column(table, "Published").isin(["1", ""]) & (column(table, "Visibility in catalog") != "hidden")
    return table.with_frame(frame).where(published)


def _parents(table: Table) -> pd.Series:
    """Return the id of each variation's product, which the file names as ``id:100`` or by its SKU."""
    named, skus = column(table, "Parent"), column(table, "SKU")
    by_sku = dict(zip(skus, column(table, "ID"), strict=True))
    variation = column(table, "Type").str.contains("variation")
    return named.map(
        lambda said: said.removeprefix("id:") if said.startswith("id:") else by_sku.get(said, "")
    ).where(variation, "")


def _attributes(table: Table) -> dict[str, pd.Series]:
    """Return a column of lists for each attribute that a product of the shop has, such as color and size."""
    found: dict[str, list[list[str]]] = {}
    for match in filter(None, map(_ATTRIBUTE.fullmatch, map(str, table.frame))):
        names = column(table, match[0]).tolist()
        values = column(table, f"Attribute {match[1]} value(s)").map(_listed).tolist()
        for row, (name, listed) in enumerate(zip(names, values, strict=True)):
            if name and listed:
                found.setdefault(option_name(name), [[] for _ in names])[row] = listed
    return {name: pd.Series(lists, table.frame.index, dtype=object) for name, lists in found.items()}


def _inherited(frame: pd.DataFrame, parents: pd.Series) -> pd.DataFrame:
    by_id = frame.drop_duplicates("id").set_index("id")
    for name in _INHERITED:
        theirs = parents.map(by_id[name])
        own = frame[name].map(bool)
        frame[name] = frame[name].where(own | theirs.isna(), theirs)
    return frame


def _listed(cell: str) -> list[str]:
    parts = (part.replace("\\,", ",").strip() for part in _COMMA.split(cell))
    return [part for part in parts if part]


def _first(cell: str) -> str:
    return next(iter(_listed(cell)), "")
