"""What several formats have in common: markup to text, prices with a currency, options of variants."""

import re
from html import unescape

import pandas as pd

from recommender.catalog.cells import strings
from recommender.catalog.tables import Table

_TAG = re.compile(r"<[^>]*>")
_CURRENCY = r"^[A-Z]{3}\s*|\s*[A-Z]{3}$"
# How shops call the standard columns among a product's options.
_OPTIONS = {"colour": "color", "farbe": "color", "couleur": "color", "größe": "size", "taille": "size"}


def column(table: Table, name: str) -> pd.Series:
    """Return a column as strings, "" throughout if the table has none of that name."""
    return strings(table.frame[name]) if name in table.frame else pd.Series("", table.frame.index, dtype="str")


def plain_text(markup: pd.Series) -> pd.Series:
    """Return HTML as text: tags become spaces, entities characters, and runs of spaces one.

    >>> plain_text(pd.Series(["<p>Warm &amp; <b>light</b></p>"]))[0]
    'Warm & light'
    """
    return markup.map(lambda text: " ".join(unescape(_TAG.sub(" ", text)).split()))


def amounts(prices: pd.Series) -> pd.Series:
    """Return prices without their currency's code, as ISO 4217 has it.

    >>> amounts(pd.Series(["15.00 USD", "EUR 9"])).tolist()
    ['15.00', '9']
    """
    return prices.str.replace(_CURRENCY, "", regex=True)


def option_name(name: str) -> str:
    """Return what a product's option is called as a column.

    >>> option_name("Colour"), option_name("Sleeve length")
    ('color', 'sleeve_length')
    """
    plain = "_".join(name.lower().split())
    return _OPTIONS.get(plain, plain)


def stock(available: "pd.Series[bool]") -> pd.Series:
    """Return Google Merchant's words for what can be bought and what cannot."""
    return available.map({True: "in_stock", False: "out_of_stock"})
