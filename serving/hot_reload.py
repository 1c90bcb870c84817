"""The recommender in service, reloaded when a new generation is published, without interrupting requests."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import Protocol

from recommender.bundle import current
from recommender.errors import BundleError, RecommenderError
from recommender.items.overlay import OverlaySnapshot
from recommender.recommender import Recommender
from recommender.stores import ItemOverlay

logger = logging.getLogger(__name__)
# A generation that could not be opened is tried again after this long: its files may still be copied.
RETRY_SECONDS = 30.0


class Loader(Protocol):
    """Opens a generation of a folder, the current one if none is named."""

    def __call__(self, bundles: Path, overlay: ItemOverlay, *, generation: str | None = None) -> Recommender:
        """Raise a `BundleError` if it cannot be opened."""


@dataclass
class _Task:
    run: Callable[[], None]
    running: Lock = field(default_factory=Lock)


class LiveRecommender:
    """The current recommender, reloaded when another generation becomes current.

    A request takes `recommender` once and uses it to the end, so that every response comes from one bundle; the
    old one is freed with the last such request. A failure leaves the old one in service and is listed in
    `problems`, by the name of the task that failed: ``bundle``, ``experiment``, ``store``, or one of `add_task`.
    `watch` runs each of the `tasks` in a thread of its own, so that one that hangs delays no other.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    overlay
        Live changes of products.
    load
        Opens a generation of a folder.
    experiments
        Returns the generations that are open beside the current one.

    Raises
    ------
    BundleError
        If there is no bundle at the start.
    """

    def __init__(
        self, bundles: Path, overlay: ItemOverlay, load: Loader, experiments: Callable[[], Collection[str]] = tuple
    ) -> None:
        self._bundles = bundles
        self._load = load
        self._reporting = Lock()
        self._closed = Event()
        self._failed = ("", 0.0, "")
        self.problems: dict[str, str] = {}
        self.overlay = OverlaySnapshot(overlay)
        self._experiments = experiments
        self._others: dict[str, Recommender] = {}
        self.tasks = {
            "bundle": _Task(self._reload),
            "experiment": _Task(self._open_experiments),
            "store": _Task(self.refresh_overlay),
        }
        self.recommender = load(bundles, self.overlay)
        self.refresh()

    def refresh(self, *names: str) -> None:
        """Run these tasks, or all: reload the current generation if it changed, refresh the overlay and so on."""
        for name in names or self.tasks:
            self._attempt(name)

    def add_task(self, name: str, run: Callable[[], None]) -> None:
        """Run a further task, or another one in the place of one, now and at every refresh."""
        self.tasks[name] = _Task(run)
        self._attempt(name)

    def generation(self, name: str | None) -> Recommender:
        """Return the recommender of a generation; the current one if that is not open."""
        return self.recommender if name is None else self._others.get(name, self.recommender)

    def has(self, generation: str) -> bool:
        """Return whether a generation is open."""
        return generation in self._others or generation == self.recommender.generation

    def watch(self, seconds: float) -> None:
        """Refresh every `seconds` in threads, one for each task, until `close`."""
        for name in self.tasks:
            Thread(target=self._watch, args=(name, seconds), name=f"refresh-{name}", daemon=True).start()

    def close(self) -> None:
        """Stop the threads of `watch`."""
        self._closed.set()

    def _watch(self, name: str, seconds: float) -> None:
        while not self._closed.wait(seconds):
            self.refresh(name)

    def _attempt(self, name: str) -> None:
        task = self.tasks[name]
        with task.running:
            try:
                task.run()
            except Exception as error:
                if self.problems.get(name) != str(error):
                    logger.error("%s: %s", name, error, exc_info=not isinstance(error, RecommenderError))
                self._report(name, str(error))
            else:
                self._report(name, None)

    def _report(self, name: str, problem: str | None) -> None:
        if self.problems.get(name) == problem:
            return
        with self._reporting:
            others = {other: message for other, message in self.problems.items() if other != name}
            self.problems = others if problem is None else {**others, name: problem}

    def _open_experiments(self) -> None:
        for name in self._experiments():
            if name not in self._others:
                self._others[name] = self._load(self._bundles, self.overlay, generation=name)

    def refresh_overlay(self) -> None:
        """Read the live changes that the current generation does not have."""
        self.overlay.refresh(self.recommender.generation)

    def _reload(self) -> None:
        generation = current(self._bundles)
        if generation == self.recommender.generation:
            return
        failed, until, message = self._failed
        if generation == failed and monotonic() < until:
            raise BundleError(message)
        try:
            self.recommender = self._load(self._bundles, self.overlay)
        except Exception as error:
            self._failed = (generation, monotonic() + RETRY_SECONDS, str(error))
            raise
        logger.info("bundle %s is in service", self.recommender.generation)
