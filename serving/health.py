"""The health of the service by components; what anybody may read names no host, path or secret."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from recommender.errors import StoreError
from serving.hot_reload import LiveRecommender
from serving.live_store import LiveStore
from serving.markets import Markets, task_of

MIN_FREE_BYTES = 1 << 20
# Components of replicas whose failure leaves every answer as it is, and what it means.
_SHARED = {
    "replica": "the store of bundles cannot be reached, or what is there is damaged; the copy answers",
    "rates": "Redis does not answer; each worker counts for itself",
}


class Component(NamedTuple):
    """The status of one part of the service.

    Parameters
    ----------
    status
        ``ok``, ``degraded``, ``starting`` or ``down``.
    detail
        What that means for requests.
    errors
        What is wrong, for administrators.
    """

    status: str
    detail: str
    errors: list[str]


OK = Component("ok", "", [])


class Health:
    """The components of one worker and whether it should get requests.

    Parameters
    ----------
    live
        Has the problems of the bundle, the store, the encoder and the disk.
    store
        Has circuits.
    encodes_queries
        Whether there should be a query encoder.
    starting_until
        Until when, by `time.monotonic`, an encoder that does not answer is starting.
    markets
        Each of them is a component.
    """

    def __init__(
        self,
        live: LiveRecommender,
        store: LiveStore,
        encodes_queries: bool,
        starting_until: float,
        markets: Markets,
    ) -> None:
        self._live, self._store, self._markets = live, store, markets
        self._starting_until = starting_until
        self._components: dict[str, Callable[[], Component]] = {"bundle": self._bundle, "store": self._of_store}
        if encodes_queries:
            self._components["encoder"] = self._encoder
        if "disk" in live.tasks:
            self._components["disk"] = self._disk
        self._components |= {name: partial(self._shared, name) for name in _SHARED if name in live.tasks}
        self._components |= {task_of(name): partial(self._market, name) for name in markets.names}

    def components(self) -> dict[str, Component]:
        """Return the components by name; waits for nothing."""
        return {name: component() for name, component in self._components.items()}

    def _bundle(self) -> Component:
        if errors := self._problems("bundle", "experiment"):
            detail = "the current generation, or one of an experiment, cannot be opened; another one answers"
            return Component("degraded", detail, errors)
        return OK

    def _of_store(self) -> Component:
        if errors := self._problems("store"):
            detail = "it does not answer: no histories, no new events, and changes of products may be missing"
            return Component("down", detail, errors)
        if failing := self._store.failing():
            return Component("degraded", f"some operations fail: {', '.join(failing)}", [])
        if errors := self._problems("events"):
            return Component("degraded", "trending products and old events wait", errors)
        return OK

    def _encoder(self) -> Component:
        if not (errors := self._problems("encoder")):
            return OK
        if monotonic() < self._starting_until:
            return Component("starting", "texts and images are answered soon", errors)
        return Component("down", "texts and images are not answered", errors)

    def _disk(self) -> Component:
        if errors := self._problems("disk"):
            return Component("down", "it is full: no event can be stored", errors)
        return OK

    def _shared(self, name: str) -> Component:
        errors = self._problems(name)
        return Component("degraded", _SHARED[name], errors) if errors else OK

    def _market(self, name: str) -> Component:
        errors = self._problems(task_of(name))
        if not self._markets.is_open(name):
            return Component("down", "its bundle or its store cannot be opened; the other markets answer", errors)
        return Component("degraded", f"ask with the header X-Market: {name}", errors) if errors else OK

    def _problems(self, *tasks: str) -> list[str]:
        problems = self._live.problems
        return [f"{task}: {problems[task]}" for task in tasks if task in problems]


def overall(components: dict[str, Component]) -> str:
    """Return ``starting`` where requests should wait, ``degraded`` where some are not answered, or ``ready``."""
    statuses = {component.status for component in components.values()}
    return "starting" if "starting" in statuses else "ready" if statuses == {"ok"} else "degraded"


def check_disk(folder: Path) -> None:
    """Raise `StoreError` if nothing can be written to a folder's disk."""
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise StoreError(f"{folder} has {free} bytes left, events need {MIN_FREE_BYTES}: free some space")
