"""Columns of cells, as whatever file has them, to the five kinds of values that a catalogue holds."""

from collections.abc import Iterable
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.errors import ConfigError, nearest
from recommender.items.schema import Kind

Mask = NDArray[np.bool_]

# No leading zeros: "0108775" is a code, and so is a column with one such value.
_NUMBER = r"-?(?:0|[1-9]\d{0,15})(?:\.\d+)?(?:[eE][-+]?\d{1,2})?"
_DATE = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?"
_LONG = 60  # characters; values longer on average are prose
# From here on a whole number of POSIX time counts milliseconds: seconds would be in the year 5138.
_MILLISECONDS = 1e11


def strings(cells: pd.Series) -> pd.Series:
    """Return cells as stripped strings, "" for missing; whole numbers without a point, truth in lower case."""
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
    """Return cells as lists of distinct stripped strings, in their order; [] for missing."""
    if separator is not None:
        cells = strings(cells).str.split(separator, regex=False)
    return pd.Series([_list(cell) for cell in cells], index=cells.index, dtype=object)


def _list(cell: Any) -> list[str]:
    parts: Iterable[Any] = cell if isinstance(cell, list | tuple | np.ndarray) else [cell]
    return [part for part in dict.fromkeys(_string(part).strip() for part in parts) if part]


def levelled(cells: pd.Series, separator: str) -> pd.Series:
    """Return strings, or lists of them, with " > " between the levels of each.

    >>> levelled(pd.Series(["Men/Tops/", ""]), "/").tolist()
    ['Men > Tops', '']
    """

    def path(value: str) -> str:
        return " > ".join(filter(None, map(str.strip, value.split(separator))))

    if is_multi(cells):
        return pd.Series([list(map(path, cell)) for cell in lists(cells)], index=cells.index, dtype=object)
    return strings(cells).map(path)


def numbers(cells: pd.Series, least: float = -np.inf) -> tuple[NDArray[np.float64], Mask]:
    """Return cells as float64 (n,), NaN for missing, and a mask of what is neither missing nor a number.

    Numbers are finite and at least `least`.
    """
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        values = cells.to_numpy(np.float64, na_value=np.nan)
        bad = np.isinf(values)
    else:
        said = strings(cells)
        values = pd.to_numeric(said, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = ~np.isfinite(values) & (said != "").to_numpy(bool)
    bad |= values < least
    return np.where(bad, np.nan, values), bad


def dates(cells: pd.Series) -> tuple[pd.Series, Mask]:
    """Return cells as UTC datetime64[us] without zone, NaT for missing, and a mask of what is no date.

    ISO 8601 is a date (without a zone it is taken as UTC), and so are POSIX seconds or milliseconds.
    """
    if pd.api.types.is_datetime64_any_dtype(cells):
        return _utc(pd.to_datetime(cells, utc=True)), np.zeros(len(cells), bool)
    said = strings(cells)
    posix, _ = numbers(cells)
    if (np.isfinite(posix) | (said == "").to_numpy(bool)).all():
        seconds = np.where(np.abs(posix) >= _MILLISECONDS, posix / 1e3, posix)
        read = pd.to_datetime(pd.Series(seconds, index=cells.index), unit="s", utc=True, errors="coerce")
    else:
        read = pd.to_datetime(said.where(said != "", None), format="ISO8601", utc=True, errors="coerce")
    return _utc(read), (read.isna() & (said != "")).to_numpy(bool)


def _utc(moments: pd.Series) -> pd.Series:
    return moments.dt.tz_localize(None).astype("datetime64[us]")


def kind_of(cells: pd.Series) -> Kind:
    """Tell what an attribute is by all of its cells.

    Lists are "multi"; what looks like a number or a date throughout is one; of the rest "text" is what is long,
    or what hardly two rows share; all else is a "category".
    """
    if pd.api.types.is_datetime64_any_dtype(cells):
        return "date"
    if is_multi(cells):
        return "multi"
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        return "number"
    said = strings(cells)
    filled = said[said != ""]
    if not len(filled):
        return "category"
    if filled.str.fullmatch(_NUMBER).all():
        return "number"
    if filled.str.fullmatch(_DATE).all() and not dates(filled)[1].any():
        return "date"
    return "category" if shared(filled) and filled.str.len().mean() <= _LONG else "text"


def is_multi(cells: pd.Series) -> bool:
    """Tell whether any cell is a list."""
    return cells.dtype == object and any(isinstance(cell, list | tuple | np.ndarray) for cell in cells)


def shared(values: pd.Series) -> bool:
    """Tell whether a value stands in two rows or more on average."""
    return 2 * values.nunique() <= len(values)


def fields(template: str) -> list[str]:
    """Return the columns that a template names.

    Raises
    ------
    ConfigError
        If its braces do not match.
    """
    try:
        return [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ConfigError(f"template {template!r}: {error}; expected such as '{{name}} {{type}}'") from None


def fill(template: str, frame: pd.DataFrame) -> pd.Series:
    """Return a template such as ``"{article_id}.jpg"`` filled from each row; "" where all its columns are.

    Raises
    ------
    ConfigError
        If it names a column that the frame has not.
    """
    for name in fields(template):
        if name not in frame:
            guess = nearest(name, map(str, frame.columns))
            hint = f"; did you mean {guess!r}?" if guess else ""
            raise ConfigError(f"template {template!r}: there is no column {name!r}{hint}")
    filled = pd.Series("", index=frame.index, dtype="str")
    blank = np.full(len(frame), bool(fields(template)))
    for literal, column, _, _ in Formatter().parse(template):
        filled = filled + literal
        if column is not None:
            cells = strings(frame[column])
            filled = filled + cells
            blank &= (cells == "").to_numpy(bool)
    return filled.mask(blank, "").str.strip()
