"""Interactions: the events of users with the products of a catalogue."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.catalog import Catalog
from recommender.catalog.event_checks import ORDERED
from recommender.catalog.event_files import context_column, event_table
from recommender.catalog.files.tables import Table, frame_table, read_table
from recommender.catalog.losses import UNCLEAR_ID
from recommender.catalog.report import DataReport, Severity
from recommender.catalog.users import Users
from recommender.catalog.values.cells import Mask
from recommender.catalog.values.ids import EXACT, OTHER_FORM, UNKNOWN, match_ids
from recommender.config import Config, EventsConfig
from recommender.core.blocks import Rows
from recommender.errors import ConfigError, nearest
from recommender.events import Event

_COLUMNS = ["user_id", "item_id", "row", "event_name", "timestamp", "value"]
_UNKNOWN_KINDS = {UNKNOWN: "event of an unknown product", OTHER_FORM: UNCLEAR_ID}
# What the ids of users begin with who are known by their session alone.
SESSION = "session:"
_AMOUNTS = ("value", "quantity", "price")
_FIELDS = ("user_id", "session_id", "item_id", "event_name", "timestamp", *_AMOUNTS)


@dataclass(frozen=True)
class Interactions:
    """The events of users with the products of a catalogue.

    Attributes
    ----------
    frame
        user_id, item_id and event_name as strings; row, int32, of the product; timestamp, datetime64[us] in UTC
        without zone; value, float64, NaN missing. Sorted by user and time, ties in the order of the file;
        RangeIndex. An event without a user belongs to the user "session:" and its session id.
    weights
        The weight of each event name.
    report
        Problems of the file.
    users
        The attributes of the users, where they are known.
    context
        The names of what is known of the circumstances of events, see `EventsConfig`; each but the hour has a
        column of strings in `frame`, see `context_column`.
    """

    frame: pd.DataFrame
    weights: Mapping[str, float]
    report: DataReport = field(default_factory=DataReport)
    users: Users | None = None
    context: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def load(cls, config: Config, catalog: Catalog, strict: bool = False) -> Self:
        """Read the events that a config names; those of unknown products are reported and left out.

        Raises
        ------
        DataError
            If the file cannot be read or lacks a mapped column; with `strict`, if anything in it was left out.
        ConfigError
            If the config names no events.
        """
        if config.events is None:
            raise ConfigError("the config has no [events]; expected a table with a path")
        report = DataReport()
        path = config.resolve(config.events.path)
        events = event_table(read_table(path, report), config.events, report)  # the raw cells are dropped at once
        return cls._checked(events, config.events, catalog, report, strict)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        catalog: Catalog,
        weights: Mapping[str, float] | None = None,
        *,
        strict: bool = False,
        **mapping: Any,
    ) -> Self:
        """Take events from a pandas frame, with the checks that a file goes through.

        Parameters
        ----------
        frame
            One event a row, its columns named as in a file: user_id, item_id, event_name, timestamp and, where
            known, value, quantity and price. Whole numbers are ids, too: 12 is "12".
        catalog
            The products; events of others are reported and left out.
        weights
            As in a config's ``[events.weights]``.
        strict
            Whether a problem that leaves something out is an error.
        mapping
            As in a config's ``[events]``, such as ``user_id="customer"`` or ``event_name="purchase"``.

        Raises
        ------
        DataError
            If the frame has no rows, lacks a column, or has ids that are floats; with `strict`, if anything was
            left out.
        ConfigError
            If the mapping has an unknown key.
        """
        name, entries = "events frame", {"weights": dict(weights or {}), **mapping}
        config = Config.from_mapping({"catalog": {"path": ""}, "events": {"path": name, **entries}}).events
        assert config is not None
        report = DataReport()
        table = frame_table(frame, name, (config.user_id, config.item_id), 'user_id="customer"', report)
        return cls._checked(event_table(table, config, report), config, catalog, report, strict)

    @classmethod
    def from_events(
        cls, events: Iterable[Event], catalog: Catalog, weights: Mapping[str, float] | None = None
    ) -> Self:
        """Take events, such as those of a store; there may be none."""
        config = EventsConfig.model_validate({"path": "", "weights": dict(weights or {})})
        report = DataReport()
        return cls._of(event_table(table_of_events(events), config, report), config, catalog, report)

    @classmethod
    def from_tables(cls, tables: Sequence[Table], catalog: Catalog, config: EventsConfig) -> Self:
        """Take the events of several sources, an event that more than one of them has once.

        Events are the same if user, product, name and moment are; where one source has several of them, as many
        as the source that has most.

        Parameters
        ----------
        tables
            See `recommender.catalog.event_files.event_table`.
        catalog
            The products; events of others are reported and left out.
        config
            Weights of the events.
        """
        return cls._of(_union(tables), config, catalog, DataReport())

    @classmethod
    def _checked(
        cls, table: Table, config: EventsConfig, catalog: Catalog, report: DataReport, strict: bool
    ) -> Self:
        """Match the events of a table with the products and print its problems; raise if `strict`."""
        interactions = cls._of(table, config, catalog, report)
        report.print_summary()
        report.raise_if_strict(strict)
        return interactions

    @classmethod
    def _of(cls, table: Table, config: EventsConfig, catalog: Catalog, report: DataReport) -> Self:
        table = _without_excluded(table, catalog, report)
        rows, how = match_ids(table.frame["item_id"], catalog.ids, catalog.aliases)
        _report_matches(table, rows, how, catalog, report)
        known = table.where(rows >= 0)
        context = [name for name in map(context_column, config.context) if name in known.frame]
        frame = _of_products(known.frame, rows[rows >= 0], how[rows >= 0] != EXACT, catalog, context)
        report.count_used("events", table.name, len(frame))
        cancelled = _cancelled(frame)
        returned = frame["item_id"][cancelled].tolist()
        message = "was returned; the purchase counts for nothing"
        report.add("returned purchase", table.name, known.rows[cancelled], returned, lambda i: message, "warning")
        columns = [*_COLUMNS, *context]
        frame = frame[columns] if not cancelled.any() else frame.loc[~cancelled, columns]
        report.facts |= {"events": len(frame), "users": frame["user_id"].nunique()}
        return cls(_sorted(frame), config.all_weights(), report, context=tuple(config.context))

    def joined(self, other: "Interactions") -> "Interactions":
        """Return the events of both; weights of `other` have precedence."""
        report = DataReport(self.report.shown)
        report.merge(self.report)
        report.merge(other.report)
        frame = _sorted(pd.concat([self.frame, other.frame]))
        texts = [name for name in frame if name not in _COLUMNS]
        frame = frame.fillna(dict.fromkeys(texts, "")) if texts else frame
        users = other.users if self.users is None else self.users
        context = tuple(dict.fromkeys((*self.context, *other.context)))
        return Interactions(frame, {**self.weights, **other.weights}, report, users, context)

    def with_users(self, users: Users) -> "Interactions":
        """Return the events with the attributes of their users; what does not match is reported.

        Raises
        ------
        DataError
            If none of the users has an event.
        """
        ids = self.frame["user_id"].unique()
        users.match([user for user in ids if not user.startswith(SESSION)])
        return replace(self, users=users)

    def before(self, date: datetime) -> "Interactions":
        """Return the events before a time (UTC where it has no zone)."""
        return self._where(self.frame["timestamp"] < _naive(date))

    def since(self, date: datetime) -> "Interactions":
        """Return the events from a time on (UTC where it has no zone)."""
        return self._where(self.frame["timestamp"] >= _naive(date))

    def _where(self, mask: "pd.Series[bool]") -> "Interactions":
        return replace(self, frame=self.frame[mask].reset_index(drop=True))

    def histories(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield each user, ascending, with their part of `frame`, oldest event first."""
        users = self.frame["user_id"].to_numpy(object)
        starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]]) if len(users) else np.array([], int)
        for start, end in zip(starts, [*starts[1:], len(users)], strict=False):
            yield users[start], self.frame.iloc[start:end]

    def event_weights(self) -> NDArray[np.float64]:
        """Return the weight of each event, see `recommender.events.event_weight`, shape (events,)."""
        codes, names = pd.factorize(self.frame["event_name"])
        weights = np.array([*(self.weights.get(name, 0.0) for name in names), 0.0], dtype=np.float64)[codes]
        value = self.frame["value"].to_numpy(np.float64)
        rated = np.array([*(name == "rate" for name in names), False])[codes] & ~np.isnan(value)
        return np.where(rated, weights * (value - 3.0), weights)


def table_of_events(events: Iterable[Event]) -> Table:
    """Return events, such as those of a store, as the table of a file."""
    rows = list(map(attrgetter(*_FIELDS), events))
    frame = pd.DataFrame(rows, columns=list(_FIELDS)).astype(dict.fromkeys(_AMOUNTS, "float64"))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    return Table("events", frame, np.arange(1, len(frame) + 1, dtype=np.int64))


def _union(tables: Sequence[Table]) -> Table:
    """Return the events of all tables, without those of later ones that earlier ones have."""
    frames = [table.frame for table in tables[:1]]
    for table in tables[1:]:
        moments = table.frame["timestamp"]
        known = _numbered(pd.concat(frame[frame["timestamp"].isin(moments)] for frame in frames))
        repeated = pd.MultiIndex.from_frame(_numbered(table.frame)).isin(pd.MultiIndex.from_frame(known))
        frames.append(table.frame[~repeated])
    frame = pd.concat(frames, ignore_index=True)
    return Table("events", frame, np.arange(1, len(frame) + 1, dtype=np.int64))


def _numbered(events: pd.DataFrame) -> pd.DataFrame:
    """Return what identifies events that have no id, with the number of equal ones before each."""
    users = events["user_id"].mask(events["user_id"] == "", SESSION + events["session_id"])
    keys = events[["item_id", "event_name", "timestamp"]].assign(user_id=users)
    return keys.assign(nth=keys.groupby([*keys], sort=False).cumcount())


def _of_products(
    frame: pd.DataFrame, rows: Rows, rewritten: NDArray[np.bool_], catalog: Catalog, context: list[str]
) -> pd.DataFrame:
    """Return events with the row of each product, its own id, and a session's id where no user is known."""
    users = frame["user_id"]
    if (nobody := users == "").any():
        users = users.mask(nobody, SESSION + frame["session_id"])
    frame = frame[["item_id", "event_name", "timestamp", "value", "quantity", *context]].assign(
        user_id=users, row=rows
    )
    if rewritten.any():
        frame.loc[rewritten, "item_id"] = [catalog.ids[row] for row in frame.loc[rewritten, "row"]]
    return frame


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["user_id", "timestamp"], kind="stable", ignore_index=True)


def _cancelled(frame: pd.DataFrame) -> Mask:
    """Mask the purchases that were returned: of a user and product, each refund cancels the purchase before it.

    A refund of fewer pieces than were bought cancels nothing.
    """
    refunds = frame["event_name"] == "refund"
    mask = np.zeros(len(frame), bool)
    if not refunds.any():
        return mask
    pair = pd.MultiIndex.from_frame(frame[["user_id", "row"]])
    concerned = np.flatnonzero(pair.isin(pair[refunds]) & frame["event_name"].isin(ORDERED).to_numpy(bool))
    events = frame.iloc[concerned].assign(position=concerned, refund=refunds.iloc[concerned])
    events = events.sort_values(["timestamp", "refund"], kind="stable")
    bought: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    columns = (events[name].tolist() for name in ("user_id", "row", "refund", "quantity", "position"))
    for user, row, is_refund, quantity, position in zip(*columns, strict=True):
        purchases = bought[user, row]
        if not is_refund:
            purchases.append((position, quantity))
        elif purchases and not quantity < purchases[-1][1]:  # unknown quantities are whole ones
            mask[purchases.pop()[0]] = True
    return mask


def _naive(date: datetime) -> pd.Timestamp:
    moment = pd.Timestamp(date)
    return moment if moment.tzinfo is None else moment.tz_convert(UTC).tz_localize(None)


def _without_excluded(table: Table, catalog: Catalog, report: DataReport) -> Table:
    """Return the events but those of products that `[catalog] where` leaves out; their number is a fact."""
    excluded = table.frame["item_id"].isin(catalog.excluded).to_numpy(bool)
    if excluded.any():
        report.facts["events of products left out by [catalog] where"] = int(excluded.sum())
    return table.where(~excluded) if excluded.any() else table


def _report_matches(
    table: Table, rows: Rows, how: NDArray[np.object_], catalog: Catalog, report: DataReport
) -> None:
    """Report the events whose product is unknown, and those whose id is written differently in the catalogue."""
    inexact = np.flatnonzero(how != EXACT)
    for way in dict.fromkeys(how[inexact].tolist()):
        positions = inexact[how[inexact] == way]
        codes, _ = pd.factorize(table.frame["item_id"].iloc[positions])
        order, counts = _most_frequent_first(codes)
        positions = positions[order]
        ids = table.frame["item_id"].iloc[positions].tolist()
        severity: Severity = "left_out" if way in _UNKNOWN_KINDS else "warning"
        if way in _UNKNOWN_KINDS:
            kind, message = _UNKNOWN_KINDS[way], _unknown_message(ids, counts, way, catalog)
        else:
            named = [catalog.ids[row] for row in rows[positions]]
            kind, message = f"id matched by {way}", _matched_message(ids, named)
        report.add(kind, table.name, table.rows[positions], ids, message, severity, counts)


def _most_frequent_first(codes: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return an order of events in which one of each id comes first, and how many each of these stands for."""
    _, first = np.unique(codes, return_index=True)
    counts = np.bincount(codes)
    by_frequency = np.argsort(-counts, kind="stable")
    others = np.setdiff1d(np.arange(len(codes)), first)
    return np.r_[first[by_frequency], others], counts[by_frequency]


def _unknown_message(ids: list[str], counts: NDArray[np.intp], way: str, catalog: Catalog) -> Callable[[int], str]:
    def message(i: int) -> str:
        named = f", which {counts[i]:,} events name" if i < len(counts) and counts[i] > 1 else ""
        if way == OTHER_FORM:
            return f"no single product has this id{named}, but some have a similar one; expected the catalogue's"
        guess = nearest(ids[i], catalog.ids) if len(catalog) <= 10_000 else None
        hint = f" (did you mean {guess!r}?)" if guess else ""
        return f"the catalogue has no such product{hint}{named}"

    return message


def _matched_message(ids: list[str], named: list[str]) -> Callable[[int], str]:
    return lambda i: f"item_id is {ids[i]!r}; the catalogue has no such id; taken as the product {named[i]!r}"
