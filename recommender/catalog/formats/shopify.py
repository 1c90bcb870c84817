"""Shopify's product export: one row per variant, and more rows for more images.

See https://help.shopify.com/manual/products/import-export/using-csv. The headings changed in 2025; both
versions are read.
"""

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.parsing import column, option_name, plain_text, stock

# Older headings with the present ones.
_OLDER = {
    "url handle": "handle",
    "body (html)": "description",
    "published": "published on online store",
    "variant sku": "sku",
    "variant price": "price",
    "variant inventory tracker": "inventory tracker",
    "variant inventory qty": "inventory quantity",
    "variant inventory policy": "continue selling when out of stock",
    "image src": "product image url",
    "variant image": "variant image url",
}
_OPTIONS = (1, 2, 3)
# Present in a product's first row alone.
_SHARED = (
    *("title", "description", "vendor", "product category", "type", "tags", "published on online store", "status"),
    *("product image url", "google shopping / gender", "google shopping / age group"),
    *(f"option{number} name" for number in _OPTIONS),
)


def shopify(table: Table) -> Table:
    """Return the variants of a Shopify export that are for sale.

    A variant's id is its SKU, or the product's handle with the variant's options where it has none; the handle is
    its `item_group_id`.

    Raises
    ------
    DataError
        If there is no handle.
    """
    names = {name: str(name).lower() for name in table.frame}
    table = table.with_frame(table.frame.rename(columns={k: _OLDER.get(v, v) for k, v in names.items()}))
    table.require("handle", "of a Shopify export")
    frame = pd.DataFrame({name: column(table, str(name)) for name in table.frame})
    handles = frame["handle"]
    for name in _SHARED:
        if name in frame:
            frame[name] = frame[name].where(frame[name] != "").groupby(handles).transform("first").fillna("")
    table = table.with_frame(frame)
    return table.with_frame(_products(table)).where(_for_sale(table) & _is_variant(table))


def _products(table: Table) -> pd.DataFrame:
    handles, sku = column(table, "handle"), column(table, "sku").str.removeprefix("'")
    image = column(table, "variant image url")
    products = {
        "id": sku.where(sku != "", _named(table, handles)),
        "item_group_id": handles,
        "title": column(table, "title"),
        "description": plain_text(column(table, "description")),
        "image_link": image.where(image != "", column(table, "product image url")),
        "brand": column(table, "vendor"),
        "product_type": column(table, "type"),
        "category": column(table, "product category"),
        "price": column(table, "price"),
        "availability": _availability(table),
        "gender": column(table, "google shopping / gender"),
        "age_group": column(table, "google shopping / age group"),
        "tags": column(table, "tags").map(lambda tags: [tag for tag in map(str.strip, tags.split(",")) if tag]),
    }
    products["product_type"] = products["product_type"].where(products["product_type"] != "", products["category"])
    return pd.DataFrame({**products, **_options(table)})


def _options(table: Table) -> dict[str, pd.Series]:
    """Return a column for each option of variants, such as color and size."""
    options: dict[str, pd.Series] = {}
    nothing = pd.Series("", table.frame.index, dtype="str")
    for number in _OPTIONS:
        names, values = column(table, f"option{number} name"), column(table, f"option{number} value")
        for name in names[(names != "") & (names != "Title")].unique().tolist():  # "Title" means no option
            known = options.get(option_name(name), nothing)
            options[option_name(name)] = values.where(names == name, known)
    return options


def _named(table: Table, handles: pd.Series) -> pd.Series:
    values = [column(table, f"option{number} value") for number in _OPTIONS]
    for value in values:
        handles = handles + ("/" + value).where((value != "") & (value != "Default Title"), "")
    return handles


def _availability(table: Table) -> pd.Series:
    """Return availability: tracked variants that have run out are out of stock, unless they may be oversold."""
    tracked = column(table, "inventory tracker") != ""
    left = pd.to_numeric(column(table, "inventory quantity"), errors="coerce").fillna(1) > 0
    oversold = column(table, "continue selling when out of stock").str.lower().isin(["continue", "true"])
    return stock(~tracked | left | oversold)


def _for_sale(table: Table) -> "pd.Series[bool]":
    published = column(table, "published on online store").str.lower() != "false"
    return published & ~column(table, "status").str.lower().isin(["draft", "archived"])


def _is_variant(table: Table) -> "pd.Series[bool]":
    """Return the mask of rows of variants; the others have further images."""
    described = (
        (column(table, "option1 value") != "") | (column(table, "sku") != "") | (column(table, "price") != "")
    )
    return described | ~column(table, "handle").duplicated()
