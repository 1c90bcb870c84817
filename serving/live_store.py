"""The store in service: where it hangs, is down or not there yet, no request waits for it longer than allowed.

Each operation, such as `events.history`, has a circuit breaker. Fewer requests may be in the store at once than
the server has threads, so that one is always free for requests that need no store.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from threading import Condition, Lock
from time import monotonic
from typing import Any, TypeVar, cast

from flask import has_request_context

from recommender.errors import StoreUnavailableError
from recommender.stores import (
    AnswerLog,
    DefinitionStore,
    EventStore,
    ItemOverlay,
    Store,
    UserStore,
    deadline,
)
from recommender.stores.deadlines import remaining
from serving.metrics import metrics

Result = TypeVar("Result")
FAILURES = 3  # in a row open a circuit
RETRY_SECONDS = 1.0  # from one probe of an open circuit to the next
STALL_SECONDS = 0.1  # in which no request comes back from the store: further ones are refused
REFRESH_SECONDS = 10.0  # of opening the store, and of reading the changes of products
BACKGROUND_SECONDS = 60.0  # of another call that no request waits for


class CircuitBreaker:
    """Refuses the calls of an operation that keeps failing, but for one a second that tells whether it recovered.

    Parameters
    ----------
    operation
        Its name, for the metrics.
    """

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._lock = Lock()
        self._failures, self._retry_at, self._probing = 0, 0.0, False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused."""
        return self._failures >= FAILURES

    def check(self) -> None:
        """Raise `StoreUnavailableError` while calls are refused."""
        if self.is_open and (self._probing or monotonic() < self._retry_at):
            raise StoreUnavailableError(f"{self._operation} failed {self._failures} times; it is tried again soon")

    def call(self, function: Callable[[], Result]) -> Result:
        """Call `function`; raises `StoreUnavailableError` instead while calls are refused."""
        if self.is_open:
            with self._lock:
                self.check()
                self._probing = True
        try:
            result = function()
        except StoreUnavailableError:
            self._set(self._failures + 1)
            raise
        except BaseException:
            self._set(0)  # it answers
            raise
        self._set(0)
        return result

    def reset(self) -> None:
        """Close the circuit."""
        self._set(0)

    def _set(self, failures: int) -> None:
        if not failures and not self._failures:
            return
        with self._lock:
            was_open = self.is_open
            self._failures, self._probing, self._retry_at = failures, False, monotonic() + RETRY_SECONDS
            if self.is_open != was_open:
                metrics().circuits.labels(self._operation).set(self.is_open)


class Slots:
    """Limits how many threads are in the store at once; where none comes back, the others do not wait.

    Parameters
    ----------
    count
        How many may be.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._moved_at = 0.0  # when the last slot was taken, or one was given back since
        self._condition = Condition(Lock())

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a slot; raises `StoreUnavailableError` if the store stalls and all are taken."""
        with self._condition:
            if not self._free:
                self._wait()
            self._free -= 1
            if not self._free:
                self._moved_at = monotonic()
        try:
            yield
        finally:
            with self._condition:
                self._free += 1
                self._moved_at = monotonic()
                self._condition.notify()

    def _wait(self) -> None:
        while not self._free:
            patience = self._moved_at + STALL_SECONDS - monotonic()
            if patience <= 0 or remaining() == 0:
                raise StoreUnavailableError("the store does not answer the requests before this one")
            self._condition.wait(patience)


class LiveStore:
    """A store that is opened, and after a failure opened anew, in the background.

    Parameters
    ----------
    open
        Opens the store.
    seconds
        How long a request waits for it unless there is a `deadline`.
    slots
        Requests that may wait for it at once.
    """

    def __init__(self, open: Callable[[], Store], seconds: float, slots: int) -> None:
        self._open, self._seconds, self._slots = open, seconds, Slots(slots)
        self._store: Store | None = None
        self._suspect, self._open_at = True, 0.0
        self._circuits: dict[str, CircuitBreaker] = {}
        self.guarded = Store(
            cast(EventStore, _Part(self, "events")),
            cast(ItemOverlay, _Part(self, "overlay")),
            cast(UserStore, _Part(self, "users")),
            cast(AnswerLog, _Part(self, "answers")),
            cast(DefinitionStore, _Part(self, "definitions")),
        )

    def open(self, seconds: float) -> None:
        """Open the store, in the place of the one that was open; its tables are made or migrated."""
        try:
            with deadline(seconds):
                opened = self._open()
        finally:
            self._open_at = monotonic() + RETRY_SECONDS
        self._store, old, self._suspect = opened, self._store, False
        for circuit in [*self._circuits.values()]:
            circuit.reset()
        if old is not None:
            old.close()

    def refresh(self, task: Callable[[], None]) -> None:
        """Run a task on the store, in the background; after a failure the store is opened anew before.

        So that its tables are made where the database is another or an empty one meanwhile.
        """
        if self._suspect and monotonic() >= self._open_at:
            self.open(REFRESH_SECONDS)
        self._suspect = True
        with deadline(REFRESH_SECONDS):
            task()
        self._suspect = False

    def failing(self) -> list[str]:
        """Return the operations whose circuits are open."""
        return sorted(name for name, circuit in [*self._circuits.items()] if circuit.is_open)

    def call(self, part: str, operation: str, *arguments: Any, **options: Any) -> Any:
        """Call an operation of a part of the store: events, overlay, users, answers or definitions."""
        store = self._store
        if store is None:
            raise StoreUnavailableError("the store has not answered yet")
        if remaining() == 0:
            raise StoreUnavailableError("no time is left for the store")
        name = f"{part}.{operation}"
        circuit = self._circuits.get(name) or self._circuits.setdefault(name, CircuitBreaker(name))
        circuit.check()
        function = partial(getattr(getattr(store, part), operation), *arguments, **options)
        in_request = has_request_context()
        seconds = self._seconds if in_request else BACKGROUND_SECONDS
        with (
            self._slots.one() if in_request else nullcontext(),
            deadline(seconds) if remaining() is None else nullcontext(),
        ):
            return circuit.call(function)

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()


class _Part:
    """Calls the operations of one part of a `LiveStore`, whichever store is open."""

    def __init__(self, store: LiveStore, name: str) -> None:
        self._store, self._name = store, name

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            return self._store.call(self._name, operation, *arguments, **options)

        return call
