"""Parse columns of cells as strings, lists, numbers and dates, and infer their kind."""

from collections.abc import Iterable
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.errors import ConfigError, nearest
from recommender.items.schema import Kind

Mask = NDArray[np.bool_]

# No leading zeros: "0108775" is a code, and so is every value of its column.
_NUMBER = r"-?(?:0|[1-9]\d{0,15})(?:\.\d+)?(?:[eE][-+]?\d{1,2})?"
_DATE = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?"
_MAX_CATEGORY_LENGTH = 60  # characters on average; longer values are prose
# POSIX times from here on are milliseconds: seconds would be in the year 5138.
_MILLISECONDS = 1e11


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

    Numbers are finite and at least `minimum`.
    """
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        values = cells.to_numpy(np.float64, na_value=np.nan)
        bad = np.isinf(values)
    else:
        texts = strings(cells)
        values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = ~np.isfinite(values) & (texts != "").to_numpy(bool)
    bad |= values < minimum
    return np.where(bad, np.nan, values), bad


def dates(cells: pd.Series) -> tuple[pd.Series, Mask]:
    """Return cells as UTC datetime64[us] without zone, NaT for missing, and a mask of cells that are not a date.

    Dates are ISO 8601, in UTC where they have no zone, or POSIX seconds or milliseconds.
    """
    if pd.api.types.is_datetime64_any_dtype(cells):
        return _utc(pd.to_datetime(cells, utc=True)), np.zeros(len(cells), bool)
    texts = strings(cells)
    posix, _ = numbers(cells)
    if (np.isfinite(posix) | (texts == "").to_numpy(bool)).all():
        seconds = np.where(np.abs(posix) >= _MILLISECONDS, posix / 1e3, posix)
        times = pd.to_datetime(pd.Series(seconds, index=cells.index), unit="s", utc=True, errors="coerce")
    else:
        times = pd.to_datetime(texts.where(texts != "", None), format="ISO8601", utc=True, errors="coerce")
    return _utc(times), (times.isna() & (texts != "")).to_numpy(bool)


def _utc(times: pd.Series) -> pd.Series:
    return times.dt.tz_localize(None).astype("datetime64[us]")


def kind_of(cells: pd.Series) -> Kind:
    """Infer the kind of a column from all of its cells.

    Lists are "multi"; columns where every value is a number or a date are such; of the rest, those with long
    values or hardly any shared ones are "text", and others "category".
    """
    if pd.api.types.is_datetime64_any_dtype(cells):
        return "date"
    if is_multi(cells):
        return "multi"
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        return "number"
    texts = strings(cells)
    filled = texts[texts != ""]
    if not len(filled):
        return "category"
    if filled.str.fullmatch(_NUMBER).all():
        return "number"
    if filled.str.fullmatch(_DATE).all() and not dates(filled)[1].any():
        return "date"
    return "category" if shared(filled) and filled.str.len().mean() <= _MAX_CATEGORY_LENGTH else "text"


def is_multi(cells: pd.Series) -> bool:
    """Return whether any cell is a list."""
    return cells.dtype == object and any(isinstance(cell, list | tuple | np.ndarray) for cell in cells)


def shared(values: pd.Series) -> bool:
    """Return whether a value is in two rows or more on average."""
    return 2 * values.nunique() <= len(values)


def fields(template: str) -> list[str]:
    """Return the columns of a template.

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
    for literal, column, _, _ in Formatter().parse(template):
        filled = filled + literal
        if column is not None:
            cells = strings(frame[column])
            filled = filled + cells
            blank &= (cells == "").to_numpy(bool)
    return filled.mask(blank, "").str.strip()
