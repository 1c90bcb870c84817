"""WooCommerce's product export: one row per product and per variation.

See https://github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema.
"""

import re

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.parsing import column, option_name, plain_text, stock

_ATTRIBUTE = re.compile(r"Attribute (\d+) name")
_COMMA = re.compile(r"(?<!\\),")  # a comma within a value is written "\,"
# Columns that a variation inherits from its product where it has no value.
_INHERITED = ("description", "image_link", "product_type", "tags", "brand")


def woocommerce(table: Table) -> Table:
    """Return the published products and variations of a WooCommerce export.

    Ids are those of WooCommerce, as the shop's pages send them with events. The `item_group_id` of a product with
    variations, and of its variations, is the product's id.

    Raises
    ------
    DataError
        If it lacks ID or Name.
    """
    for name in ("ID", "Name"):
        table.require(name, "of a WooCommerce export")
    ids, parents = column(table, "ID"), _parents(table)
    short, long = (plain_text(column(table, name)) for name in ("Short description", "Description"))
    categories = column(table, "Categories").map(_values)
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
            "price": column(table, "Regular price"),
            "sale_price": column(table, "Sale price"),
            "sale_starts": column(table, "Date sale price starts"),
            "sale_ends": column(table, "Date sale price ends"),
            "availability": stock(column(table, "In stock?") != "0"),
            "tags": column(table, "Tags").map(_values),
            **_attributes(table),
        }
    )
    frame = _inherited(frame, parents)
    published = column(table, "Published").isin(["1", ""]) & (column(table, "Visibility in catalog") != "hidden")
    return table.with_frame(frame).where(published)


def _parents(table: Table) -> pd.Series:
    """Return the product id of each variation; the file has it as ``id:100`` or as a SKU."""
    named, skus = column(table, "Parent"), column(table, "SKU")
    by_sku = dict(zip(skus, column(table, "ID"), strict=True))
    variation = column(table, "Type").str.contains("variation")
    return named.map(
        lambda parent: parent.removeprefix("id:") if parent.startswith("id:") else by_sku.get(parent, "")
    ).where(variation, "")


def _attributes(table: Table) -> dict[str, pd.Series]:
    """Return a column of lists for each attribute of products, such as color and size."""
    attributes: dict[str, list[list[str]]] = {}
    for match in filter(None, map(_ATTRIBUTE.fullmatch, map(str, table.frame))):
        names = column(table, match[0]).tolist()
        values = column(table, f"Attribute {match[1]} value(s)").map(_values).tolist()
        for row, (name, cell) in enumerate(zip(names, values, strict=True)):
            if name and cell:
                attributes.setdefault(option_name(name), [[] for _ in names])[row] = cell
    return {name: pd.Series(lists, table.frame.index, dtype=object) for name, lists in attributes.items()}


def _inherited(frame: pd.DataFrame, parents: pd.Series) -> pd.DataFrame:
    by_id = frame.drop_duplicates("id").set_index("id")
    for name in _INHERITED:
        inherited = parents.map(by_id[name])
        has_value = frame[name].map(bool)
        frame[name] = frame[name].where(has_value | inherited.isna(), inherited)
    return frame


def _values(cell: str) -> list[str]:
    parts = (part.replace("\\,", ",").strip() for part in _COMMA.split(cell))
    return [part for part in parts if part]


def _first(cell: str) -> str:
    return next(iter(_values(cell)), "")
