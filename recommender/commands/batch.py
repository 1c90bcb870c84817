"""A run of `recommender batch`: which answers, for whom, and where to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any, Literal

import typer

from recommender.commands.shared import event_tables_of, file_tables_of, opened, trending_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyarrow import Table

    from recommender.batch import Job, Run
    from recommender.batch.changes import Source
    from recommender.batch.jobs import Map
    from recommender.recommender import Recommender
    from recommender.stores import Store

COUNT = 20


@dataclass(frozen=True)
class BatchCommand:
    """A run of `recommender batch`.

    Parameters
    ----------
    bundles, kind, out, store, events, k, size, changed_since, table
        Options of the command.
    options
        Members of `Request`.
    described
        The placement and its arm; None without one.
    trending_days
        The window of the strategy trending.
    generation
        The generation; None for the current one.
    """

    bundles: Path
    kind: Literal["similar", "user"]
    out: str
    store: str | None
    events: Path | None
    k: int | None
    options: Mapping[str, Any]
    size: int
    changed_since: str | None
    table: str
    described: Mapping[str, Any] | None = None
    trending_days: int = 7
    generation: str | None = None

    def at_placement(self, settings: Path | None, name: str, arm: str | None) -> "BatchCommand":
        """Return the batch with the rules of a placement, which the service's settings have."""
        from serving.batch import placement_rules

        if given := [each for each, value in self.options.items() if value is not None and each != "explain"]:
            raise typer.BadParameter(f"the placement {name} says its {given[0]}; leave out the option")
        rules = placement_rules(settings, name, arm)
        explain = {"explain": True} if self.options["explain"] else {}
        return replace(
            self,
            k=self.k or rules.options["k"],
            options={**{each: value for each, value in rules.options.items() if each != "k"}, **explain},
            described={**rules.described, **explain},
            trending_days=rules.trending_days,
            generation=rules.generation,
        )

    def write(self, engine: "Map") -> dict[str, Any]:
        """Answer and deliver; return what was done, and a text of it."""
        from recommender.batch import is_folder, is_sql
        from recommender.batch.answers import batch_request

        k = self.k or COUNT
        batch_request("similar" if self.kind == "similar" else "for_you", k, self.options)  # before any work
        started = process_time()
        with opened(self.bundles, self.store, self.generation) as (rec, live):
            options = {**self.options}
            if options.get("strategy") == "trending" or (self.described is not None and live is not None):
                options["trending"] = trending_of(live, self.trending_days)
            if is_sql(self.out) or is_folder(self.out):
                done = self._in_parts(rec, live, k, options, engine)
            else:
                done = self._one_file(rec, live, k, options)
        return _reported(done, self.kind, process_time() - started)

    def _one_file(
        self, rec: "Recommender", live: "Store | None", k: int, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        from recommender.batch import read_histories, write_similar, write_users

        if self.kind == "similar":
            return {"out": self.out, "rows": write_similar(rec, Path(self.out), k, **options), "count": len(rec)}
        tables, _ = self._tables(rec, live)
        count = _Counted()
        rows = write_users(rec, count.over(read_histories(tables)), Path(self.out), k, **options)
        return {"out": self.out, "rows": rows, "count": count.n}

    def _in_parts(
        self, rec: "Recommender", live: "Store | None", k: int, options: Mapping[str, Any], engine: "Map"
    ) -> dict[str, Any]:
        """Write partitions; into a database, by way of a folder beside the bundles."""
        from recommender.batch import Job, is_sql, write_partitions

        to_table = is_sql(self.out)
        parts = f"{self.bundles.resolve()}.batch/{self.table}" if to_table else self.out
        job = Job(
            str(self.bundles.resolve()), rec.generation, self.kind, parts, k, options, self.size, self.store,
            described=self.described,
        )  # fmt: skip
        if self.changed_since is None:
            tables, source = self._tables(rec, live) if self.kind == "user" else ((), None)
            job = replace(job, source=source)
            self._discard_other(job, to_table)
            rows, count = write_partitions(job, tables, engine), _count(job, rec)
            self._deliver(job, None)
            self._remove_parts(job)
            return {"out": self.out, "rows": rows, "count": count}
        run = self._changed(job, rec, live, to_table, engine)
        self._deliver(job, None if run.is_whole else [*run.users, *run.removed])
        run.state.write(self.changed_since)
        self._remove_parts(job)
        return {"out": self.out, "rows": run.rows, "count": len(run.users), "known": len(run.state.users)}

    def _tables(self, rec: "Recommender", live: "Store | None") -> "tuple[Iterator[Table], Any]":
        """Return the events, those of a placement as the service reads them, and what identifies their source."""
        from recommender.batch import StoredEvents

        if self.described is None or live is None or self.events is not None:
            return event_tables_of(rec, self.events, live)
        source = StoredEvents(live.events)
        return source.tables(sorted(source.activity())), "store"

    def _changed(
        self, job: "Job", rec: "Recommender", live: "Store | None", to_table: bool, engine: "Map"
    ) -> "Run":
        from recommender.batch import FileEvents, RunState, StoredEvents, write_changed

        assert self.changed_since is not None
        source: Source
        if live is not None and self.events is None:
            job, source = replace(job, source="store"), StoredEvents(live.events)
        elif self.events is not None and live is None:
            read, described = file_tables_of(rec, self.events)
            job, source = replace(job, source=described), FileEvents(read)
        else:
            raise typer.BadParameter("give either --events or --store")
        previous = RunState.read(self.changed_since)
        self._discard_other(replace(job, since=previous.digest), to_table)
        return write_changed(job, source, previous, engine)

    def _discard_other(self, job: "Job", to_table: bool) -> None:
        """Remove the partitions of another run, if they were for a database alone."""
        manifest = job.folder.manifest() if to_table else None
        if manifest is not None and manifest["job"] != job.identity:
            job.folder.remove()

    def _remove_parts(self, job: "Job") -> None:
        """Remove partitions that were for a database alone, after all else."""
        from recommender.batch import is_sql

        if is_sql(self.out):
            job.folder.remove()

    def _deliver(self, job: "Job", seeds: list[str] | None) -> None:
        from recommender.batch import SqlTable, is_sql
        from recommender.batch.answers import schema

        if is_sql(self.out):
            columns = schema(job.seed_name, job.request.explain)
            SqlTable(self.out, self.table, columns).deliver(job.folder, seeds)


class _Counted:
    """Counts what passes."""

    n = 0

    def over(self, items: Any) -> Any:
        for item in items:
            self.n += 1
            yield item


def _count(job: "Job", rec: "Recommender") -> int:
    """Return how many products or users have an answer."""
    if job.kind == "similar":
        return len(rec)
    import pyarrow.compute as pc

    batches = (batch for name in job.folder.names() for batch in job.folder.read(name))
    return sum(pc.sum(pc.equal(batch["rank"], 1)).as_py() or 0 for batch in batches)


def _reported(done: dict[str, Any], kind: str, cpu: float) -> dict[str, Any]:
    """Return what was done, with its speed, and the text of it."""
    count, known = done.pop("count"), done.pop("known", None)
    name = "users" if kind == "user" else "products"
    speed = round(count / cpu) if cpu else 0
    whom = f"{count:,} {name}" if known is None else f"{count:,} {name} of {known:,} who changed"
    text = f"wrote {done['rows']:,} rows for {whom} to {_without_password(done['out'])}: {cpu:.1f} CPU s"
    figures = {name: count, "cpu_seconds": round(cpu, 2), f"{name}_per_cpu_second": speed}
    out = {**done, "out": _without_password(done["out"]), **figures}
    return {**out, "text": f"{text}, {speed:,} {name} per CPU second"}


def _without_password(out: str) -> str:
    from recommender.batch import is_sql

    if not is_sql(out):
        return out
    from sqlalchemy import make_url

    return make_url(out).render_as_string(hide_password=True)
