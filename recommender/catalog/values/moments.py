"""Read columns of moments: text of many forms, POSIX and Excel numbers, datetimes of any unit and zone."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recommender.catalog.values.cells import Mask, strings
from recommender.items.moments import (
    EXCEL_EPOCH,
    NUMBER,
    POSIX_UNITS,
    Order,
    day_or_month,
    order_of,
    parse,
    plausible_seconds,
)
from recommender.items.schema import MISSING

Micros = NDArray[np.int64]

EXPECTED = "a date such as 2026-11-23 or 2026-11-23T06:41:07Z"
_NAT = np.iinfo(np.int64).min
_SECOND = 1_000_000  # microseconds
_DAY = 86_400 * _SECOND
_EPOCH = datetime(1970, 1, 1)
# Numbers from here on are milliseconds where no unit is plausible: seconds would be in the year 5138.
_MILLISECONDS = 1e11
# Years 1 to 9999, as Python's datetime.
_FIRST, _LAST = ((moment - _EPOCH) // timedelta(microseconds=1) for moment in (datetime.min, datetime.max))
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?"
_ZONE = r"(Z|[+-]\d\d(:?\d\d)?| ?UTC)$"
_OTHER_UNIT = "in another unit than most; read by what is plausible"
_CLOCK_CHANGE = "skipped or repeated by a change of the clocks; taken as daylight-saving time"


@dataclass(frozen=True)
class Moments:
    """A column of moments.

    Attributes
    ----------
    times
        UTC datetime64[us] without zone, NaT for missing; with the index of the cells.
    bad
        (n,), cells that are neither missing nor a moment.
    expected
        What a bad cell should be, for messages.
    guesses
        Masks (n,) of cells that might mean another moment, with what was done.
    """

    times: pd.Series
    bad: Mask
    expected: str
    guesses: tuple[tuple[Mask, str], ...]


@dataclass
class _Read:
    """Cells as microseconds from 1970, `_NAT` where none, and what is not yet said of them.

    `local` masks those without a time zone, `odd` numbers of another unit than most.
    """

    micros: Micros
    local: Mask
    odd: Mask

    @classmethod
    def nothing(cls, n: int) -> "_Read":
        return cls(np.full(n, _NAT), np.zeros(n, bool), np.zeros(n, bool))

    def put(self, mask: Mask, other: "_Read") -> None:
        self.micros[mask], self.local[mask], self.odd[mask] = other.micros, other.local, other.odd


def moments(cells: pd.Series, timezone: str | None = None, format: str | None = None) -> tuple[pd.Series, Mask]:
    """Return times and the mask of bad cells, see `read_moments`."""
    found = read_moments(cells, timezone, format)
    return found.times, found.bad


def read_moments(cells: pd.Series, timezone: str | None = None, format: str | None = None) -> Moments:
    """Read a column of moments; what its cells mean is decided by all of them.

    Parameters
    ----------
    cells
        Datetimes of any unit and zone, numbers or strings: ISO 8601, compact ("20241101T101500"), e-mail
        ("Fri, 1 Nov 2024 10:00:00 +0100"), "Nov 1, 2024 10:00 AM" and "31/12/2024", where a day above 12 shows the
        order of all. Numbers are POSIX seconds, milliseconds, microseconds or nanoseconds, digits of a date, or
        days of Excel, whichever is plausible.
    timezone
        Of moments without one, such as "Europe/Berlin"; by default UTC.
    format
        Of strings, as in `datetime.strptime`; by default any of the above. Columns of a catalogue differ: one in
        which no cell has the format is read without it, but days and months that may be exchanged are bad.
    """
    n, expected = len(cells), EXPECTED
    if pd.api.types.is_datetime64_any_dtype(cells):
        read, missing = _datetimes(cells), cells.isna().to_numpy(bool)
    elif format is None and pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        missing, read = cells.isna().to_numpy(bool), _Read.nothing(n)
        read.put(~missing, _numbers(cells[~missing].to_numpy()))
    else:
        texts = strings(cells)
        read, expected = _texts(texts) if format is None else _formatted(texts, format)
        missing = _missing(texts, read)
    read.micros[(read.micros < _FIRST) | (read.micros > _LAST)] = _NAT
    shifted = _to_utc(read, timezone) if timezone is not None else np.zeros(n, bool)
    times = pd.Series(read.micros.view("datetime64[us]"), index=cells.index)
    guesses = tuple(
        (mask, done) for mask, done in ((read.odd, _OTHER_UNIT), (shifted, _CLOCK_CHANGE)) if mask.any()
    )
    return Moments(times, (read.micros == _NAT) & ~missing, expected, guesses)


def _missing(texts: pd.Series, read: _Read) -> Mask:
    missing: Mask = np.array(texts == "", bool)
    unread = np.flatnonzero((read.micros == _NAT) & ~missing)
    missing[unread] = [text.lower() in MISSING for text in texts.iloc[unread]]
    return missing


def _to_utc(read: _Read, timezone: str) -> Mask:
    """Take local times as of a time zone; mask those that a change of the clocks skips or repeats."""
    mask = read.local & (read.micros != _NAT)
    local = pd.Series(read.micros[mask].view("datetime64[us]"))
    zoned = local.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT")
    odd = zoned.isna()
    if odd.any():
        summer = np.ones(int(odd.sum()), bool)
        zoned[odd] = local[odd].dt.tz_localize(timezone, ambiguous=summer, nonexistent="shift_forward")
    read.micros[mask] = zoned.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    shifted = np.zeros(len(mask), bool)
    shifted[mask] = odd
    return shifted


def _datetimes(cells: pd.Series) -> _Read:
    local = np.full(len(cells), cells.dt.tz is None)
    utc = cells if cells.dt.tz is None else cells.dt.tz_convert("UTC").dt.tz_localize(None)
    values = utc.to_numpy()
    unit = np.datetime_data(values.dtype)[0]
    micros = values.view(np.int64)
    if unit == "ns":
        micros = micros // 1_000
    elif unit != "us":
        micros = _scaled(micros, _SECOND if unit == "s" else 1_000)
    return _Read(np.where(np.isnat(values), _NAT, micros), local, np.zeros(len(cells), bool))


def _scaled(numbers: NDArray[np.generic], factor: float) -> Micros:
    """Return numbers times a factor as microseconds; `_NAT` beyond the range."""
    fits = np.abs(numbers.astype(np.float64)) < 2.0**62 / factor
    if numbers.dtype.kind in "iu" and factor >= 1:
        return np.where(fits, np.where(fits, numbers, 0).astype(np.int64) * int(factor), _NAT)
    scaled = np.where(fits, numbers, 0).astype(np.float64) * factor
    return np.where(fits, np.rint(scaled).astype(np.int64), _NAT)


def _numbers(numbers: NDArray[np.generic]) -> _Read:
    """Read numbers, none of them missing, in the unit that is plausible for most."""
    read, floats = _Read.nothing(len(numbers)), numbers.astype(np.float64)
    low, high = plausible_seconds()
    plausible = [(floats >= low * unit) & (floats <= high * unit) for unit in POSIX_UNITS]
    counts = [int(mask.sum()) for mask in plausible]
    if 2 * max(counts) < len(numbers):
        for written in (_digits, _excel):
            micros = written(numbers)
            within = (micros >= low * _SECOND) & (micros <= high * _SECOND)
            if 2 * within.sum() > len(numbers):
                return _Read(np.where(within, micros, _NAT), ~read.local, read.odd)
    if not max(counts):  # as small numbers in tests and samples
        read.micros = np.where(np.abs(floats) < _MILLISECONDS, _scaled(numbers, _SECOND), _scaled(numbers, 1_000))
        return read
    main = int(np.argmax(counts))
    read.micros = _scaled(numbers, _SECOND / POSIX_UNITS[main])
    for unit, mask in zip(POSIX_UNITS, plausible, strict=True):
        if unit != POSIX_UNITS[main]:
            read.micros[mask] = _scaled(numbers[mask], _SECOND / unit)
            read.odd |= mask
    return read


def _digits(numbers: NDArray[np.generic]) -> Micros:
    """Read numbers whose digits are a date and perhaps a time: 20241101, 20241101101500; also 2024 and 202411."""
    floats = numbers.astype(np.float64)
    whole = np.where((floats >= 1e3) & (floats < 1e14) & (floats % 1 == 0), floats, 0).astype(np.int64)
    day, clock = np.zeros_like(whole), np.zeros_like(whole)
    for length in (4, 6, 8, 10, 12, 14):
        mask = (whole >= 10 ** (length - 1)) & (whole < 10**length)
        if length <= 8:
            first = 101 % 10 ** (8 - length)  # of a month, or of January
            day[mask] = whole[mask] * 10 ** (8 - length) + first
        else:
            day[mask] = whole[mask] // 10 ** (length - 8)
            clock[mask] = whole[mask] % 10 ** (length - 8) * 10 ** (14 - length)
    year, month, date = day // 10_000, day // 100 % 100, day % 100
    hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (date - 1)
    valid = (month >= 1) & (month <= 12) & (date >= 1) & (days.astype("datetime64[M]") == months)
    valid &= (hour < 24) & (minute < 60) & (second < 60)
    time = (hour * 3600 + minute * 60 + second) * _SECOND
    return np.where(valid, days.astype("datetime64[us]").view(np.int64) + time, _NAT)


def _excel(numbers: NDArray[np.generic]) -> Micros:
    """Read numbers as days since Excel's epoch, to the millisecond."""
    micros = _scaled(numbers.astype(np.float64) + (EXCEL_EPOCH - _EPOCH).days, _DAY)
    return np.where(micros == _NAT, _NAT, (micros + 500) // 1_000 * 1_000)


def _texts(texts: pd.Series) -> tuple[_Read, str]:
    """Read strings, and return what was expected of bad ones."""
    read, expected = _Read.nothing(len(texts)), EXPECTED
    array = pa.array(texts, from_pandas=True).cast(pa.string())
    left = pc.not_equal(array, "").to_numpy(zero_copy_only=False)
    filled = array if left.all() else array.filter(pa.array(left))
    uniform = _uniform(filled)
    if uniform is not None:
        read.put(left, uniform)
        return read, expected
    for form in (_numerals, _local, _zoned):
        mask = left.copy()
        mask[left], found = form(array.filter(pa.array(left)))
        read.put(mask, found)
        left &= ~mask
    if left.any():
        found, expected = _written(texts[left].tolist())
        read.put(left, found)
    return read, expected


def _uniform(array: pa.Array) -> _Read | None:
    """Read strings that are all of one usual form; None if they are not."""
    nothing = np.zeros(len(array), bool)
    for kind, local in ((pa.timestamp("us"), ~nothing), (pa.timestamp("us", "UTC"), nothing)):
        micros = _of_all(array, kind)
        if micros is not None:
            return _Read(micros, local, nothing)
    numbers = _of_all(array, pa.int64())
    return None if numbers is None else _numbers(numbers)


def _of_all(array: pa.Array, kind: pa.DataType) -> Micros | None:
    """Convert an array, or return None; a failure takes long, so that the first value is tried before."""
    try:
        _cast(array.slice(0, 1), kind)
        return _cast(array, kind)
    except pa.ArrowInvalid:
        return None


def _local(array: pa.Array) -> tuple[Mask, _Read]:
    """Read ISO 8601 without a zone; return the mask of what was matched, and what was read there."""
    mask = _matching(array, f"{_ISO}$")
    micros = _cast_each(array.filter(pa.array(mask)), pa.timestamp("us"))
    return mask, _Read(micros, np.ones(len(micros), bool), np.zeros(len(micros), bool))


def _zoned(array: pa.Array) -> tuple[Mask, _Read]:
    """Read ISO 8601 with an offset, "Z" or "UTC"."""
    mask = _matching(array, _ISO + _ZONE)
    micros = _cast_each(array.filter(pa.array(mask)), pa.timestamp("us", "UTC"))
    return mask, _Read(micros, np.zeros(len(micros), bool), np.zeros(len(micros), bool))


def _cast(array: pa.Array, kind: pa.DataType) -> Micros:
    if pa.types.is_timestamp(kind) and kind.tz and len(array) and array[0].as_py().endswith("UTC"):
        array = pc.replace_substring_regex(array, " ?UTC$", "Z")
    micros: Micros = array.cast(kind).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return micros.copy()


def _cast_each(array: pa.Array, kind: pa.DataType) -> Micros:
    """Read ISO 8601; days that no calendar has are `_NAT`."""
    array = pc.replace_substring_regex(array, " ?UTC$", "Z")
    try:
        return _cast(array, kind)
    except pa.ArrowInvalid:
        times = pd.to_datetime(array.to_pandas(), format="ISO8601", utc=True, errors="coerce")
        return times.dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64).copy()


def _numerals(array: pa.Array) -> tuple[Mask, _Read]:
    """Read numbers, whole or not."""
    mask = pc.ascii_is_decimal(array).to_numpy(zero_copy_only=False).copy()
    mask[~mask] = _matching(array.filter(pa.array(~mask)), f"^(?:{NUMBER.pattern})$")
    numerals = array.filter(pa.array(mask))
    try:
        numbers = numerals.cast(pa.int64())
    except pa.ArrowInvalid:
        numbers = numerals.cast(pa.float64())
    return mask, _numbers(numbers.to_numpy(zero_copy_only=False))


def _matching(array: pa.Array, pattern: str) -> Mask:
    mask: Mask = pc.match_substring_regex(array, pattern).to_numpy(zero_copy_only=False)
    return mask


def _written(texts: list[str]) -> tuple[_Read, str]:
    """Read strings one by one, and return what was expected of bad ones."""
    dates = [match for match in map(day_or_month, dict.fromkeys(texts)) if match]
    orders = {order_of(match) for match in dates if match["separator"] != "."} - {None}
    order = orders.pop() if len(orders) == 1 else None
    values = {text: _value(text, order) for text in dict.fromkeys(texts)}
    read = _Read(
        np.array([values[text][0] for text in texts], np.int64),
        np.array([values[text][1] for text in texts], bool),
        np.zeros(len(texts), bool),
    )
    unclear = next((match[0] for match in dates if values[match[0]][0] == _NAT and order_of(match) is None), None)
    if unclear is None:
        return read, EXPECTED
    return read, f'{EXPECTED}; if the day is first, say timestamp_format = "{_format_of(unclear)}"'


def _value(text: str, order: Order | None) -> tuple[int, bool]:
    """Return microseconds, and whether they are local."""
    local = parse(text, order)
    if local is None:
        return _NAT, False
    offset = local.offset or timedelta()
    return (local.time - _EPOCH) // timedelta(microseconds=1) - offset // timedelta(
        microseconds=1
    ), local.offset is None


def _format_of(text: str) -> str:
    """Return the format of a date with the day first, as in `datetime.strptime`."""
    match = day_or_month(text)
    assert match is not None
    day = match["separator"].join(("%d", "%m", "%Y" if len(match["year"]) == 4 else "%y"))
    clock = "" if match["hour"] is None else text[match.end("year") : match.start("hour")]
    if match["hour"] is not None:
        clock += ("%I:%M" if match["half"] else "%H:%M") + (":%S" if match["second"] else "")
        clock += " %p" if match["half"] else ""
    return day + clock


def _formatted(texts: pd.Series, format: str) -> tuple[_Read, str]:
    zoned = "%z" in format
    times = pd.to_datetime(texts.where(texts != "", None), format=format, errors="coerce", utc=zoned)
    naive = times.dt.tz_localize(None) if zoned else times
    micros = naive.to_numpy("datetime64[us]").view(np.int64).copy()
    expected = f"a date as {format}, such as {_example(format)}"
    if (micros == _NAT).all():
        return _texts(texts)[0], expected
    return _Read(micros, np.full(len(texts), not zoned), np.zeros(len(texts), bool)), expected


def _example(format: str) -> str:
    return datetime(2026, 11, 23, 6, 41, 7).strftime(format)
