"""A first run of a batch for all users of a store, and a second one for those who have changed, by delivery."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from recommender.batch import Job, RunState, SqlTable, StoredEvents, chunks, write_changed
from recommender.batch.answers import schema
from recommender.batch.histories import SCHEMA
from recommender.commands.benchmarks.postgres import Postgres, missing
from recommender.commands.benchmarks.timing import timed_cpu
from recommender.events import Event
from recommender.progress import notice
from recommender.recommender import Recommender
from recommender.stores import open_store

CHANGED = 100  # of so many users one has changed at the second run


def measure_runs(
    rec: Recommender, bundles: Path, events: Callable[[], Iterator[pa.Table]], users: int, k: int
) -> dict[str, Any]:
    """Return wall and CPU seconds of both runs: to Parquet, and from there to a table of each database.

    Parameters
    ----------
    events
        Yields those of the users ``u00000000``, ``u00000001`` …
    """
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        store = stack.enter_context(open_store(f"sqlite:///{folder}/store.sqlite"))
        server = stack.enter_context(_postgres())
        for number, table in enumerate(events()):
            for some in chunks(_events(table, number), 10_000):
                store.events.add(some)
        databases = {"SQLite": f"sqlite:///{folder}/recs.sqlite"} | ({"PostgreSQL": server.url} if server else {})
        job, state = Job(str(bundles), rec.generation, "user", f"{folder}/first", k), RunState()
        _ = job.recommender.recommend_many([rec.ids[:2]], k)  # opened, compiled
        figures: dict[str, dict[str, Any]] = {}
        for name in ("first", "second"):
            job, previous = replace(job, out=f"{folder}/{name}"), state
            run, wall, cpu = timed_cpu(partial(write_changed, job, StoredEvents(store.events), previous))
            figures[name] = {"users": len(run.users), "to Parquet, s": wall, "to Parquet, CPU s": cpu}
            for database, url in databases.items():
                table_ = SqlTable(url, "recs", schema(job.seed_name))
                before = server.cpu_seconds() if server else 0.0
                seeds = None if run.is_whole else run.users
                _, wall, cpu = timed_cpu(partial(table_.deliver, job.folder, seeds))
                figures[name] |= {f"then to {database}, s": wall, f"then to {database}, CPU s": cpu}
                if server and url == server.url:
                    figures[name][f"{database}'s own CPU s"] = server.cpu_seconds() - before
            state, now = run.state, datetime.now(UTC)
            changed = (f"u{user:08}" for user in range(0, users, CHANGED))
            store.events.add([Event(rec.ids[0], "view_item", now, user, event_id=user) for user in changed])
    first, second = figures["first"], figures["second"]
    return {**figures, "second / first": {name: second[name] / max(first[name], 1e-9) for name in first}}


@contextmanager
def _postgres() -> Iterator[Postgres | None]:
    """Run a PostgreSQL server; None where its programs are not installed."""
    if lacks := missing():
        notice(f"PostgreSQL is left out: {lacks}")
        yield None
        return
    with TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _events(table: pa.Table, number: int) -> Iterator[Event]:
    names = [name for name in SCHEMA.names if name != "value"]
    for position, (user, item, kind, moment) in enumerate(
        zip(*(table[n].to_pylist() for n in names), strict=True)
    ):
        yield Event(item, kind, moment.replace(tzinfo=UTC), user, event_id=f"{number}-{position}")
