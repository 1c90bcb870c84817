"""Follows bundles at a URL: pulls another generation into the local copy, which hot reload then opens."""

import os
from pathlib import Path
from threading import Event, Thread

from recommender.bundle import pull
from recommender.bundle.disk import try_lock
from recommender.bundle.remote import origin
from recommender.errors import BundleError, RecommenderError


class Follower:
    """Keeps a local copy of bundles up to date, in one worker of those that share it.

    The worker that has the lock pulls; the kernel releases it when that worker ends, and another takes over. The
    thread is the follower's own: meanwhile requests and live changes go on with the old generation.

    Parameters
    ----------
    bundles
        A local copy; a folder that is none is not followed.
    """

    def __init__(self, bundles: Path) -> None:
        self._bundles = bundles
        self._is_copy = origin(bundles) is not None
        self._lock: int | None = None
        self._problem: str | None = None
        self._wake, self._closed = Event(), False

    def watch(self, seconds: float) -> None:
        """Pull every so many seconds in a thread, until `close`."""
        if self._is_copy:
            Thread(target=self._watch, args=(seconds,), name="follower", daemon=True).start()

    def check(self) -> None:
        """Raise a `BundleError` if the last pull failed; a task of hot reload, which logs it."""
        if self._problem is not None:
            raise BundleError(self._problem)

    def wake(self) -> None:
        """Pull now, if this worker has the lock."""
        self._wake.set()

    def close(self) -> None:
        """Stop the thread of `watch`."""
        self._closed = True
        self._wake.set()

    def _watch(self, seconds: float) -> None:
        while not self._closed:
            self._pull()
            self._wake.wait(seconds)
            self._wake.clear()
        if self._lock is not None:
            os.close(self._lock)

    def _pull(self) -> None:
        try:
            if self._lock is None:
                self._lock = try_lock(self._bundles / ".follower")
            if self._lock is not None:
                pull(self._bundles)
            self._problem = None
        except (RecommenderError, OSError) as error:
            self._problem = str(error)
