"""Read files of events: columns of any name, or JSON Lines as the HTTP API takes them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from recommender.catalog.event_checks import ORDERED, EventChecks
from recommender.catalog.files.tables import Table, read_parts, read_table
from recommender.catalog.formats import as_events, format_of_events
from recommender.catalog.headings import respelled
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings
from recommender.catalog.values.moments import read_moments
from recommender.catalog.where import names_in, select
from recommender.config import EventsConfig
from recommender.errors import DataError, nearest
from recommender.events import EARLIEST, Event, latest_plausible

_IDS = ("user_id", "item_id")
_NUMBERS = ("value", "quantity", "price")
_PERIOD = f"a moment from {EARLIEST.year} until now"
HOUR = "hour"  # a context that the timestamp says
_CONTEXT = ("event_id", "session_id", "recommendation_id")
_NAMES = {*_IDS, "event_name", "timestamp", *_NUMBERS, *_CONTEXT, "transaction_id", "order_id", "currency"}


def context_column(name: str) -> str:
    """Return the column of a table of events that has a context, which may be named as another column is."""
    return f"context.{name}"


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

    A repeated event is left out only within one part.

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
    table = _selected(table, config, report)
    if config.user_id not in table.frame and "session_id" in table.frame:
        table = table.with_frame(table.frame.assign(**{config.user_id: ""}))
    for name in (*_IDS, "timestamp"):
        table.require(getattr(config, name), f"the event's {name}")
    raw, checks = table.frame, EventChecks(table, report)
    frame = pd.DataFrame({name: strings(raw[getattr(config, name)]) for name in _IDS})
    frame["user_id"] = checks.users(frame["user_id"])
    for name in _CONTEXT:
        frame[name] = strings(raw[name]) if name in raw else pd.Series("", frame.index, dtype="str")
    for name in config.context:
        if name != HOUR:
            table.require(name, "a context of the event")
            frame[context_column(name)] = strings(raw[name])
    frame["event_name"] = _event_names(table, config)
    moments = read_moments(raw[config.timestamp], config.timezone, config.timestamp_format)
    frame["timestamp"] = moments.times
    for mask, done in moments.guesses:
        checks.report("timestamp in doubt", mask, raw[config.timestamp], f"a plain one; it is {done}", "warning")
    for name in _NUMBERS:
        frame[name] = checks.numbers(name, getattr(config, name))
    known = list(config.all_weights())
    frame = checks.returns(frame, known)
    frame["value"] = checks.stars(frame["event_name"], frame["value"])
    checks.currencies(raw)
    names = f"one of {', '.join(known)}, or an entry in [events.weights]"
    nobody = (frame["user_id"] == "") & (frame["session_id"] == "")
    checks.drop("event without a user", nobody, raw[config.user_id], "an id")
    checks.drop("event without a product", frame["item_id"] == "", raw[config.item_id], "an id")
    checks.drop("bad timestamp", frame["timestamp"].isna(), raw[config.timestamp], moments.expected)
    checks.drop("implausible timestamp", _implausible(frame["timestamp"]), raw[config.timestamp], _PERIOD)
    checks.drop("unknown event name", ~frame["event_name"].isin(known), frame["event_name"], names)
    nothing = (frame["event_name"] == "purchase") & (frame["quantity"] == 0)
    checks.drop("zero quantity", nothing, frame["quantity"], "at least 1 bought")
    key = ["item_id", "event_name", "user_id"]
    frame = checks.add_lines(frame, ["event_id", *key])
    checks.drop_repeated(frame[["event_id", *key]], "event_id")
    if (transaction := _transaction(table, config)) is not None:
        orders = transaction.where(frame["event_name"].isin(ORDERED), "")
        lines = frame[[*key, "quantity", "price"]].assign(**{str(orders.name): orders})
        checks.drop_repeated(lines.assign(nth=checks.nth_in_row(lines)), str(orders.name))
    return table.with_frame(frame).where(checks.valid)


def _transaction(table: Table, config: EventsConfig) -> pd.Series | None:
    """Return the column of the order's id; None if there is none."""
    if config.transaction_id is not None:
        table.require(config.transaction_id, "the event's transaction_id")
    names = ("transaction_id", "order_id") if config.transaction_id is None else (config.transaction_id,)
    name = next((name for name in names if name in table.frame), None)
    return None if name is None else strings(table.frame[name]).rename(name)


def _implausible(times: pd.Series) -> "pd.Series[bool]":
    """Mask the moments at which no event can have happened, see `recommender.events.is_plausible`."""
    first, last = (pd.Timestamp(moment).tz_localize(None) for moment in (EARLIEST, latest_plausible()))
    return (times < first) | (times > last)


def _selected(table: Table, config: EventsConfig, report: DataReport) -> Table:
    """Return the events of a file, a row for each product, for which `where` holds."""
    format = config.format if config.format or config.names_columns() else format_of_events(table, report)
    if format is None:
        names = respelled(map(str, table.frame), _NAMES, str(config))
        table = table.with_frame(table.frame.rename(columns=names))
    if config.where is None:
        return _per_item(as_events(table, format, report))
    columns = {name: getattr(config, name) for name in (*_IDS, "event_name", "timestamp", *_NUMBERS)}
    if names_in(config.where, "events") <= {*map(str, table.frame)}:
        table = table.where(select(table, config.where, "events", columns, report))
        return _per_item(as_events(table, format, report))
    table = _per_item(as_events(table, format, report))
    return table.where(select(table, config.where, "events", columns, report))


def _per_item(table: Table) -> Table:
    """Give each product of an event's `items`, as in the HTTP API, its own row."""
    if "items" not in table.frame:
        return table
    frame = table.frame.assign(row=table.rows).explode("items", ignore_index=True)
    items = pd.DataFrame([item if isinstance(item, dict) else {} for item in frame["items"]], index=frame.index)
    rest = frame.drop(columns=["items", *(name for name in items if name in frame)])
    joined = rest.join(items).drop(columns="row")
    return replace(table, frame=joined, rows=frame["row"].to_numpy(np.int64))


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
