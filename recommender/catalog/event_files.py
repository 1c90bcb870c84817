"""Read files of events: columns of any name, or JSON Lines as the HTTP API takes them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.files.streams import read_parts
from recommender.catalog.files.tables import Table, read_table
from recommender.catalog.formats import as_events
from recommender.catalog.report import DataReport, Rows, Severity
from recommender.catalog.values.cells import numbers, strings
from recommender.catalog.values.ids import without_decimals
from recommender.catalog.values.moments import read_moments
from recommender.config import EventsConfig
from recommender.errors import DataError, nearest
from recommender.events import EARLIEST, Event, latest_plausible

_IDS = ("user_id", "item_id")
_NUMBERS = ("value", "quantity", "price")
_PERIOD = f"a moment from {EARLIEST.year} until now"
_CONTEXT = ("event_id", "session_id", "recommendation_id")


def read_events(path: Path | str, config: EventsConfig) -> Iterator[Event]:
    """Yield the events of a file in order; invalid ones are left out, with a notice.

    An event without an id gets a hash of its values and of the number of equal events before it, so that reading a
    file twice gives the same ids.

    Raises
    ------
    DataError
        If the file cannot be read or lacks a column.
    """
    report = DataReport()
    frame = event_table(read_table(Path(path), report), config, report).frame
    report.print_summary()
    texts = {name: frame[name].tolist() for name in (*_IDS, "event_name", *_CONTEXT)}
    values = {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in _NUMBERS}
    times = [moment.to_pydatetime().replace(tzinfo=UTC) for moment in frame["timestamp"]]
    columns = texts | values | {"timestamp": times, "event_id": _event_ids(frame)}
    for cells in zip(*columns.values(), strict=True):
        yield Event(**dict(zip(columns, cells, strict=True)))


def event_tables(path: Path, config: EventsConfig) -> Iterator[Table]:
    """Yield the events of a file, as `event_table` returns them, in parts that fit into memory.

    A repeated event in a file of `items` is left out only within one part.

    Raises
    ------
    DataError
        If the file cannot be read or lacks a column.
    """
    report = DataReport()
    for table in read_parts(path, report):
        yield event_table(table, config, report)
    report.print_summary()


def event_table(table: Table, config: EventsConfig, report: DataReport) -> Table:
    """Return the valid events of a table, and report the others.

    The frame has user_id, item_id, event_name, event_id, session_id and recommendation_id as strings ("" missing),
    timestamp as datetime64[us] in UTC without zone, and value, quantity and price as float64 (NaN missing).

    Raises
    ------
    DataError
        If it lacks a column.
    """
    table = _per_item(as_events(table, config.format))
    if config.user_id not in table.frame and "session_id" in table.frame:
        table = table.with_frame(table.frame.assign(**{config.user_id: ""}))
    for name in (*_IDS, "timestamp"):
        table.require(getattr(config, name), f"the event's {name}")
    raw, checks = table.frame, _Checks(table, report)
    frame = pd.DataFrame({name: strings(raw[getattr(config, name)]) for name in _IDS})
    frame["user_id"] = checks.users(frame["user_id"])
    for name in _CONTEXT:
        frame[name] = strings(raw[name]) if name in raw else pd.Series("", frame.index, dtype="str")
    frame["event_name"] = _event_names(table, config)
    moments = read_moments(raw[config.timestamp])
    frame["timestamp"] = moments.times
    for mask, done in moments.guesses:
        checks.report("timestamp in doubt", mask, raw[config.timestamp], f"a plain one; it is {done}", "warning")
    for name in _NUMBERS:
        frame[name] = checks.numbers(name, getattr(config, name))
    known = list(config.all_weights())
    names = f"one of {', '.join(known)}, or an entry in [events.weights]"
    nobody = (frame["user_id"] == "") & (frame["session_id"] == "")
    checks.drop("event without a user", nobody, raw[config.user_id], "an id")
    checks.drop("event without a product", frame["item_id"] == "", raw[config.item_id], "an id")
    checks.drop("bad timestamp", frame["timestamp"].isna(), raw[config.timestamp], moments.expected)
    checks.drop("implausible timestamp", _implausible(frame["timestamp"]), raw[config.timestamp], _PERIOD)
    checks.drop("unknown event name", ~frame["event_name"].isin(known), frame["event_name"], names)
    return table.with_frame(frame).where(checks.valid)


class _Checks:
    """Collects the valid rows of a table, and reports the others, each once."""

    def __init__(self, table: Table, report: DataReport) -> None:
        self._table, self._report = table, report
        self.valid: NDArray[np.bool_] = np.ones(len(table.frame), bool)

    def drop(self, kind: str, bad: "pd.Series[bool]", column: pd.Series, expected: str) -> None:
        """Drop and report the rows of a mask that were not dropped before."""
        mask = bad.to_numpy(bool) & self.valid
        self.report(kind, mask, column, f"{expected}; left out")
        self.valid &= ~mask

    def numbers(self, name: str, column: str) -> NDArray[np.float64]:
        """Return a column of numbers (n,), NaN where there is none, and report cells that are not numbers."""
        raw = self._table.frame
        if column not in raw:
            return np.full(len(raw), np.nan)
        values, bad = numbers(raw[column])
        self.report(f"bad {name}", bad, raw[column], "a number such as 12.50; taken as missing")
        return values

    def users(self, ids: pd.Series) -> pd.Series:
        """Return the ids of users, and report those that a column of floats wrote as 7.0 for 7."""
        whole, changed = without_decimals(ids)
        expected = "a whole number; taken as without its decimals"
        self.report("user id with a decimal point", changed, ids, expected, "warning")
        return whole

    def report(
        self, kind: str, mask: NDArray[np.bool_], column: pd.Series, expected: str, severity: Severity = "error"
    ) -> None:
        """Report the rows of a mask with their cells."""
        rows: Rows = self._table.rows[mask]
        cells = strings(column[mask]).tolist()
        self._report.add(
            kind,
            self._table.name,
            rows,
            [""] * len(rows),
            lambda i: f'{column.name} is "{cells[i]}"; expected {expected}',
            severity,
        )


def _implausible(times: pd.Series) -> "pd.Series[bool]":
    """Mask the moments at which no event can have happened, see `recommender.events.is_plausible`."""
    first, last = (pd.Timestamp(moment).tz_localize(None) for moment in (EARLIEST, latest_plausible()))
    return (times < first) | (times > last)


def _per_item(table: Table) -> Table:
    """Give each product of an event's `items`, as in the HTTP API, its own row."""
    if "items" not in table.frame:
        return table
    frame = table.frame.assign(row=table.rows).explode("items", ignore_index=True)
    items = pd.DataFrame([item if isinstance(item, dict) else {} for item in frame["items"]], index=frame.index)
    rest = frame.drop(columns=["items", *(name for name in items if name in frame)])
    joined = rest.join(items).drop(columns="row")
    repeated = joined.duplicated(["event_id", "item_id"]) if {"event_id", "item_id"} <= set(joined) else None
    flat = replace(table, frame=joined, rows=frame["row"].to_numpy(np.int64))
    return flat if repeated is None else flat.where(~repeated)


def _event_names(table: Table, config: EventsConfig) -> pd.Series:
    """Return the column of event names, or the one name of all events."""
    if config.event_name in table.frame:
        return strings(table.frame[config.event_name])
    known = config.all_weights()
    if config.event_name in known:
        return pd.Series(config.event_name, table.frame.index, dtype="str")
    columns = list(map(str, table.frame.columns))
    guess = nearest(config.event_name, [*columns, *known])
    raise DataError(
        f"{table.name} has no column {config.event_name!r}"
        + (f"; did you mean {guess!r}?" if guess else f" (its columns are {', '.join(columns)}).")
        + ' Where all events have one name, give that instead, such as event_name = "purchase"'
    )


def _event_ids(frame: pd.DataFrame) -> list[str]:
    """Return the id of each event, a hash where it has none."""
    values = frame[["user_id", "session_id", "item_id", "event_name", "timestamp", *_NUMBERS]]
    values = values.assign(timestamp=values["timestamp"].astype("int64"))  # microseconds
    values["before"] = values.groupby([*values], dropna=False, sort=False).cumcount()
    lines = zip(*(values[name].tolist() for name in values), strict=True)
    return [
        given or sha256("\x1f".join(map(str, line)).encode()).hexdigest()[:32]
        for given, line in zip(frame["event_id"].tolist(), lines, strict=True)
    ]
