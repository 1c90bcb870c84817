"""Run work on a Ray cluster: the functions of a single process, mapped over its machines.

Ray repeats the part of a worker or machine that died on another.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pickle import dumps, loads
from types import ModuleType
from typing import Any, TypeVar

from recommender.batch.folder import Partition
from recommender.batch.jobs import Job, Map
from recommender.errors import RequestError

T = TypeVar("T")


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster.

    Parameters
    ----------
    address
        Such as ``auto`` or ``head:6379``; by default a cluster is started on this machine.
    gpus
        Per worker that encodes or trains, or a share of one; 0 for CPUs.
    """

    address: str | None = None
    gpus: float = 0

    def connect(self) -> ModuleType:
        """Connect, and return the module; a second call has no effect.

        Raises
        ------
        RequestError
            If ray is not installed, there is no cluster at the address, or it has too few GPUs.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
        try:
            import ray
            import ray.data
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "ray":
                raise
            raise RequestError(
                "ray is not installed; run: pip install 'hybrid-recommender[ray]'", "/engine"
            ) from None
        if not ray.is_initialized():
            try:
                ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError) as error:
                raise RequestError(f"no Ray cluster at {self.address!r}: {error}", "/address") from error
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        gpus = ray.cluster_resources().get("GPU", 0)
        if self.gpus > gpus:  # ray would wait for more
            raise RequestError(f"a worker needs {self.gpus:g} GPUs, and the cluster has {gpus:g}", "/gpus")
        return ray

    def map(self, work: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
        """Map a function over items, and yield the results in their order, as `map` does.

        Parameters
        ----------
        work
            With all that it needs: sent once to each machine, where its arrays are shared by the workers.
        items
            Small: sent one by one.

        Raises
        ------
        RequestError
            If the cluster is lost. An error of `work` is raised as such.
        """
        ray = self.connect()
        with self.watched():
            stored = ray.put(work)
            call = ray.remote(_call)
            for result in [call.remote([stored], item) for item in items]:
                yield ray.get(result)

    def map_unordered(self, items: Sequence[Any], make: Callable[[], Callable[[Any], T]]) -> Iterator[T]:
        """Map a function that is costly to make over items, and yield the results as they complete.

        Parameters
        ----------
        items
            Pickled one by one.
        make
            Called once in each worker; returns the function.
        """
        ray = self.connect()
        if not items:
            return
        kind = "GPU" if self.gpus else "CPU"
        workers = max(1, min(len(items), int(ray.cluster_resources().get(kind, 1) / (self.gpus or 1))))
        rows = ray.data.from_items([{"item": dumps(item)} for item in items], override_num_blocks=len(items))
        worker: Any = _Worker  # ray's annotation excludes classes
        results = rows.map(
            worker, fn_constructor_args=(make,), concurrency=workers, num_cpus=1, num_gpus=self.gpus or None
        )
        with self.watched():
            for row in results.iter_rows():
                yield loads(row["result"])

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Report a cluster that is lost within the block as a `RequestError`."""
        from ray.exceptions import RayError, RayTaskError

        try:
            yield
        except RayTaskError:
            raise  # of the work itself: it is an instance of the work's error, too
        except RayError as error:
            raise self.lost(error) from error

    def lost(self, error: Exception) -> RequestError:
        """Return the error of a cluster that cannot finish its work."""
        return RequestError(
            f"the Ray cluster at {self.address or 'this machine'} was lost, or too many of its workers died: "
            f"{error}. Run the command again: it goes on with what is stored",
            "/address",
        )


def on_ray(address: str | None = None) -> Map:
    """Return a function that runs the partitions of a job on a cluster, see `recommender.batch.write_partitions`.

    Parameters
    ----------
    address
        See `Cluster`.

    Raises
    ------
    RequestError
        See `Cluster.connect`.
    """
    cluster = Cluster(address)
    cluster.connect()

    def run(job: Job, names: list[str]) -> Iterator[Partition]:
        unopened = replace(job)  # without the files that this process has opened
        return cluster.map_unordered(names, lambda: unopened.run)

    return run


def _call(stored: Sequence[Any], item: Any) -> Any:
    """Run the stored work on an item; its reference comes in a list, so that Ray does not fetch it each time."""
    return _fetched(stored[0])(item)


@lru_cache(maxsize=1)
def _fetched(stored: Any) -> Callable[[Any], Any]:
    """Return the work of a reference: a worker makes it, and what it opens, once."""
    import ray

    work: Callable[[Any], Any] = ray.get(stored)
    return work


class _Worker:
    """An actor of the pool: `make` is called once, the function that it returns once per item."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._work = make()

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        return {"result": dumps(self._work(loads(row["item"])))}  # pickled, since Ray converts lists to arrays
