"""What is in service: the current recommender and the products' changes, kept up to date while it answers."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import Protocol

from recommender.bundle import current
from recommender.errors import BundleError, RecommenderError
from recommender.recommender import Recommender
from recommender.stores import ItemOverlay
from recommender.stores.base import AttributeValues, QueuedItem

logger = logging.getLogger(__name__)
# A generation that could not be opened is tried again after this long: its files may have been on their way.
RETRY_SECONDS = 30.0


class Loader(Protocol):
    """Opens a generation of a folder, the current one if none is named."""

    def __call__(self, bundles: Path, overlay: ItemOverlay, *, generation: str | None = None) -> Recommender:
        """Raise a `BundleError` if it cannot be opened."""


class OverlaySnapshot:
    """An `ItemOverlay` in memory, so that no question waits for the database; `refresh` brings it up to date."""

    def __init__(self, source: ItemOverlay) -> None:
        self._source = source
        self._known: tuple[int, Mapping[str, AttributeValues]] = (0, {})

    def refresh(self) -> None:
        """Read the changes again if there are any since."""
        revision = self._source.revision()
        if revision != self._known[0]:
            # what is read after the revision may be newer than it says: then it is read once more, next time
            known, changes = self._known
            self._known = (revision, {**changes, **self._source.read(since=known)})

    def revision(self) -> int:
        """See `ItemOverlay.revision`."""
        return self._known[0]

    def read(self, since: int = 0) -> Mapping[str, AttributeValues]:
        """See `ItemOverlay.read`; here always all of them."""
        return self._known[1]

    def put(
        self, items: Mapping[str, AttributeValues], *, replace: bool = False, queue: Collection[str] = ()
    ) -> int:
        """See `ItemOverlay.put`; shown from here on in this process, by the next refresh in others."""
        revision = self._source.put(items, replace=replace, queue=queue)
        self.refresh()
        return revision

    def queued(self, limit: int = 10_000) -> list[QueuedItem]:
        """See `ItemOverlay.queued`."""
        return self._source.queued(limit)

    def mark_embedded(self, products: Iterable[QueuedItem]) -> None:
        """See `ItemOverlay.mark_embedded`."""
        self._source.mark_embedded(products)

    def close(self) -> None:
        """See `ItemOverlay.close`."""
        self._source.close()


class Engine:
    """Holds the current recommender, and looks now and then whether it still is.

    A request takes `recommender` once and answers from it to the end, so that every answer is of one bundle; the
    old one goes when the last such request lets go of it. What fails leaves the old one in service and is told
    in `problems`, by what it concerns (``bundle``, ``experiment``, ``store`` or what else is `followed`).

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    overlay
        What has changed of the products since.
    load
        Opens a generation of a folder.
    experiments
        Generations that are kept open beside the current one.

    Raises
    ------
    BundleError
        If there is no bundle to begin with.
    """

    def __init__(
        self, bundles: Path, overlay: ItemOverlay, load: Loader, experiments: Collection[str] = ()
    ) -> None:
        self._bundles = bundles
        self._load = load
        self._looking = Lock()
        self._closed = Event()
        self._refused = ("", 0.0, "")
        self.problems: dict[str, str] = {}
        self.overlay = OverlaySnapshot(overlay)
        self._experiments = experiments
        self._beside: dict[str, Recommender] = {}
        self._followed: dict[str, Callable[[], None]] = {
            "bundle": self._follow_current,
            "experiment": self._open_experiments,
            "store": self.overlay.refresh,
        }
        self.recommender = load(bundles, self.overlay)
        self.look()

    def look(self) -> None:
        """Bring what is in service up to date, if it is not."""
        with self._looking:
            for concern, step in self._followed.items():
                self._attempt(concern, step)

    def follow(self, concern: str, step: Callable[[], None]) -> None:
        """Take `step`, too, whenever the engine looks, beginning now."""
        with self._looking:
            self._followed[concern] = step
            self._attempt(concern, step)

    def generation(self, name: str | None) -> Recommender:
        """Return the recommender over a generation of an experiment; the current one if that is not open."""
        return self.recommender if name is None else self._beside.get(name, self.recommender)

    def watch(self, seconds: float) -> None:
        """Look every `seconds` from a thread of its own, until `close`."""
        Thread(target=self._watch, args=(seconds,), name="engine-watch", daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self, seconds: float) -> None:
        while not self._closed.wait(seconds):
            self.look()

    def _attempt(self, concern: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            if self.problems.get(concern) != str(error):
                logger.error("%s: %s", concern, error, exc_info=not isinstance(error, RecommenderError))
            self.problems = {**self.problems, concern: str(error)}
        else:
            self.problems = {name: told for name, told in self.problems.items() if name != concern}

    def _open_experiments(self) -> None:
        for name in self._experiments:
            if name not in self._beside:
                self._beside[name] = self._load(self._bundles, self.overlay, generation=name)

    def _follow_current(self) -> None:
        generation = current(self._bundles)
        if generation == self.recommender.generation:
            return
        refused, until, told = self._refused
        if generation == refused and monotonic() < until:
            raise BundleError(told)
        try:
            self.recommender = self._load(self._bundles, self.overlay)
        except Exception as error:
            self._refused = (generation, monotonic() + RETRY_SECONDS, str(error))
            raise
        logger.info("bundle %s is in service", self.recommender.generation)
