"""Cells of exports: lists with escaped separators, options of variants, and products that are not for sale."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings
from recommender.catalog.values.prices import prices
from recommender.errors import DataError

_COMMA = re.compile(r"(?<!\\),")  # a comma within a value is written "\,"
# The standard columns among the options of products, in the languages of shops.
_COLORS = (
    *("colour", "colors", "farbe", "couleur", "colore", "kleur", "cor", "цвет", "kolor", "färg", "farve", "farge"),
    *("barva", "renk", "カラー", "颜色"),
)
_SIZES = (
    *("größe", "taille", "talla", "taglia", "maat", "tamanho", "размер", "rozmiar", "storlek", "størrelse"),
    *("velikost", "beden", "サイズ", "尺码"),
)
_PRICES = ("price", "sale_price", "sale_starts", "sale_ends")
_OPTIONS = dict.fromkeys(_COLORS, "color") | dict.fromkeys(_SIZES, "size")


def column(table: Table, name: str) -> pd.Series:
    """Return a column as strings, "" throughout if the table lacks it."""
    return strings(table.frame[name]) if name in table.frame else blank(table)


def blank(table: Table) -> pd.Series:
    """Return a column of ""."""
    return pd.Series("", table.frame.index, dtype="str")


def filled(cells: pd.Series, fallback: pd.Series) -> pd.Series:
    """Return cells, those of `fallback` where there is none."""
    return cells.where(cells != "", fallback)


def per_value(cells: pd.Series, function: Callable[[str], Any]) -> pd.Series:
    """Return a function of each cell, called once per distinct value."""
    codes, values = pd.factorize(cells)
    results = np.empty(len(values), object)
    results[:] = [function(value) for value in values]
    return pd.Series(results[codes], cells.index, dtype=object)


def listed(cell: str) -> list[str]:
    r"""Return the values of a comma-separated cell.

    >>> listed(r"Music, Black\\, White,")
    ['Music', 'Black, White']
    """
    parts = (part.replace("\\,", ",").strip() for part in _COMMA.split(cell))
    return [part for part in parts if part]


def first(cell: str) -> str:
    """Return the first value of a comma-separated cell, "" for none."""
    return next(iter(listed(cell)), "")


def deepest(paths: list[str]) -> str:
    """Return the category of a product among several: the one with the most levels, the first of equals."""
    return max(paths, key=lambda path: path.count(" > "), default="")


def category_columns(categories: pd.Series) -> dict[str, pd.Series]:
    """Return the product type of lists of categories and, where a product has several, the lists."""
    columns = {"product_type": strings(categories.map(deepest))}
    return columns | {"categories": categories} if (categories.map(len) > 1).any() else columns


def option_name(name: str) -> str:
    """Return the column name of a product's option.

    >>> option_name("Colour"), option_name("Sleeve length")
    ('color', 'sleeve_length')
    """
    plain = plain_name(name)
    return _OPTIONS.get(plain, plain)


def plain_name(name: str) -> str:
    """Return a heading as a name to filter on.

    >>> plain_name("Sleeve length (cm)")
    'sleeve_length_cm'
    """
    return "_".join(re.sub(r"\W+", " ", name.lower()).split())


def decimals(cells: pd.Series) -> pd.Series:
    """Return plain numbers such as quantities as float64, NaN for others; a comma may be the decimal point."""
    return pd.to_numeric(cells.str.replace(",", "."), errors="coerce")


def stock(available: "pd.Series[bool]") -> pd.Series:
    """Return Google Merchant's values of availability."""
    return available.map({True: "in_stock", False: "out_of_stock"})


def inherited(frame: pd.DataFrame, parents: pd.Series, names: Iterable[str]) -> pd.DataFrame:
    """Return products where a variant without a value has that of its product.

    Parameters
    ----------
    parents
        Id of the product of each variant, "" for others.
    """
    by_id = frame.drop_duplicates("id").set_index("id")
    of_parent = {name: parents.map(by_id[name]) for name in names if name in frame}
    given = {name: frame[name].map(bool) | cells.isna() for name, cells in of_parent.items()}
    return frame.assign(**{name: frame[name].where(given[name], cells) for name, cells in of_parent.items()})


def of_products(sold: "pd.Series[bool]", ids: pd.Series, parents: pd.Series) -> "pd.Series[bool]":
    """Return whether the product of each variant is for sale; True for those that are no variants."""
    return ~parents.isin(set(ids[~sold]) - {""})


def with_variants(frame: pd.DataFrame, parents: pd.Series) -> pd.DataFrame:
    """Return products where one without a price costs what the cheapest of its variants does.

    It is out of stock where all of them are.

    Parameters
    ----------
    parents
        Id of the product of each variant that is for sale, "" for others.
    """
    amounts = prices(filled(frame["sale_price"], frame["price"])).amounts
    variants = frame.assign(parent=parents, amount=amounts, out=frame["availability"] == "out_of_stock")
    variants = variants[parents != ""].sort_values(["out", "amount"], kind="stable")
    cheapest = variants.drop_duplicates("parent").set_index("parent")
    unpriced = (frame["price"] == "") & frame["id"].isin(cheapest.index)
    for name in _PRICES:
        if name in frame:
            frame[name] = frame[name].where(~unpriced, frame["id"].map(cheapest[name]))
    some_left = set(variants["parent"][variants["availability"] != "out_of_stock"])
    none_left = frame["id"].isin(cheapest.index) & ~frame["id"].isin(some_left)
    return frame.assign(availability=frame["availability"].where(~none_left, "out_of_stock"))


def count(report: DataReport, what: str, number: int) -> None:
    """Add to a fact of the report; a file may be read in parts."""
    if number:
        report.facts[what] = report.facts.get(what, 0) + int(number)


def for_sale(table: Table, sold: "pd.Series[bool]", report: DataReport) -> Table:
    """Leave out the products that a shop does not sell, such as drafts; name and count them.

    Raises
    ------
    DataError
        If none is for sale.
    """
    mask = sold.to_numpy(bool)
    count(report, "products not for sale", int(np.count_nonzero(~mask)))
    if len(mask) and not mask.any():
        found = f"{table.name}: none of its {len(mask):,} products is for sale"
        raise DataError(f"{found}: all are drafts, private or archived; expected one that is published")
    return replace(table.where(mask), unsold=table.unsold | frozenset(table.frame["id"][~mask]))
