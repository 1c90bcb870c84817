"""Which users changed since the last run of a batch, by how many events each had then, and the latest."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from recommender.batch.histories import tables_of_events
from recommender.batch.jobs import Job, Map, in_process, write_partitions
from recommender.errors import RequestError

if TYPE_CHECKING:
    from recommender.stores import EventStore

STATE = "_state.parquet"
_SCHEMA = pa.schema([("user_id", pa.string()), ("events", pa.int64()), ("latest", pa.timestamp("us"))])
_JOB = b"job"

Activity = Mapping[str, tuple[int, datetime]]


class Source(Protocol):
    """The interface of what has the events of users."""

    def activity(self) -> Activity:
        """Return of each user how many events there are, and the latest moment, in UTC without zone."""

    def tables(self, users: Iterable[str]) -> Iterator[pa.Table]:
        """Yield the events of some users, see `recommender.batch.histories`."""


class StoredEvents:
    """The events of a store: of each user the latest, as the service reads them."""

    def __init__(self, events: "EventStore") -> None:
        self._events = events

    def activity(self) -> Activity:
        """See `Source.activity`."""
        known = self._events.activity()
        return {user: (n, latest.astimezone(UTC).replace(tzinfo=None)) for user, n, latest in known}

    def tables(self, users: Iterable[str]) -> Iterator[pa.Table]:
        """See `Source.tables`."""
        return tables_of_events(event for user in users for event in self._events.history(user))


class FileEvents:
    """The events of a file, which is read twice.

    Parameters
    ----------
    read
        Returns its events in tables, such as `recommender.batch.tables_of_file`.
    """

    def __init__(self, read: Callable[[], Iterator[pa.Table]]) -> None:
        self._read = read

    def activity(self) -> Activity:
        """See `Source.activity`."""
        known: dict[str, tuple[int, datetime]] = {}
        for table in self._read():
            some = table.group_by("user_id").aggregate([("timestamp", "count"), ("timestamp", "max")])
            columns = (some[name].to_pylist() for name in ("user_id", "timestamp_count", "timestamp_max"))
            for user, n, latest in zip(*columns, strict=True):
                before, at = known.get(user, (0, latest))
                known[user] = (before + n, max(at, latest))
        known.pop("", None)
        return known

    def tables(self, users: Iterable[str]) -> Iterator[pa.Table]:
        """See `Source.tables`."""
        wanted = pa.array(users, pa.string())
        for table in self._read():
            yield table.filter(pc.is_in(table["user_id"], value_set=wanted))


@dataclass(frozen=True)
class RunState:
    """What a run answered, by which the next one knows who has changed.

    Parameters
    ----------
    job
        What must be equal for its answers to hold: the generation and the request.
    users
        See `Source.activity`.
    """

    job: Mapping[str, Any] = field(default_factory=dict)
    users: Activity = field(default_factory=dict)

    @classmethod
    def read(cls, url: str) -> "RunState":
        """Read the state of the last run; one of no user if there is none.

        Raises
        ------
        RequestError
            If it is no such file.
        """
        try:
            with fsspec.open(url, "rb") as file:
                table = pa.parquet.read_table(file)
            job = json.loads((table.schema.metadata or {})[_JOB])
        except FileNotFoundError:
            return cls()
        except (KeyError, ValueError, ImportError, OSError) as error:
            remedy = "name another file, or remove it to answer all users"
            raise RequestError(f"{url} is no state of a batch: {error}; {remedy}", "/changed_since") from error
        users, events, latest = (table[name].to_pylist() for name in _SCHEMA.names)
        return cls(job, dict(zip(users, zip(events, latest, strict=True), strict=True)))

    def write(self, url: str) -> None:
        """Write the state, at once or not at all."""
        columns = [[*self.users], *([each[position] for each in self.users.values()] for position in (0, 1))]
        table = pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), _SCHEMA)
        table = table.replace_schema_metadata({_JOB: json.dumps(self.job).encode()})
        fs, path = fsspec.core.url_to_fs(url)
        temporary = f"{path}.new"
        with fs.open(temporary, "wb") as file:
            pa.parquet.write_table(table, file)
        fs.mv(temporary, path)

    @property
    def digest(self) -> str:
        """A name of the state."""
        return blake2b(repr((dict(self.job), sorted(self.users.items()))).encode(), digest_size=8).hexdigest()

    def holds_for(self, other: "RunState") -> bool:
        """Return whether the answers to users who have not changed are those of another state's job."""
        return dict(self.job) == dict(other.job)

    def changed_since(self, previous: "RunState") -> list[str]:
        """Return the users whose events differ from a state before, in order of id; all if the job does."""
        if not self.holds_for(previous):
            return sorted(self.users)
        return sorted(user for user, activity in self.users.items() if previous.users.get(user) != activity)


@dataclass(frozen=True)
class Run:
    """What a run did.

    Parameters
    ----------
    rows
        Rows in all partitions.
    users
        Users who were answered: those who changed.
    removed
        Users of the last run who have no events any more.
    is_whole
        Whether all users were answered.
    state
        For the next run.
    """

    rows: int
    users: Sequence[str]
    removed: Sequence[str]
    is_whole: bool
    state: RunState


def write_changed(job: Job, source: Source, previous: RunState, run: Map = in_process) -> Run:
    """Write recommendations for the users whose events differ from the last run, in partitions.

    All users are answered where the generation or the request is another. An interrupted run resumes with what it
    had read. The state of the run is in the job's folder, too; write it where the next run reads it once all has
    been delivered.

    Parameters
    ----------
    job
        For users.
    source
        Has their events.
    previous
        The state of the last run.
    run
        See `write_partitions`.

    Raises
    ------
    RequestError
        If the folder holds the results of another job.
    """
    job = replace(job, since=previous.digest)
    path = f"{job.out.rstrip('/')}/{STATE}"
    if job.folder.manifest() is None:
        RunState(job.answers, source.activity()).write(path)
    state = RunState.read(path)
    users = state.changed_since(previous)
    removed = sorted(previous.users.keys() - state.users.keys())
    rows = write_partitions(job, source.tables(users), run)
    return Run(rows, users, removed, not state.holds_for(previous), state)
