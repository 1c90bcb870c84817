"""Helpers of several formats: markup to text, prices with a currency, options of variants."""

import re
from html import unescape

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.values.cells import strings

_TAG = re.compile(r"<[^>]*>")
# Names of the standard columns among a product's options.
_OPTIONS = {"colour": "color", "farbe": "color", "couleur": "color", "größe": "size", "taille": "size"}


def column(table: Table, name: str) -> pd.Series:
    """Return a column as strings, "" throughout if the table lacks it."""
    return strings(table.frame[name]) if name in table.frame else pd.Series("", table.frame.index, dtype="str")


def plain_text(markup: pd.Series) -> pd.Series:
    """Return HTML as text: tags become spaces, entities characters, runs of spaces one space.

    >>> plain_text(pd.Series(["<p>Warm &amp; <b>light</b></p>"]))[0]
    'Warm & light'
    """
    return markup.map(lambda text: " ".join(unescape(_TAG.sub(" ", text)).split()))


def option_name(name: str) -> str:
    """Return the column name of a product's option.

    >>> option_name("Colour"), option_name("Sleeve length")
    ('color', 'sleeve_length')
    """
    plain = "_".join(name.lower().split())
    return _OPTIONS.get(plain, plain)


def stock(available: "pd.Series[bool]") -> pd.Series:
    """Return Google Merchant's values of availability."""
    return available.map({True: "in_stock", False: "out_of_stock"})
