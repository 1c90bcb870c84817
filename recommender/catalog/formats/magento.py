"""Magento's (Adobe Commerce's) export of products: one row per product, and more rows for store views.

See https://experienceleague.adobe.com/en/docs/commerce-admin/systems/data-transfer/data-attributes-product.
"""

import re

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.headings import headings, renamed
from recommender.catalog.formats.parsing import (
    blank,
    category_columns,
    column,
    count,
    decimals,
    filled,
    for_sale,
    inherited,
    of_products,
    option_name,
    per_value,
    with_variants,
)
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "a Magento export"
_NAMES = {
    name: (name,)
    for name in (
        *("sku", "store_view_code", "attribute_set_code", "product_type", "categories", "name", "description"),
        *("short_description", "price", "special_price", "special_price_from_date", "special_price_to_date"),
        *("visibility", "product_online", "base_image", "additional_attributes", "qty", "is_in_stock"),
        *("allow_backorders", "configurable_variations", "associated_skus", "manage_stock", "created_at"),
        "country_of_manufacture",
    )
}
# "color=Red,size=M"; a value may be quoted, and have commas that no name follows.
_PAIR = re.compile(r'(?:^|,)(\w+)=("(?:[^"]|"")*"|.*?)(?=,\w+=|$)', re.DOTALL)
_IGNORED = {"has_options", "required_options", "quantity_and_stock_status", "gift_wrapping_available"}
_INHERITED = ("description", "image_link", "product_type", "categories", "brand")


def _read(table: Table, report: DataReport) -> Table:
    """Return the products of a Magento export that are for sale.

    A product's id is its SKU. The variations of a configurable product have its SKU as `item_group_id`; it costs
    what the cheapest of them does. Rows that give names in other store views are left out, and so are products
    that are disabled or nowhere visible.

    Raises
    ------
    DataError
        If it lacks sku or name, or no product is for sale.
    """
    named = _of_all_stores(renamed(table, _NAMES, _TITLE, report, needs=("sku", "name")), report)
    parents, options = _variations(named)
    frame = inherited(_products(named, parents, options), parents, _INHERITED)
    sold = ~column(named, "product_online").isin(["0", "2"])
    sold &= of_products(sold, frame["id"], parents)
    hidden = column(named, "visibility").str.lower().isin(["not visible individually", "1"])
    sold &= ~hidden | (parents != "")
    groups = frame["id"].isin(set(parents))
    sold &= ~groups | frame["id"].isin(set(parents[sold]))
    return for_sale(named.with_frame(with_variants(frame, parents.where(sold, ""))), sold, report)


def _of_all_stores(table: Table, report: DataReport) -> Table:
    """Return one row per product: that of all stores, or the first."""
    sku, store = column(table, "sku"), column(table, "store_view_code")
    everywhere = set(sku[store == ""])
    repeated = (store != "") & (sku.isin(everywhere) | sku.duplicated())
    count(report, "rows for other store views", int(repeated.sum()))
    return table.where(~repeated)


def _products(table: Table, parents: pd.Series, options: dict[str, dict[str, str]]) -> pd.DataFrame:
    ids = column(table, "sku")
    categories = per_value(column(table, "categories"), _categories)
    image = column(table, "base_image").replace("no_selection", "")
    products = {
        "id": ids,
        "item_group_id": filled(parents, ids.where(ids.isin(set(parents)), "")),
        "title": column(table, "name"),
        "description": (column(table, "short_description") + " " + column(table, "description")).str.strip(),
        "image_link": image.where(image.str.startswith("//"), image.str.removeprefix("/")),
        **category_columns(categories),
        "attribute_set": column(table, "attribute_set_code"),
        "price": column(table, "price"),
        "sale_price": column(table, "special_price"),
        "sale_starts": column(table, "special_price_from_date"),
        "sale_ends": column(table, "special_price_to_date"),
        "availability": _availability(table),
    }
    attributes = _attributes(table, options)
    products["brand"] = strings(attributes.pop("brand", attributes.pop("manufacturer", blank(table))))
    apart = {name if name not in products else f"attribute_{name}": cells for name, cells in attributes.items()}
    return pd.DataFrame({**products, **apart})


def _categories(cell: str) -> list[str]:
    r"""Return the categories of a product without the root, with " > " between levels.

    >>> _categories("Default Category/Men/Tops,Default Category")
    ['Men > Tops']
    """
    paths = (re.split(r"(?<!\\)/", path)[1:] for path in re.split(r"(?<!\\),(?! )", cell))
    return [" > ".join(level.replace("\\", "").strip() for level in path) for path in paths if path]


def _variations(table: Table) -> tuple[pd.Series, dict[str, dict[str, str]]]:
    """Return the SKU of the configurable product of each row, and the options of each variation by its SKU."""
    parents, options = dict[str, str](), dict[str, dict[str, str]]()
    cells = column(table, "configurable_variations")
    for sku, cell in zip(column(table, "sku")[cells != ""], cells[cells != ""], strict=True):
        for variation in cell.split("|"):
            pairs = _pairs(variation)
            child = pairs.pop("sku", "")
            parents[child], options[child] = sku, pairs
    return strings(column(table, "sku").map(parents)), options


def _pairs(cell: str) -> dict[str, str]:
    """Return attributes as Magento writes them.

    >>> _pairs('color=Red,material="Wool, silk",size=M|L')
    {'color': 'Red', 'material': 'Wool, silk', 'size': 'M|L'}
    """
    return {name: value.strip('"').replace('""', '"') for name, value in _PAIR.findall(cell)}


def _attributes(table: Table, options: dict[str, dict[str, str]]) -> dict[str, pd.Series]:
    """Return a column for each attribute; lists where a product has several values."""
    own = per_value(column(table, "additional_attributes"), _pairs)
    pairs = [options.get(sku, {}) | found for sku, found in zip(column(table, "sku"), own, strict=True)]
    names = dict.fromkeys(name for found in pairs for name in found if name not in _IGNORED)
    columns = {}
    for name in names:
        cells = pd.Series([found.get(name, "") for found in pairs], table.frame.index, dtype="str")
        values = per_value(cells, lambda cell: [value for value in cell.split("|") if value])
        columns[option_name(name)] = values if (values.map(len) > 1).any() else cells
    return columns


def _availability(table: Table) -> pd.Series:
    """Return availability: by the state of the stock, else by the quantity."""
    state, left = column(table, "is_in_stock"), decimals(column(table, "qty"))
    backorders = column(table, "allow_backorders").isin(["1", "2"])
    simple = ~column(table, "product_type").isin(["configurable", "grouped", "bundle"])
    ended = simple & (left <= 0) & (column(table, "manage_stock") != "0")
    out = (state == "0") | ((state == "") & ended & ~backorders)
    in_stock = pd.Series("in_stock", table.frame.index, dtype="str")
    return in_stock.where(~(ended & backorders), "backorder").where(~out, "out_of_stock")


def _recognizes(table: Table) -> bool:
    return {"sku", "name"} <= headings(table) and bool(
        headings(table) & {"attribute_set_code", "product_websites"}
    )


FORMAT = Format("magento", _TITLE, _read, _recognizes)
