"""Partitions spread over a Ray cluster: the same functions as in one process, mapped by Ray Data.

Each worker opens what it needs once and keeps it. Ray gives the partition of a worker that died to another;
nothing is known of it before it is whole.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pickle import dumps, loads
from types import ModuleType
from typing import Any, TypeVar

from recommender.batch.folder import Partition
from recommender.batch.jobs import Job, Map
from recommender.errors import RequestError

T = TypeVar("T")


def on_ray(address: str | None = None) -> Map:
    """Return what runs a job's partitions on a cluster, see `recommender.batch.write_partitions`.

    Parameters
    ----------
    address
        Of the cluster, such as ``auto`` or ``ray://head:10001``; by default one is started on this machine.

    Raises
    ------
    RequestError
        If ray is not installed, or no cluster answers there.
    """
    connect(address)

    def run(job: Job, names: list[str]) -> Iterator[Partition]:
        fresh = replace(job)  # what this process has opened stays here
        return spread(names, lambda: fresh.run)

    return run


def map_on_ray(address: str | None = None) -> Callable[[Callable[[Any], T], Sequence[Any]], Iterator[T]]:
    """Return what maps a function over items on a cluster and gives the results in their order, as `map` does.

    Parameters
    ----------
    address
        See `on_ray`.
    """
    connect(address)

    def run(work: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
        def numbered(item: tuple[int, Any]) -> tuple[int, T]:
            return item[0], work(item[1])

        found = dict(spread([*enumerate(items)], lambda: numbered))
        return (found[number] for number in range(len(items)))

    return run


def connect(address: str | None) -> ModuleType:
    """Join a cluster, or start one; a second call changes nothing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a shop's jobs are nobody else's business
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise RequestError("ray is not installed; run: pip install 'hybrid-recommender[ray]'", "/engine") from None
    if not ray.is_initialized():
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise RequestError(f"no Ray cluster at {address!r}: {error}", "/address") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


class _Worker:
    """An actor of the pool: `make` is called once, what it returns once for each partition."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._work = make()

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        return {"done": dumps(self._work(loads(row["item"])))}  # as bytes: Ray would make arrays of lists


def spread(items: Sequence[Any], make: Callable[[], Callable[[Any], T]], gpus: float = 0) -> Iterator[T]:
    """Yield what the work makes of each item, in the order in which they are finished.

    Parameters
    ----------
    make
        Called once in each worker; what it returns is called for each item.
    gpus
        Of them each worker has so many, or a share of one, to itself.
    """
    import ray

    if not items:
        return
    workers = max(1, min(len(items), int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1) / (gpus or 1))))
    rows = ray.data.from_items([{"item": dumps(item)} for item in items], override_num_blocks=len(items))
    worker: Any = _Worker  # ray's own annotation leaves classes out
    done = rows.map(worker, fn_constructor_args=(make,), concurrency=workers, num_cpus=1, num_gpus=gpus or None)
    for row in done.iter_rows():
        yield loads(row["done"])
