"""Parse columns of cells as strings, lists and numbers, and fill templates from them."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.errors import ConfigError, nearest
from recommender.items.schema import MISSING

Mask = NDArray[np.bool_]

# Of a template: text, and a column in braces; doubled braces are characters.
_PART = re.compile(r"((?:[^{}]|\{\{|\}\})*)(?:\{((?:[^{}]|\{\{[^{}]*\}\})*)\}|$)")
# Of a number: thousands in groups, decimals by point or comma, and a unit.
_UNITS = r"[mcdk]?m|inch(?:es)?|in|ft|[mk]?g|lbs?|oz|[mcd]?l|k?W|V|m?Ah?|[kMG]?Hz|[kMGT]B|h|min|s|%|°C?|\"|″"
_WRITTEN = re.compile(rf"([-+]?)\s*(\d[\d.,'’ \u00a0\u202f]*)\s*({_UNITS})?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(
    r"[\d'’\s]*\d(?:\.\d{3})*,(?:\d{1,2}|\d{4,})|[\d'’\s]*\d(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}"
)
_GROUPED = re.compile(r"-?\d{1,3}(?:\.\d{3})+")


def strings(cells: pd.Series) -> pd.Series:
    """Return cells as stripped strings, "" for missing; whole numbers without a point, booleans in lower case."""
    if not isinstance(cells.dtype, pd.StringDtype):
        cells = pd.Series([_string(cell) for cell in cells], index=cells.index, dtype="str")
    return cells.fillna("").str.strip()


def _string(cell: object) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell)).lower()
    if isinstance(cell, float | np.floating):
        return "" if cell != cell else str(int(cell)) if float(cell).is_integer() else repr(float(cell))
    if isinstance(cell, list | tuple | np.ndarray):
        return ", ".join(map(_string, cell))
    return "" if cell is None or cell is pd.NaT or cell is pd.NA else str(cell)


def lists(cells: pd.Series, separator: str | None = None) -> pd.Series:
    """Return cells as lists of distinct stripped strings, in order; [] for missing."""
    if separator is not None:
        cells = strings(cells).str.split(separator, regex=False)
    return pd.Series([_list(cell) for cell in cells], index=cells.index, dtype=object)


def _list(cell: Any) -> list[str]:
    parts: Iterable[Any] = cell if isinstance(cell, list | tuple | np.ndarray) else [cell]
    return [part for part in dict.fromkeys(_string(part).strip() for part in parts) if part]


def levelled(cells: pd.Series, separator: str) -> pd.Series:
    """Return hierarchical values, or lists of them, with " > " between levels.

    >>> levelled(pd.Series(["Men/Tops/", ""]), "/").tolist()
    ['Men > Tops', '']
    """

    def path(value: str) -> str:
        return " > ".join(filter(None, map(str.strip, value.split(separator))))

    if is_multi(cells):
        return pd.Series([list(map(path, cell)) for cell in lists(cells)], index=cells.index, dtype=object)
    return strings(cells).map(path)


def numbers(cells: pd.Series, minimum: float = -np.inf) -> tuple[NDArray[np.float64], Mask]:
    """Return cells as float64 (n,), NaN for missing, and a mask of cells that are neither missing nor a number.

    Numbers are finite and at least `minimum`. They may have thousands in groups, a decimal comma if the column
    shows it, and a unit that is the same in all cells. Words such as "N/A" are missing.
    """
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        values = cells.to_numpy(np.float64, na_value=np.nan)
        bad = np.isinf(values)
    else:
        texts = strings(cells)
        values = np.array(pd.to_numeric(texts, errors="coerce"), np.float64)
        odd = ~np.isfinite(values) & (texts != "").to_numpy(bool)
        if odd.any():
            values = _written_numbers(texts, values, odd)
        bad = ~np.isfinite(values) & odd & ~texts.str.lower().isin(MISSING).to_numpy(bool)
    bad |= values < minimum
    return np.where(bad, np.nan, values), bad


def _written_numbers(texts: pd.Series, values: NDArray[np.float64], odd: Mask) -> NDArray[np.float64]:
    """Return the values, with those of odd cells read as people write them."""
    found = {text: match for text in texts[odd].unique() if (match := _WRITTEN.fullmatch(text))}
    units = {match[3] for match in found.values()} - {None}
    comma = any(_DECIMAL_COMMA.fullmatch(match[2]) for match in found.values())
    read = {text: _number(match, comma) for text, match in found.items() if len(units) <= 1 or match[3] is None}
    if comma:  # then "1.200" is more than a thousand
        read |= {text: float(text.replace(".", "")) for text in texts.unique() if _GROUPED.fullmatch(text)}
    return np.where(texts.isin(read), texts.map(read).to_numpy(np.float64), values) if read else values


def _number(match: re.Match[str], comma: bool) -> float:
    """Return a number as written; NaN if its groups are not of thousands."""
    decimal, group = (",", ".") if comma else (".", ",")
    whole, _, decimals = match[2].strip().partition(decimal)
    groups = re.split(r"[\s'’]" if group not in whole else re.escape(group), whole)
    if not all(part.isdecimal() for part in groups) or any(len(part) != 3 for part in groups[1:]):
        return np.nan
    if decimals and not decimals.isdecimal():
        return np.nan
    return float(f"{match[1]}{''.join(groups)}.{decimals or 0}")


def is_multi(cells: pd.Series) -> bool:
    """Return whether any cell is a list."""
    return cells.dtype == object and any(isinstance(cell, list | tuple | np.ndarray) for cell in cells)


def shared(values: pd.Series) -> bool:
    """Return whether a value is in two rows or more on average."""
    return 2 * values.nunique() <= len(values)


def is_template(source: str, columns: Iterable[object]) -> bool:
    """Return whether a source is a template over columns, and not the name of a column that has braces."""
    return "{" in source and source not in columns


def fields(template: str) -> list[str]:
    """Return the columns of a template; pairs of braces in a column's name are doubled.

    >>> fields("{item:token} {price {{EUR}}}")
    ['item:token', 'price {EUR}']

    Raises
    ------
    ConfigError
        If its braces do not match.
    """
    return [column for _, column in _parts(template) if column is not None]


def _parts(template: str) -> list[tuple[str, str | None]]:
    """Return the parts of a template: text, and the column after it."""
    parts: list[tuple[str, str | None]] = []
    end = 0
    for match in _PART.finditer(template):
        if match.start() != end:
            break
        text, column = match.groups()
        parts.append((_undoubled(text), None if column is None else _undoubled(column)))
        end = match.end()
    if end != len(template):
        raise ConfigError(f"template {template!r}: braces do not match; expected such as '{{name}} {{type}}'")
    return parts


def _undoubled(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def fill(template: str, frame: pd.DataFrame) -> pd.Series:
    """Fill a template such as ``"{article_id}.jpg"`` from each row; "" where all its columns are.

    Raises
    ------
    ConfigError
        If the frame lacks one of its columns.
    """
    for name in fields(template):
        if name not in frame:
            guess = nearest(name, map(str, frame.columns))
            hint = f"; did you mean {guess!r}?" if guess else ""
            raise ConfigError(f"template {template!r}: there is no column {name!r}{hint}")
    filled = pd.Series("", index=frame.index, dtype="str")
    blank = np.full(len(frame), bool(fields(template)))
    for text, column in _parts(template):
        filled = filled + text
        if column is not None:
            cells = strings(frame[column])
            filled = filled + cells
            blank &= (cells == "").to_numpy(bool)
    return filled.mask(blank, "").str.strip()
