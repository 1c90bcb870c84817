"""Batch jobs in partitions: each partition is written atomically, and an interrupted job resumes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from recommender.batch.answers import batch_request, for_products, for_users, schema
from recommender.batch.folder import MANIFEST, Folder, Partition
from recommender.batch.histories import SCHEMA, by_user_and_time, grouped, starts_of_users
from recommender.errors import RequestError
from recommender.progress import progress

if TYPE_CHECKING:
    from recommender.ranking.request import Request
    from recommender.recommender import Recommender
    from recommender.stores import Store

SIZE = 50_000
_CHUNK = 1024
_HISTORIES = "_histories"

Map = Callable[["Job", list[str]], Iterable[Partition]]


@dataclass(frozen=True)
class Job:
    """A batch job: the request and the output folder; all that a worker needs.

    Parameters
    ----------
    bundles
        Folder of published generations; every machine that works on the job has it under this name.
    generation
        The generation that is used, whatever is published meanwhile.
    kind
        'similar' for each product, or 'user'.
    out
        Folder of the partitions, see `Folder`.
    k
        Recommendations for each product or user.
    options
        Members of `Request`, JSON-able.
    size
        Products or users in a partition.
    store
        URL of the store with the overlay of live changes.
    source
        Where the histories come from, JSON-able; part of the identity.
    described
        What stands for `options` in the identity, JSON-able, such as the placement that they are of; by default
        they themselves.
    since
        Name of the state of the last run, of which only the users who changed are answered; part of the identity.
    """

    bundles: str
    generation: str
    kind: Literal["similar", "user"]
    out: str
    k: int = 20
    options: Mapping[str, Any] | None = None
    size: int = SIZE
    store: str | None = None
    source: Any = None
    described: Mapping[str, Any] | None = None
    since: str = ""

    @property
    def answers(self) -> dict[str, Any]:
        """What the answers to a history depend on."""
        options = self.options or {} if self.described is None else self.described
        given = {name: value for name, value in options.items() if value is not None}
        return {"generation": self.generation, "kind": self.kind, "k": self.k, "options": given}

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for partitions to belong to the same job."""
        since = {"since": self.since} if self.since else {}
        return {**self.answers, "partition_size": self.size, "source": self.source, **since}

    @property
    def folder(self) -> Folder:
        """Where the partitions go."""
        return Folder(self.out)

    def run(self, name: str) -> Partition:
        """Compute one partition and write it."""
        return self.folder.write(name, schema(self.seed_name, self.request.explain), self._tables(name))

    def _tables(self, name: str) -> Iterator[pa.Table]:
        if self.kind == "user":
            histories = grouped(self.folder.below(_HISTORIES).read(name))
            return for_users(self.recommender, histories, self.request, _CHUNK, self._attributes)
        start = _number(name) * self.size
        return for_products(self.recommender, self.ids[start : start + self.size], self.request, _CHUNK)

    @cached_property
    def request(self) -> "Request":
        """The request that is made for every product or user."""
        return batch_request("similar" if self.kind == "similar" else "for_you", self.k, self.options or {})

    @property
    def seed_name(self) -> str:
        """The first column."""
        return "user_id" if self.kind == "user" else "seed_item_id"

    @cached_property
    def ids(self) -> list[str]:
        """All products of the generation, in order of id, whatever is removed meanwhile."""
        attributes = self.recommender.attributes
        return attributes.ids.ids_of(attributes.ids.in_order)

    @cached_property
    def recommender(self) -> "Recommender":
        """The bundle, opened on first use."""
        from recommender.recommender import load

        overlay = self._opened_store.overlay if self.store else None
        return load(self.bundles, overlay, generation=self.generation)

    @cached_property
    def _opened_store(self) -> "Store":
        from recommender.stores import open_store

        assert self.store is not None
        return open_store(self.store)

    def _attributes(self, user_id: str) -> Mapping[str, Any] | None:
        """Return the stored attributes of a user that the bundle learned from."""
        known = self.recommender.profile_columns["user"]
        if self.store is None or not known:
            return None
        stored = self._opened_store.users.get(user_id) or {}
        return {name: stored[name] for name in known if name in stored} or None


def in_process(job: Job, names: list[str]) -> Iterator[Partition]:
    """Run a job's partitions one after the other, in this process."""
    return map(job.run, names)


def write_partitions(job: Job, events: Iterable[pa.Table] = (), run: Map = in_process) -> int:
    """Write recommendations for every product or user in partitions ``part-00000.parquet``, in order of id.

    A manifest ``_manifest.json`` holds the job and its finished partitions. Finished partitions are not computed
    again; an interrupted job resumes with the histories that it had read.

    Parameters
    ----------
    job
        The job.
    events
        For users, see `recommender.batch.histories`; not read if the histories were written already.
    run
        Runs the partitions, see `in_process`; each is reported once it is written.

    Returns
    -------
    int
        Rows in all partitions.

    Raises
    ------
    RequestError
        If the folder holds the results of another job.
    """
    folder = job.folder
    manifest = _resumed(job, folder)
    if manifest is None:
        partitions = _prepare(job, events)
        manifest = {"job": job.identity, "partitions": partitions, "rows": 0, "finished": {}, "complete": False}
        folder.put_manifest(manifest)
    finished = manifest["finished"]
    remaining = [name for name in map(_name, range(manifest["partitions"])) if name not in finished]
    for done in progress(run(job, remaining), "partitions", len(remaining), "partition"):
        finished[done.name] = done.rows
        manifest["rows"] = sum(finished.values())
        folder.put_manifest(manifest)
    if not manifest["complete"]:
        folder.put_manifest({**manifest, "finished": dict(sorted(finished.items())), "complete": True})
        if job.kind == "user":
            folder.below(_HISTORIES).remove()
    return int(manifest["rows"])


def _resumed(job: Job, folder: Folder) -> dict[str, Any] | None:
    """Return the manifest of an interrupted or finished job; None for a new one."""
    manifest = folder.manifest()
    if manifest is None:
        if folder.names():
            raise RequestError(f"{job.out} has partitions but no {MANIFEST}; name another folder", "/out")
        return None
    identity, previous = job.identity, manifest["job"]
    different = [name for name in identity if previous.get(name) != identity[name]]
    if different:
        name = different[0]
        raise RequestError(
            f"{job.out} holds the answers of another job: its {name} is {previous.get(name)!r}, not "
            f"{identity[name]!r}; name another folder, or remove it to start anew",
            "/out",
        )
    return manifest


def _prepare(job: Job, events: Iterable[pa.Table]) -> int:
    """Return the number of partitions; for users, write their histories to files first."""
    if job.kind == "similar":
        return -(-len(job.ids) // job.size)
    folder, number = job.folder.below(_HISTORIES), 0
    with by_user_and_time(events) as batches:
        for number, part in enumerate(_parts(batches, job.size), 1):
            folder.write(_name(number - 1), SCHEMA, part)
    return number


def _parts(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[Iterator[pa.RecordBatch]]:
    """Yield the batches of each `size` users; each must be exhausted before the next is taken."""
    rest: list[pa.RecordBatch] = []

    def part() -> Iterator[pa.RecordBatch]:
        users, previous = 0, None
        while batch := rest.pop() if rest else next(batches, None):
            starts = starts_of_users(batch, previous)
            if users + len(starts) > size:
                cut = int(starts[size - users])
                rest.append(batch.slice(cut))
                if cut:
                    yield batch.slice(0, cut)
                return
            users, previous = users + len(starts), batch.column("user_id")[-1].as_py()
            yield batch

    while True:
        if not rest:
            batch = next(batches, None)
            if batch is None:
                return
            rest.append(batch)
        yield part()


def _name(number: int) -> str:
    return f"part-{number:05}.parquet"


def _number(name: str) -> int:
    return int(name.removeprefix("part-").removesuffix(".parquet"))
