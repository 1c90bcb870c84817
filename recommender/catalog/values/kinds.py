"""Infer the kind of a column from its name and all of its cells."""

import numpy as np
import pandas as pd

from recommender.catalog.headings import plain
from recommender.catalog.values.cells import is_multi, shared, strings
from recommender.catalog.values.moments import read_moments
from recommender.items.schema import MISSING, Kind

# A column keeps its kind if at least this share of its values have it.
ENOUGH = 0.9
_MAX_CATEGORY_LENGTH = 60  # characters on average; longer values are prose
# With a decimal point or comma, or thousands in groups.
_NUMBER = r"-?(?:(?:0|[1-9]\d{0,15})(?:[.,]\d+)?(?:[eE][-+]?\d{1,2})?|[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?)"
# "0108775" is a code, and so is every value of its column; "12,15,18" is a list.
_NO_NUMBER = r"0\d+|\d+(?:,\d+){2,}"
_GROUPS = r"[1-9]\d{0,2}(?:,\d{3})+"
_MONTH = r"\b(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b"
_DATE = rf"\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?|\d{{1,2}}([/.])\d{{1,2}}\1\d{{4}}.*|.*{_MONTH}.*\b\d{{4}}\b.*"
# The last word of a name: whole numbers under it are names of something, or else amounts.
_CODES = """
id ids code codes no nr num number key ref reference sku ean gtin upc isbn barcode zip postcode plz
artikelnummer manufacturer hersteller brand marke vendor supplier lieferant seller merchant designer category
kategorie department section collection color colour farbe style type group class family line series model
store shop warehouse country region material
"""
_AMOUNTS = """
price preis cost amount weight gewicht width breite height hohe hoehe length lange laenge depth tiefe diameter
size grosse year jahr rating score stars rank count qty quantity menge anzahl stock bestand reviews sales age
volume capacity percent discount power watt voltage days months hours minutes pieces pcs pack cm mm kg ml
"""
_SAMPLE = 200  # values that show whether dates are worth a look at all
_MIN_CODES = 5  # distinct values, without a telling name
_SPARSE = 10  # times as many whole numbers lie between the least and the greatest code as there are codes
_ROUND = 0.5  # share of amounts that end with 0, 5 or 9, at least; 0.3 of codes do


def kind_of(cells: pd.Series, timezone: str | None = None, format: str | None = None) -> Kind:
    """Infer the kind of a column.

    Lists are "multi"; columns where nearly every value is a number or a date are such; of the rest, those with
    long values or hardly any shared ones are "text", and others "category".
    """
    if pd.api.types.is_datetime64_any_dtype(cells):
        return "date"
    if is_multi(cells):
        return "multi"
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        return "number"
    counts = strings(cells).value_counts(sort=False)
    texts = counts.index.to_series().astype("str")
    counts = counts[~texts.str.lower().isin(MISSING).to_numpy(bool)]
    if not len(counts):
        return "category"
    texts = texts[counts.index]
    if _are_numbers(texts, counts):
        return "number"
    if _are_dates(texts, counts, timezone, format):
        return "date"
    length = float(np.average(texts.str.len(), weights=counts))
    return "category" if 2 * len(counts) <= counts.sum() and length <= _MAX_CATEGORY_LENGTH else "text"


def _are_numbers(texts: pd.Series, counts: pd.Series) -> bool:
    """Return whether nearly all strings are numbers; a word that repeats beside whole numbers is a value."""
    written = texts.str.fullmatch(_NUMBER).to_numpy(bool)
    odd = counts[~written]
    if odd.sum() > (1 - ENOUGH) * counts.sum():
        return False
    if (texts.str.fullmatch(_NO_NUMBER) & ~texts.str.fullmatch(_GROUPS)).any():
        return False
    return not (odd > 1).any() or bool(texts[written].str.contains(".", regex=False).any())


def _are_dates(texts: pd.Series, counts: pd.Series, timezone: str | None, format: str | None) -> bool:
    if format is None:
        if texts.head(_SAMPLE).str.fullmatch(_DATE).mean() < 0.5:
            return False
        texts = texts[texts.str.fullmatch(_DATE)]
    dates = read_moments(texts, timezone, format).times.notna().to_numpy(bool)
    return bool(counts[texts[dates]].sum() >= ENOUGH * counts.sum())


def are_codes(values: pd.Series, name: str) -> bool:
    """Return whether numbers are names rather than amounts: by the column's name, else by how they lie.

    Whole numbers that repeat, are far apart and end with any digit are codes, as manufacturers 1042, 2077 and
    3196; 1000, 1250 and 1999 are amounts.
    """
    whole = values.to_numpy(np.float64)
    if not len(whole) or (whole < 0).any() or (whole % 1 != 0).any() or whole.max() <= 1:
        return False
    words = plain(name).split("_")
    if words[-1] in _CODES.split():
        return True
    if not set(words).isdisjoint(_AMOUNTS.split()) or not shared(values):
        return False
    distinct = np.unique(whole)
    sparse = distinct[-1] - distinct[0] >= _SPARSE * len(distinct)
    return bool(sparse and len(distinct) >= _MIN_CODES and np.isin(distinct % 10, (0, 5, 9)).mean() < _ROUND)
