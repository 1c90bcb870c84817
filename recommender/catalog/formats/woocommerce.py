"""WooCommerce's product export: one row per product and per variation.

Its headings are in the language of the site. See
https://github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema.
"""

import re
from itertools import groupby

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.headings import heading, others, renamed, spellings
from recommender.catalog.formats.parsing import (
    blank,
    category_columns,
    column,
    decimals,
    filled,
    first,
    for_sale,
    inherited,
    listed,
    of_products,
    option_name,
    per_value,
    with_variants,
)
from recommender.catalog.formats.woocommerce_headings import NAMES, ORDER
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "a WooCommerce export"
_TYPES = {
    "simple",
    "variable",
    "variation",
    "grouped",
    "external",
    "subscription",
    "variable-subscription",
    "bundle",
}
_VISIBILITIES = {"visible", "catalog", "search", "hidden"}
_NUMBER = re.compile(r"(?<!\d)(\d{1,3})(?!\d)")
_META = re.compile(r"^[^\d:]+:")  # "Meta: key", in any language
_ESCAPE = re.compile(r"^'(?=[=+\-@\t\r])")  # against formulas in spreadsheets
_USED = {
    "id",
    "type",
    "sku",
    "name",
    "published",
    "visibility",
    "sale_price",
    "price",
    "categories",
    "images",
    "parent",
}
_TELLING = {"published", "visibility", "short", "in_stock", "price", "sale_price", "backorders", "images"}
# Columns that a variation inherits from its product where it has no value.
_INHERITED = ("title", "description", "image_link", "product_type", "categories", "tags", "brand")


def _read(table: Table, report: DataReport) -> Table:
    """Return the published products and variations of a WooCommerce export.

    Ids are those of WooCommerce, as the shop's pages send them with events; SKUs where the file has no ids. The
    `item_group_id` of a product with variations, and of its variations, is the product's id. A product with
    variations costs what its cheapest variation does, and is for sale where one of them is.

    Raises
    ------
    DataError
        If it lacks ID and SKU, or Name, or no product is for sale.
    """
    table = table.with_frame(table.frame.rename(columns=lambda name: str(name).strip()))
    named = renamed(_by_position(table, report), NAMES, _TITLE, report, needs=("name",))
    if "id" not in named.frame and "sku" not in named.frame:
        table.require("ID", f"of {_TITLE}")
    named = named.with_frame(pd.DataFrame({name: _unescaped(named, str(name)) for name in named.frame}))
    ids = filled(column(named, "id"), column(named, "sku"))
    parents = _parents(named, ids)
    frame = inherited(_products(named, ids, parents), parents, _INHERITED)
    sold = _published(named)
    sold &= of_products(sold, ids, parents)
    sold &= ~ids.isin(set(parents)) | ids.isin(set(parents[sold]))
    return for_sale(table.with_frame(with_variants(frame, parents.where(sold, ""))), sold, report)


def _unescaped(table: Table, name: str) -> pd.Series:
    cells = column(table, name)
    return cells.str.replace(_ESCAPE, "", regex=True) if cells.str.startswith("'").any() else cells


def _by_position(table: Table, report: DataReport) -> Table:
    """Name the columns of a whole export in an unknown language by their position; report it."""
    columns, known = list(map(str, table.frame)), spellings(NAMES)
    keys = dict(zip(columns, _order(table), strict=False))
    if any(known.get(heading(name), key) != key for name, key in keys.items()):
        return table
    guessed = {name: NAMES[key][0] for name, key in keys.items() if heading(name) not in known}
    used = [name for name in guessed if keys[name] in _USED]
    report.add(
        "guessed heading",
        table.name,
        [1] * len(used),
        [""] * len(used),
        lambda i: f"{used[i]!r} is no known heading of WooCommerce; taken as {guessed[used[i]]!r} by its position",
        "warning",
    )
    return table.with_frame(table.frame.rename(columns=guessed))


def _order(table: Table) -> list[str]:
    """Return what the first columns are if the table is a whole export, by what never is translated; else []."""
    columns = list(map(str, table.frame))
    if len(columns) < len(ORDER) - 2:
        return []
    visibility = next((i for i in (6, 7) if i < len(columns) and _only(table, i, _VISIBILITIES)), None)
    if visibility is None or not _only(table, 1, _TYPES):
        return []
    sizes = next((i for i in (11, 12) if all("(" in name for name in columns[visibility + i :][:4])), None)
    absent = {"gtin"} if visibility == 6 else set()
    absent |= {"low_stock"} if sizes == 11 else set()
    order = [key for key in ORDER if key not in absent]
    return order if sizes is not None and len(columns) >= len(order) else []


def _only(table: Table, position: int, values: set[str]) -> bool:
    """Return whether the first words of a column's cells are all among some values."""
    cells = strings(table.frame.iloc[:, position])
    found = {cell.split(",")[0].strip() for cell in cells.unique() if cell}
    return bool(found) and found <= values


def _products(table: Table, ids: pd.Series, parents: pd.Series) -> pd.DataFrame:
    categories = per_value(column(table, "categories"), listed)
    attributes, used = _attributes(table)
    brand = strings(per_value(column(table, "brands"), first))
    products = {
        "id": ids,
        "sku": column(table, "sku"),
        "item_group_id": filled(parents, ids.where(ids.isin(set(parents)), "")),
        "title": column(table, "name"),
        "description": (column(table, "short") + " " + column(table, "description")).str.strip(),
        "image_link": strings(per_value(column(table, "images"), first)),
        **category_columns(categories),
        "brand": filled(brand, strings(attributes.pop("brand", blank(table)))),
        "price": column(table, "price"),
        "sale_price": column(table, "sale_price"),
        "sale_starts": column(table, "sale_starts"),
        "sale_ends": column(table, "sale_ends"),
        "availability": _availability(table),
        "tags": per_value(column(table, "tags"), listed),
        "gtin": column(table, "gtin"),
    }
    unknown = others(table, {*NAMES, *used}, _META)
    apart = {name if name not in products else f"attribute_{name}": cells for name, cells in attributes.items()}
    return pd.DataFrame({**unknown, **products, **apart})


def _availability(table: Table) -> pd.Series:
    """Return availability: by the state of the stock, else by the quantity."""
    state, left = column(table, "in_stock").str.lower(), decimals(column(table, "stock"))
    backorders = column(table, "backorders").str.lower().isin(["1", "yes", "notify"])
    out = state.isin(["0", "outofstock"]) | ((state == "") & (left <= 0) & ~backorders)
    waits = state.isin(["backorder", "onbackorder"]) | (~out & (left <= 0) & backorders)
    in_stock = pd.Series("in_stock", table.frame.index, dtype="str")
    return in_stock.where(~waits, "backorder").where(~out, "out_of_stock")


def _published(table: Table) -> "pd.Series[bool]":
    """Return the mask of products that are published (1, not -1 draft, 0 private, 2 pending) and not hidden."""
    published = column(table, "published").str.lower().isin(["1", "", "true", "yes", "publish"])
    return published & (column(table, "visibility").str.lower() != "hidden")


def _parents(table: Table, ids: pd.Series) -> pd.Series:
    """Return the product id of each variation; the file has it as ``id:100`` or as a SKU."""
    named = column(table, "parent")
    by_sku = {sku: id for sku, id in zip(column(table, "sku"), ids, strict=True) if sku}
    found = per_value(named, lambda parent: by_sku.get(parent, parent.removeprefix("id:")))
    variation = column(table, "type").str.contains("variation")
    return strings(found).where(variation, "")


def _attributes(table: Table) -> tuple[dict[str, pd.Series], set[str]]:
    """Return a column of lists for each attribute of products, such as color, and the headings that they use.

    The headings of an attribute follow each other: with the same number in any language, its name and its values
    first.
    """
    attributes, used = dict[str, pd.Series](), set[str]()
    nothing: list[list[str]] = [[] for _ in table.rows]
    empty = pd.Series(nothing, table.frame.index, dtype=object)
    for headings in _numbered(table):
        if len(headings) == 1:  # such as "GTIN13" and "Attribute 1 default"
            used |= {name for name in headings if name.split()[0] in {known.split()[0] for known in used}}
            continue
        used |= set(headings)
        if not any("url" in name.lower() for name in headings):  # downloads have URLs
            names = column(table, headings[0])
            values = per_value(column(table, headings[1]), listed)
            for name in names[names != ""].unique().tolist():
                key = option_name(name)
                attributes[key] = values.where(names == name, attributes.get(key, empty))
    return attributes, used


def _numbered(table: Table) -> list[list[str]]:
    """Return runs of headings with the same number, those of downloads apart."""
    unknown = [name for name in map(str, table.frame) if name not in NAMES and not _META.match(name)]
    numbers = [_NUMBER.search(name) for name in unknown]
    pairs = [(match[1] if match else "", name) for match, name in zip(numbers, unknown, strict=True)]
    runs: list[list[str]] = []
    for number, group in groupby(pairs, key=lambda pair: pair[0]):
        run: list[str] = []
        for _, name in group if number else ():
            run.append(name)
            if "url" in name.lower():
                runs.append(run)
                run = []
        runs += [run] if run else []
    return runs


def _recognizes(table: Table) -> bool:
    known = spellings(NAMES)
    found = {known.get(heading(name)) for name in table.frame}
    return ({"type", "name"} <= found and len(found & _TELLING) > 1) or bool(_order(table))


FORMAT = Format("woocommerce", _TITLE, _read, _recognizes)
