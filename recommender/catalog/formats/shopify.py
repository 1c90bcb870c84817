"""Shopify: the product export (one row per variant, and more rows for more images), and products.json.

See https://help.shopify.com/manual/products/import-export/using-csv. The headings changed over the years, last in
2025; all are read.
"""

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.headings import headings, others, renamed
from recommender.catalog.formats.parsing import (
    blank,
    column,
    decimals,
    filled,
    for_sale,
    listed,
    option_name,
    per_value,
    plain_name,
    stock,
)
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "a Shopify export"
_OPTIONS = (1, 2, 3)
_NAMES = {
    "handle": ("Handle", "URL handle"),
    "title": ("Title",),
    "description": ("Description", "Body (HTML)", "Body"),
    "vendor": ("Vendor",),
    "category": ("Product category", "Standard Product Type"),
    "type": ("Type", "Custom Product Type"),
    "tags": ("Tags",),
    "published": ("Published", "Published on online store"),
    "status": ("Status",),
    "sku": ("SKU", "Variant SKU"),
    "barcode": ("Barcode", "Variant Barcode"),
    "price": ("Variant Price", "Price"),
    "compare_at": ("Variant Compare At Price", "Compare-at price"),
    "tracker": ("Inventory tracker", "Variant Inventory Tracker"),
    "quantity": ("Inventory quantity", "Variant Inventory Qty"),
    "oversell": ("Continue selling when out of stock", "Variant Inventory Policy"),
    "image": ("Image Src", "Product image URL"),
    "variant_image": ("Variant Image", "Variant image URL"),
    "gift_card": ("Gift Card",),
    "gender": ("Google Shopping / Gender",),
    "age_group": ("Google Shopping / Age Group",),
    "variant_id": ("Variant ID",),
    **{f"option{n}_name": (f"Option{n} name",) for n in _OPTIONS},
    **{f"option{n}_value": (f"Option{n} value",) for n in _OPTIONS},
}
# Present in a product's first row alone.
_SHARED = (
    *("title", "description", "vendor", "category", "type", "tags", "published", "status", "image", "gift_card"),
    *("gender", "age_group", *(f"option{n}_name" for n in _OPTIONS)),
)
_METAFIELD = re.compile(r"\((?:product|variant)\.metafields\.(?P<space>[\w-]+)\.(?P<key>[\w-]+)\)")
_STANDARD = {"color-pattern": "color", "size": "size", "target-gender": "gender", "age-group": "age_group"}
# Delivery, taxes, search engines, advertisements and markets.
_IGNORED = re.compile(
    r"^(seo |google shopping|google: |variant (grams|weight|tax|requires|fulfil)|charge tax|tax code|weight "
    r"|unit price|requires shipping|fulfil|included / |price / |compare.at price / |cost per item"
    r"|image (alt|position)|option\d linked|google$)|metafields\.(mm-google-shopping|shopify--discovery)",
    re.IGNORECASE,
)


def _read(table: Table, report: DataReport) -> Table:
    """Return the variants of a Shopify export that are for sale.

    A variant's id is the product's handle with the variant's options, which stays the same when a SKU is changed,
    doubled or missing; a product without options has its handle. The handle is the `item_group_id`; SKU and
    barcode are attributes.

    Raises
    ------
    DataError
        If there is no handle, or no product is for sale.
    """
    if {"handle", "variants"} <= set(table.frame):
        table = _from_json(table)
    named = renamed(_with_market_price(table, report), _NAMES, _TITLE, report, needs=("handle",))
    shared = _with_shared(named)
    variants = shared.where(_is_variant(shared))
    return for_sale(variants.with_frame(_products(variants)), _sold(variants), report)


def _with_market_price(table: Table, report: DataReport) -> Table:
    """Take the price in the first market where there is no other."""
    prices = [name for name in map(str, table.frame) if name.lower().startswith("price / ")]
    if not prices or headings(table) & {"price", "variant price"}:
        return table
    guess = f"has no column 'Price'; taken from {prices[0]!r}"
    report.add("price of a market", table.name, [0], [""], lambda i: guess, "warning")
    return table.with_frame(table.frame.rename(columns={prices[0]: "Price"}))


def _with_shared(table: Table) -> Table:
    """Give each row of a product the values of its first row."""
    handles = _handles(table)
    frame = table.frame.assign(handle=handles)
    for name in map(str, frame):
        if name in _SHARED or _METAFIELD.search(name):
            cells = column(table, name)
            frame[name] = cells.where(cells != "").groupby(handles).transform("first").fillna("")
    return table.with_frame(frame)


def _handles(table: Table) -> pd.Series:
    """Return the handle of each row: where it is blank, that of the row before, or one made of the title."""
    handles = column(table, "handle")
    if (handles != "").all():
        return handles
    named = filled(handles, strings(per_value(column(table, "title"), _slug)))
    return named.where(named != "").ffill().fillna("")


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _is_variant(table: Table) -> "pd.Series[bool]":
    """Return the mask of rows of variants; the others have further images."""
    described = [column(table, name) != "" for name in ("option1_value", "sku", "price")]
    return described[0] | described[1] | described[2] | ~column(table, "handle").duplicated()


def _sold(table: Table) -> "pd.Series[bool]":
    unpublished = column(table, "published").str.lower().isin(["false", "0", "no"])
    return ~unpublished & column(table, "status").str.lower().isin(["", "active"])


def _products(table: Table) -> pd.DataFrame:
    handles, price, regular = (column(table, name) for name in ("handle", "price", "compare_at"))
    reduced = decimals(regular) > decimals(price)
    category = column(table, "category")
    products = {
        "id": _ids(table),
        "item_group_id": handles,
        "title": column(table, "title"),
        "description": column(table, "description"),
        "image_link": filled(column(table, "variant_image"), column(table, "image")),
        "brand": column(table, "vendor"),
        "product_type": filled(column(table, "type"), category),
        "category": category,
        "price": regular.where(reduced, price),
        "sale_price": price.where(reduced, ""),
        "availability": _availability(table),
        "tags": per_value(column(table, "tags"), listed),
    }
    for name in ("sku", "barcode", "gift_card", "variant_id"):
        if name in table.frame:
            products[name] = column(table, name).str.removeprefix("'")  # Excel's mark of a text
    unknown = others(table, _NAMES, _IGNORED)
    unknown = {name: cells for name, cells in unknown.items() if not _METAFIELD.search(str(cells.name))}
    return pd.DataFrame({**unknown, **products, **_descriptive(table, set(products))})


def _ids(table: Table) -> pd.Series:
    ids = column(table, "handle")
    for number in _OPTIONS:
        value = column(table, f"option{number}_value")
        ids = ids + ("/" + value).where((value != "") & (value != "Default Title"), "")
    return ids


def _availability(table: Table) -> pd.Series:
    """Return availability: tracked variants that have run out are out of stock, unless they may be oversold."""
    tracked = column(table, "tracker") != ""
    left = decimals(column(table, "quantity")).fillna(1) > 0
    oversold = column(table, "oversell").str.lower().isin(["continue", "true"])
    return stock(~tracked | left | oversold)


def _descriptive(table: Table, names: set[str]) -> dict[str, pd.Series]:
    """Return a column for each option of variants, such as color and size, and for each metafield."""
    columns = {name: column(table, name) for name in ("gender", "age_group") if name in table.frame}
    for number in _OPTIONS:
        option, values = column(table, f"option{number}_name"), column(table, f"option{number}_value")
        for name in option[(option != "") & (option != "Title")].unique().tolist():  # "Title" means no option
            key = option_name(name) if option_name(name) not in names else f"option_{option_name(name)}"
            columns[key] = values.where(option == name, columns.get(key, blank(table)))
    for name in map(str, table.frame):
        match = _METAFIELD.search(name)
        cells = column(table, name)
        if match is not None and not _IGNORED.search(name) and cells.ne("").any():
            values = per_value(cells, lambda cell: [part.strip() for part in cell.split(";") if part.strip()])
            key = plain_name(match["key"]) if plain_name(match["key"]) not in names else plain_name(match.group())
            standard = _STANDARD.get(match["key"], "")
            if standard:
                single = cells.where(values.map(len) == 1, "")
                columns[standard] = filled(columns.get(standard, blank(table)), single)
            if standard != key:
                columns[key] = values if (values.map(len) > 1).any() else cells
    return columns


def _from_json(table: Table) -> Table:
    """Return the rows of an export of the products of products.json."""
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    for row, product in zip(table.rows.tolist(), table.frame.to_dict("records"), strict=True):
        found = list(_variants(product))
        records += found
        rows += [row] * len(found)
    return Table(table.name, pd.DataFrame(records), np.array(rows, np.int64), table.remedy)


def _variants(product: Mapping[Hashable, Any]) -> Iterator[dict[str, Any]]:
    tags = product.get("tags")
    images = _dicts(product.get("images"))
    options = {f"Option{n} name": each.get("name") for n, each in enumerate(_dicts(product.get("options")), 1)}
    admin = isinstance(product.get("status"), str)  # what the storefront lists is published
    unpublished = admin and "published_at" in product and not isinstance(product["published_at"], str)
    shared = {
        "Handle": product["handle"],
        "Title": product.get("title"),
        "Description": product.get("body_html"),
        "Vendor": product.get("vendor"),
        "Type": product.get("product_type"),
        "Tags": ",".join(map(str, tags)) if isinstance(tags, list | np.ndarray) else tags,
        "Published": not unpublished,
        "Status": product.get("status"),
        "Image Src": images[0].get("src") if images else None,
        **options,
    }
    for variant in _dicts(product.get("variants")) or [{}]:
        picture = variant.get("featured_image")
        sold_out = variant.get("available") is False
        yield {
            **shared,
            **{f"Option{n} value": variant.get(f"option{n}") for n in _OPTIONS},
            "Variant ID": variant.get("id"),
            "SKU": variant.get("sku"),
            "Barcode": variant.get("barcode"),
            "Price": variant.get("price"),
            "Compare-at price": variant.get("compare_at_price"),
            "Inventory tracker": "shopify" if sold_out else variant.get("inventory_management"),
            "Inventory quantity": 0 if sold_out else variant.get("inventory_quantity"),
            "Continue selling when out of stock": None if sold_out else variant.get("inventory_policy"),
            "Variant image URL": picture.get("src") if isinstance(picture, dict) else None,
        }


def _dicts(cell: Any) -> list[dict[str, Any]]:
    return [each for each in cell if isinstance(each, dict)] if isinstance(cell, list | np.ndarray) else []


def _recognizes(table: Table) -> bool:
    found = headings(table)
    named = bool(found & {"handle", "url handle"}) and "title" in found
    return named and bool(found & {"variant price", "variant sku", "option1 name", "variants"})


FORMAT = Format("shopify", _TITLE, _read, _recognizes)
