"""BigCommerce's product exports: rows of products, of their variants, images and price rules.

The old one has a column "Item Type" (Product, SKU, Rule), the new one "Item" (Product, Variant, Image). See
https://support.bigcommerce.com/s/article/Importing-Exporting-Products.
"""

import re

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.headings import headings, others, renamed
from recommender.catalog.formats.parsing import (
    blank,
    category_columns,
    column,
    decimals,
    filled,
    for_sale,
    inherited,
    option_name,
    per_value,
)
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "a BigCommerce export"
_NAMES = {
    "item": ("Item Type", "Item"),
    "product_id": ("Product ID", "ID"),
    "name": ("Product Name", "Name"),
    "sku": ("Product Code/SKU", "Product SKU", "SKU", "Code"),
    "options": ("Options",),
    "brand": ("Brand Name", "Brand", "Brand + Name"),
    "description": ("Product Description", "Description"),
    "price": ("Price",),
    "sale_price": ("Sale Price",),
    "visible": ("Product Visible?", "Product Visible", "Is Visible"),
    "purchasable": ("Allow Purchases?", "Allow Purchases"),
    "tracking": ("Track Inventory", "Inventory Tracking"),
    "quantity": ("Current Stock Level", "Stock Level", "Current Stock"),
    "category": ("Category", "Category String", "Categories"),
    "image": ("Product Image URL - 1", "Product Image File - 1", "Product Images", "Internal Image URL (Export)"),
    "other_image": ("Product Image File - 1",),
    "variant_image": ("Variant Image URL",),
    "image_url": ("Image URL (Import)",),
    "barcode": ("Product UPC/EAN", "UPC/EAN", "UPC", "GTIN", "GPS Global Trade Item Number"),
    "mpn": ("Manufacturer Part Number", "MPN", "GPS Manufacturer Part Number"),
    "color": ("GPS Color",),
    "size": ("GPS Size",),
    "gender": ("GPS Gender",),
    "age_group": ("GPS Age Group",),
    "condition": ("Product Condition", "Condition"),
    "keywords": ("Search Keywords",),
    "custom_fields": ("Product Custom Fields", "Custom Fields"),
}
_OPTION = re.compile(r"\[[A-Z]+\]([^=\[]+)=([^\[]*)|Name=([^|]*)\|Value=(.*?)(?=Type=|$)")
_SWATCH = re.compile(r"(\[[^\]]*\]|:#?[0-9A-Fa-f#|:]{6,})\W*$")  # colours and files of patterns
# Other images, prices of the shop, taxes, delivery, search engines and accounting.
_IGNORED = re.compile(
    r"^(product (image|type|weight|width|height|depth|warranty|availability|url|tax|files|inv|not vis)|image|video"
    r"|internal image|type$|option|bin picking|bin$|cost|retail|fixed|free|calculated|weight|width|height|depth"
    r"|page|low stock|event|meta|myob|show|sort|stop|redirect|gps (enabled|category|pattern|item)|date|channels"
    r"|brand id|category details|warranty|is featured|minimum|maximum|tax|harmonized|variant|related)",
    re.IGNORECASE,
)
_INHERITED = ("title", "description", "image_link", "product_type", "categories", "brand", "price", "availability")


def _read(table: Table, report: DataReport) -> Table:
    """Return the visible products of a BigCommerce export and their variants.

    A product's id is that of BigCommerce, or the SKU where the file has no ids; a variant's is the product's with
    the variant's options. Price rules are not applied, which is reported.

    Raises
    ------
    DataError
        If it lacks the kind of its rows or the names, or no product is visible.
    """
    named = renamed(table, _NAMES, _TITLE, report, needs=("item", "name"))
    kinds = column(named, "item").str.lower()
    rule = kinds == "rule"
    message = "is a price rule; not applied"
    rules = named.rows[rule.to_numpy(bool)]
    report.add("price rule", named.name, rules, [""] * len(rules), lambda i: message, "warning")
    named = _with_images(named)
    is_row = (kinds.isin(["", "product", "sku", "variant"])).to_numpy(bool)
    named = named.where(is_row)
    is_product = column(named, "item").str.lower().isin(["", "product"])
    products = filled(column(named, "product_id"), column(named, "sku")).where(is_product).ffill().fillna("")
    frame = inherited(_products(named, products, is_product), products.where(~is_product, ""), _INHERITED)
    visible = (~column(named, "visible").str.lower().isin(["n", "no", "false", "0"])).where(is_product)
    return for_sale(named.with_frame(frame), visible.ffill().fillna(True).astype(bool), report)


def _with_images(table: Table) -> Table:
    """Give each product its first image, which may stand in a row of its own."""
    product = column(table, "item").str.lower().isin(["", "product"]).cumsum()
    image = filled(filled(column(table, "image"), column(table, "other_image")), column(table, "image_url"))
    shared = image.where(image != "").groupby(product).transform("first").fillna("")
    return table.with_frame(table.frame.assign(image=shared))


def _products(table: Table, products: pd.Series, is_product: "pd.Series[bool]") -> pd.DataFrame:
    options = per_value(filled(column(table, "options"), column(table, "name")).where(~is_product, ""), _options)
    variant = strings(options.map(lambda found: "/".join(found.values())))
    with_variants = set(products[~is_product])
    name, sale = column(table, "name"), column(table, "sale_price")
    categories = per_value(column(table, "category"), _categories)
    columns = {
        "id": products.where(is_product, products + "/" + filled(variant, column(table, "sku"))),
        "item_group_id": products.where(products.isin(with_variants), ""),
        "sku": column(table, "sku"),
        "barcode": column(table, "barcode"),
        "title": name.where(is_product, ""),
        "description": column(table, "description"),
        "image_link": strings(per_value(filled(column(table, "variant_image"), column(table, "image")), _image)),
        **category_columns(categories),
        "brand": column(table, "brand"),
        "price": column(table, "price"),
        "sale_price": sale.where(decimals(sale) != 0, ""),
        "availability": _availability(table, is_product),
        "tags": per_value(
            column(table, "keywords"), lambda cell: [tag for tag in map(str.strip, cell.split(",")) if tag]
        ),
    }
    unpriced = ~is_product & (columns["price"] == "")
    sales = columns["sale_price"].where(is_product).ffill().fillna("")
    columns["sale_price"] = columns["sale_price"].where(~unpriced, sales)
    for field in ("mpn", "color", "size", "gender", "age_group", "condition"):
        if field in table.frame:
            columns[field] = column(table, field)
    return pd.DataFrame({**others(table, _NAMES, _IGNORED), **columns, **_attributes(table, options, columns)})


def _attributes(table: Table, options: pd.Series, columns: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """Return a column for each option and each custom field."""
    fields = per_value(column(table, "custom_fields"), _fields)
    pairs = [found | option for found, option in zip(fields, options, strict=True)]
    attributes = {}
    for name in dict.fromkeys(name for found in pairs for name in found):
        cells = pd.Series([found.get(name, "") for found in pairs], table.frame.index, dtype="str")
        plain = name in columns and name not in ("color", "size", "gender", "age_group")
        attributes[f"option_{name}" if plain else name] = filled(cells, columns.get(name, blank(table)))
    return attributes


def _options(cell: str) -> dict[str, str]:
    """Return the options of a variant.

    >>> _options("[RT]Size=M,[CS]Color=Red:#ff0000")
    {'size': 'M', 'color': 'Red'}
    >>> _options("Type=Rectangle|Name=Size|Value=MType=Swatch|Name=Color|Value=Red[#ff0000]")
    {'size': 'M', 'color': 'Red'}
    """
    found = {}
    for old, value, name, new in _OPTION.findall(cell):
        found[option_name(old or name)] = _SWATCH.sub("", value or new).strip(" ,;|")
    return found


def _fields(cell: str) -> dict[str, str]:
    """Return custom fields such as ``Material=Wool;Origin=Peru``."""
    pairs = (part.partition("=") for part in re.split(r"[;|]", cell))
    return {option_name(name): value.strip() for name, _, value in pairs if value.strip()}


def _categories(cell: str) -> list[str]:
    """Return categories, with " > " between levels.

    >>> _categories("Shop All/Garden;Bath")
    ['Shop All > Garden', 'Bath']
    """
    paths = (map(str.strip, path.split("/")) for path in re.split(r"[;|]", cell))
    return [joined for path in paths if (joined := " > ".join(filter(None, path)))]


def _image(cell: str) -> str:
    """Return the address of an image, also from "Product Image ID: 1, Product Image URL: ..."."""
    address = re.search(r"Product Image URL:\s*([^,|\s]+)", cell)
    return address[1] if address else cell


def _availability(table: Table, is_product: "pd.Series[bool]") -> pd.Series:
    """Return availability: tracked products that have run out are out of stock; "" for that of the product."""
    tracking = column(table, "tracking").str.lower()
    by_variant = tracking.where(is_product).ffill().fillna("").isin(["by option", "option", "variant"])
    tracked = ~tracking.isin(["", "none", "n", "no", "0", "false"])
    ended = (decimals(column(table, "quantity")) <= 0) & (tracked | (by_variant & ~is_product))
    out = ended | column(table, "purchasable").str.lower().isin(["n", "no", "false", "0"])
    in_stock = pd.Series("in_stock", table.frame.index, dtype="str").where(is_product | by_variant, "")
    return in_stock.where(~out, "out_of_stock")


def _recognizes(table: Table) -> bool:
    found = headings(table)
    old = {"item type", "product name"} <= found
    return old or (
        {"item", "name", "sku"} <= found and bool(found & {"is visible", "inventory tracking", "options"})
    )


FORMAT = Format("bigcommerce", _TITLE, _read, _recognizes)
