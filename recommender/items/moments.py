"""Read one moment, as files and requests write it: ISO 8601, e-mail and American dates, POSIX numbers."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple

import numpy as np

from recommender.errors import RequestError
from recommender.items.schema import MISSING

# No shop has events from before the web; earlier moments are zeros, defaults and mistaken units.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_YEARS_AHEAD = 5  # of a sale, or of a product to come
EXCEL_EPOCH = datetime(1899, 12, 30)

Order = Literal["day first", "month first"]

# Units of POSIX times per second; a number that is plausible in one of them is not in another.
POSIX_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)
NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d*)?(?:[eE][+-]?\d{1,2})?")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONES = {
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "CET": 1,
    "CEST": 2,
}
_TIME = (
    r"(?:(?:[T,\s]|\sat\s)\s*(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,12}))?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?)?"
)
_ZONE = r"\s*(?P<zone>[Zz]|(?:UTC|GMT|UT)?\s*[+-]\d\d(?::?\d\d)?|[A-Z]{2,4})?(?:\s*[\[(][^\])]*[\])])?"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}\.?,?\s+)?"
_MONTH = rf"(?P<month>(?:{'|'.join(_MONTHS)})[a-z]{{0,6}})\.?"
_YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})([-/.])(?P<month>\d{{1,2}})(?:\2(?P<day>\d{{1,2}}))?{_TIME}{_ZONE}")
_COMPACT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    rf"(?:[T\s]?(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{{1,12}}))?)?)?)?{_ZONE}"
)
_FORMS = (
    _YEAR_FIRST,
    _COMPACT,
    re.compile(
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.?[\s-]+{_MONTH},?[\s-]+(?P<year>\d{{4}}){_TIME}{_ZONE}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}}){_TIME}{_ZONE}",
        re.IGNORECASE,
    ),
    # ctime: the year stands last
    re.compile(
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}}){_TIME.rstrip('?')}{_ZONE}\s+(?P<year>\d{{4}})", re.IGNORECASE
    ),
)
_DAY_OR_MONTH = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<separator>[-/.])(?P<last>\d{{1,2}})(?P=separator)(?P<year>\d{{4}}|\d\d){_TIME}{_ZONE}"
)


class Local(NamedTuple):
    """A date and time as written: without zone, and the offset from UTC if it was written."""

    time: datetime
    offset: timedelta | None

    def utc(self) -> datetime:
        """Return the moment, in UTC where no offset was written."""
        return (self.time - (self.offset or timedelta())).replace(tzinfo=UTC)


def plausible_seconds() -> tuple[float, float]:
    """Return the POSIX seconds of the first and the last plausible moment: 1990, and some years from now."""
    latest = datetime.now(UTC) + timedelta(days=365 * _YEARS_AHEAD)
    return EARLIEST.timestamp(), latest.timestamp()


def parse(text: str, order: Order | None = None) -> Local | None:
    """Return a date and time of any known form; None if it is none, or if day and month may be exchanged.

    Parameters
    ----------
    text
        Such as "2024-11-01T10:00:00.25+01:00", "20241101", "Fri, 1 Nov 2024 10:00 GMT" or "11/01/2024 10:00 AM".
    order
        Of day and month in "11/01/2024"; None refuses those that may be either.

    >>> parse("Nov 1, 2024 10:00 PM").time.isoformat(), parse("01/11/2024"), parse("31/12/2024").time.isoformat()
    ('2024-11-01T22:00:00', None, '2024-12-31T00:00:00')
    """
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is not None and (local := _local(match, match["day"] or "1", match["month"])):
            return local
    match = _DAY_OR_MONTH.fullmatch(text)
    order = None if match is None else order_of(match) or order
    if match is None or order is None:
        return None
    pair = match["first"], match["last"]
    return _local(match, *(pair if order == "day first" else pair[::-1]))


def day_or_month(text: str) -> re.Match[str] | None:
    """Return the match of a date that begins with the day or the month, in digits; None for another text."""
    return _DAY_OR_MONTH.fullmatch(text)


def order_of(match: re.Match[str]) -> Order | None:
    """Return the order of day and month that a date shows by itself; with points the day is first."""
    if match["separator"] == "." or int(match["first"]) > 12:
        return "day first"
    return "month first" if int(match["last"]) > 12 else None


def _local(match: re.Match[str], day: str, month: str) -> Local | None:
    parts = match.groupdict()
    hour, half = int(parts["hour"] or 0), (parts.get("half") or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0) if 1 <= hour <= 12 else -1  # "13 pm" is none
    try:
        return Local(
            datetime(
                int(match["year"]) + (2000 if len(match["year"]) == 2 else 0),
                int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1,
                int(day),
                hour,
                int(parts["minute"] or 0),
                int(parts["second"] or 0),
                int(f"{parts['fraction'] or '0':0<6}"[:6]),
            ),
            _offset(match["zone"]),
        )
    except (ValueError, KeyError):
        return None


def _offset(zone: str | None) -> timedelta | None:
    """Return the offset of a zone; None if there is none.

    Raises
    ------
    KeyError
        If it has an unknown name.
    """
    if not zone:
        return None
    digits = re.search(r"([+-])(\d\d):?(\d\d)?$", zone)
    if digits is None:
        return timedelta(hours=0 if zone.upper() in ("Z", "UTC", "GMT", "UT") else _ZONES[zone.upper()])
    sign = -1 if digits[1] == "-" else 1
    return sign * timedelta(hours=int(digits[2]), minutes=int(digits[3] or 0))


def as_moment(value: Any) -> datetime | None:
    """Return a value of Python or JSON as a moment in UTC; None where it is missing.

    Parameters
    ----------
    value
        A datetime, date, numpy or pandas moment, a text that `parse` reads but for "31/12/2024", or a number of
        POSIX seconds, milliseconds, microseconds or nanoseconds, whichever is plausible. Without a zone it is in
        UTC.

    Raises
    ------
    ValueError
        If it is none of these, or beyond the years 1 to 9999.
    """
    if isinstance(value, np.datetime64 | np.generic):
        value = value.astype("datetime64[us]").item() if isinstance(value, np.datetime64) else value.item()
    if isinstance(value, str):
        value = value.strip()
    if _is_missing(value):
        return None
    try:
        moment = _moment(value)
    except OverflowError:
        moment = None
    if moment is None:
        raise ValueError(f"{value!r} is no moment; expected such as '2026-11-23T06:41:07Z', or POSIX seconds")
    return moment


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.casefold() in MISSING
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        if NUMBER.fullmatch(value):
            return _from_number(float(value))
        local = None if day_or_month(value) else parse(value)  # no column shows which is first
        return None if local is None else local.utc()
    return _from_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _from_number(number: float) -> datetime | None:
    """Return the moment of a number: POSIX in its plausible unit, else digits of a date, else POSIX seconds."""
    low, high = plausible_seconds()
    for unit in POSIX_UNITS:
        if low <= number / unit <= high:
            return datetime.fromtimestamp(number / unit, UTC)
    local = parse(str(int(number))) if number == int(number) else None
    if local is not None and local.time.year >= EARLIEST.year:
        return local.utc()
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=number)


def past_seconds(value: Any, name: str) -> float | None:
    """Return a moment of the past in POSIX seconds; None for None.

    Parameters
    ----------
    value
        In any of the forms of `as_moment`.
    name
        Of the parameter, for the error.

    Raises
    ------
    RequestError
        If it is no moment, before 1990, or in the future.
    """
    if value is None:
        return None
    try:
        moment = as_moment(value)
    except ValueError:
        moment = None
    if moment is None or not EARLIEST <= moment <= datetime.now(UTC):
        expected = "a moment of the past such as 2026-11-23T02:00Z"
        raise RequestError(f"{name} is {str(value)[:60]!r}; expected {expected}", f"/{name}")
    return moment.timestamp()
