"""Run partitions on a Ray cluster: the functions of a single process, mapped by Ray Data.

Each worker loads what it needs once. Ray retries the partition of a worker that died on another; a partition is
visible only when it is complete.
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
    """Return a function that runs the partitions of a job on a cluster, see `recommender.batch.write_partitions`.

    Parameters
    ----------
    address
        Of the cluster, such as ``auto`` or ``ray://head:10001``; by default one is started on this machine.

    Raises
    ------
    RequestError
        If ray is not installed, or there is no cluster at the address.
    """
    connect(address)

    def run(job: Job, names: list[str]) -> Iterator[Partition]:
        unopened = replace(job)  # without the files that this process has opened
        return map_unordered(names, lambda: unopened.run)

    return run


def map_on_ray(address: str | None = None) -> Callable[[Callable[[Any], T], Sequence[Any]], Iterator[T]]:
    """Return a function that maps over items on a cluster, with results in their order, as `map` does.

    Parameters
    ----------
    address
        See `on_ray`.
    """
    connect(address)

    def run(work: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
        def numbered(item: tuple[int, Any]) -> tuple[int, T]:
            return item[0], work(item[1])

        results = dict(map_unordered([*enumerate(items)], lambda: numbered))
        return (results[number] for number in range(len(items)))

    return run


def connect(address: str | None) -> ModuleType:
    """Connect to a cluster, or start one; a second call has no effect."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
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
    """An actor of the pool: `make` is called once, the function that it returns once per item."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._work = make()

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        return {"result": dumps(self._work(loads(row["item"])))}  # pickled, since Ray converts lists to arrays


def map_unordered(items: Sequence[Any], make: Callable[[], Callable[[Any], T]], gpus: float = 0) -> Iterator[T]:
    """Map a function over items on the cluster, and yield the results as they complete.

    Parameters
    ----------
    items
        Pickled one by one.
    make
        Called once in each worker; returns the function.
    gpus
        Per worker, or a share of one.
    """
    import ray

    if not items:
        return
    workers = max(1, min(len(items), int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1) / (gpus or 1))))
    rows = ray.data.from_items([{"item": dumps(item)} for item in items], override_num_blocks=len(items))
    worker: Any = _Worker  # ray's annotation excludes classes
    results = rows.map(worker, fn_constructor_args=(make,), concurrency=workers, num_cpus=1, num_gpus=gpus or None)
    for row in results.iter_rows():
        yield loads(row["result"])
