"""The attributes of users: read, checked, and matched with the users of the events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from recommender.catalog.files.tables import Table, frame_table, read_table
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import Mask, is_multi, lists, numbers, strings
from recommender.catalog.values.ids import without_decimals
from recommender.catalog.values.kinds import are_codes, kind_of
from recommender.config import Config, UsersConfig
from recommender.errors import ConfigError, DataError, nearest
from recommender.items.schema import MISSING, Kind

_LEARNABLE = ("category", "multi", "number")
_SHOWN = 3  # ids in a message


@dataclass(frozen=True)
class Users:
    """The attributes of users.

    Attributes
    ----------
    frame
        One row a user, indexed by id; cells are strings, "" missing, or lists of strings.
    config
        Names the columns to learn from, and kinds.
    file
        Where they are from, for messages.
    report
        Problems of the file.
    """

    frame: pd.DataFrame
    config: UsersConfig
    file: str
    report: DataReport = field(default_factory=DataReport)

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def load(cls, config: Config, strict: bool = False) -> Self:
        """Read the users that a config names.

        Raises
        ------
        DataError
            If the file cannot be read, lacks a column or has no user; with `strict`, if anything was left out.
        ConfigError
            If the config names no users, or `learn` or `kinds` a column that is not there.
        """
        if config.users is None:
            raise ConfigError("the config has no [users]; expected a table with a path")
        report = DataReport()
        return cls._checked(read_table(config.resolve(config.users.path), report), config.users, report, strict)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, strict: bool = False, **mapping: Any) -> Self:
        """Take users from a pandas frame, with the checks that a file goes through.

        Parameters
        ----------
        frame
            One user a row: user_id, and attributes such as age, segment or country.
        strict
            Whether a problem that leaves something out is an error.
        mapping
            As in a config's ``[users]``, such as ``user_id="customer"``.

        Raises
        ------
        DataError, ConfigError
            As `load`.
        """
        name, report = "users frame", DataReport()
        config = Config.from_mapping({"catalog": {"path": ""}, "users": {"path": name, **mapping}}).users
        assert config is not None
        table = frame_table(frame, name, (config.user_id,), 'user_id="customer"', report)
        return cls._checked(table, config, report, strict)

    @classmethod
    def from_attributes(cls, attributes: Iterable[tuple[str, Mapping[str, Any]]], file: str) -> Self:
        """Take the attributes of users, such as those of a store; there may be none."""
        by_id = dict(attributes)
        frame = pd.DataFrame.from_records([*by_id.values()], index=pd.Index([*by_id], dtype=object))
        return cls(frame.apply(_cells), UsersConfig.model_validate({"path": file}), file)

    @classmethod
    def _checked(cls, table: Table, config: UsersConfig, report: DataReport, strict: bool) -> Self:
        """Read a table and print its problems; raise if `strict`."""
        table.require(config.user_id, "the user's id")
        ids, changed = without_decimals(strings(table.frame[config.user_id]))
        _report(report, table, "user id with a decimal point", changed, ids, "taken as without its decimals")
        _report(report, table, "user without an id", (ids == "").to_numpy(bool), ids, "expected one", "left_out")
        repeated = ids.duplicated().to_numpy(bool) & (ids != "").to_numpy(bool)
        _report(
            report, table, "repeated user", repeated, ids, "another row has this id; the first counts", "left_out"
        )
        used = ~repeated & (ids != "").to_numpy(bool)
        if not used.any():
            raise DataError(
                f"{table.name} has no user with an id in the column {config.user_id!r}; expected one a row"
            )
        frame = table.frame.drop(columns=config.user_id)[used].apply(_cells).set_axis(ids[used].to_numpy(object))
        users = cls(frame, config, table.name, report)
        users._report_bad_numbers(table.where(used))
        report.facts["users with attributes"] = len(users)
        report.print_summary()
        report.raise_if_strict(strict)
        return users

    @cached_property
    def all_kinds(self) -> dict[str, Kind]:
        """The kind of each column."""
        given = self.config.kinds
        return {name: given.get(name) or _kind(name, self.frame[name]) for name in map(str, self.frame)}

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each column that is learned from, by default categories and numbers of at least two values.

        Raises
        ------
        ConfigError
            If `learn` or `kinds` names a column that is not there, or `learn` one that cannot be learned from.
        """
        for key, names in (("learn", self.config.learn or ()), ("kinds", self.config.kinds)):
            for name in names:
                self._require(name, key)
        if self.config.learn is None:
            return {
                name: kind for name, kind in self.all_kinds.items() if kind in _LEARNABLE and self._varies(name)
            }
        for name in self.config.learn:
            if (kind := self.all_kinds[name]) not in _LEARNABLE:
                raise ConfigError(
                    f"[users] learn: {name!r} is a {kind}; expected categories or numbers, or "
                    f'kinds = {{{name} = "category"}}'
                )
        return {name: self.all_kinds[name] for name in self.config.learn}

    def _require(self, name: str, key: str) -> None:
        if name not in self.frame:
            guess = nearest(name, map(str, self.frame))
            hint = f"; did you mean {guess!r}?" if guess else f"; there are {', '.join(map(str, self.frame))}"
            raise ConfigError(f"[users] {key}: {self.file} has no column {name!r}{hint}")

    def _varies(self, name: str) -> bool:
        return bool(self.values(name).explode().nunique() >= 2)

    def values(self, name: str) -> pd.Series:
        """Return the cells of a column in the order of `frame`: numbers, strings or lists; None where missing."""
        cells = self.frame[name]
        if self.all_kinds[name] == "number":
            cells = pd.Series(numbers(cells)[0], cells.index).astype(object)
            return cells.where(cells.notna(), None)
        return cells.where(cells.map(bool), None)

    def joined(self, other: "Users") -> "Users":
        """Return the users of both; cells of `other` have precedence."""
        if not len(other):
            return self
        filled = other.frame.where(other.frame.map(len) > 0)
        return replace(self, frame=filled.combine_first(self.frame).apply(_cells))

    def attributes_of(self, user_ids: Iterable[str]) -> list[dict[str, Any] | None]:
        """Return the learned attributes of each user that are known; None for a user without any."""
        rows = self.frame.index.get_indexer(pd.Index([*user_ids], dtype=object))
        columns = {name: self.values(name).to_numpy(object)[rows] for name in self.kinds}
        lines = (
            {name: cells[i] for name, cells in columns.items() if row >= 0 and cells[i] is not None}
            for i, row in enumerate(rows.tolist())
        )
        return [line or None for line in lines]

    def match(self, user_ids: Sequence[str]) -> None:
        """Report the users of the events without attributes, and users without events.

        Parameters
        ----------
        user_ids
            Those of the events, each once.

        Raises
        ------
        DataError
            If no user of the events is known here.
        """
        events = pd.Index(list(user_ids), dtype=object)
        known = events.isin(self.frame.index)
        if not known.any():
            raise DataError(
                f"{self.file}: none of its {len(self):,} users, such as {_some(self.frame.index)}, has an event; "
                f"the events' users are such as {_some(events)}. Expected the same ids: correct the file, or "
                "user_id in [users]"
            )
        without, unused = events[~known], self.frame.index[~self.frame.index.isin(events)]
        report = DataReport(self.report.shown)
        self._report_ids(
            report, "user without attributes", without, "has events, but no row: nothing says who it is"
        )
        self._report_ids(report, "attributes of a user without events", unused, "nothing is learned from them")
        report.print_summary()
        self.report.merge(report)

    def _report_ids(self, report: DataReport, kind: str, ids: pd.Index, message: str) -> None:
        rows = np.zeros(len(ids), np.int64)
        report.add(kind, self.file, rows, ids.tolist(), lambda i: message, "warning")

    def _report_bad_numbers(self, table: Table) -> None:
        """Report the cells of numbers that are none, which are missing values."""
        for name, kind in self.kinds.items():
            if kind == "number":
                _, bad = numbers(table.frame[name])
                cells = strings(table.frame[name])
                _report(
                    self.report, table, f"bad {name}", bad, cells, "expected a number; taken as missing", "error"
                )


def _report(
    report: DataReport,
    table: Table,
    kind: str,
    mask: Mask,
    cells: pd.Series,
    message: str,
    severity: Any = "warning",
) -> None:
    found = cells[mask].tolist()
    report.add(
        kind, table.name, table.rows[mask], [""] * len(found), lambda i: f'"{found[i]}": {message}', severity
    )


def _cells(cells: pd.Series) -> pd.Series:
    """Return cells as strings, or lists of strings where there are lists; words such as "N/A" are missing."""
    if is_multi(cells):
        return lists(cells)
    texts = strings(cells)
    return texts.mask(texts.str.lower().isin(MISSING - {"none"}), "").astype(object)


def _kind(name: str, cells: pd.Series) -> Kind:
    kind = kind_of(cells)
    if kind == "number" and are_codes(pd.Series(numbers(cells)[0]).dropna(), name):
        return "category"
    return kind


def _some(ids: pd.Index) -> str:
    return ", ".join(repr(each) for each in ids[:_SHOWN])
