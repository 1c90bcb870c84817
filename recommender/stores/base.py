"""What a store of live data promises, whatever keeps it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

from recommender.events import Event


class EventStore(Protocol):
    """Live events of users. Safe to use from several threads; several processes may open the same one."""

    def add(self, events: Sequence[Event]) -> list[bool]:
        """Keep `events`, all or none, and say of each whether it is new.

        An event is known by its `event_id` and `item_id`; seen again, it is kept as it was. Once this has
        returned, every later `history` shows the events.
        """

    def history(self, user_id: str, limit: int = 200) -> list[Event]:
        """Return the latest `limit` events of a user, oldest first; empty for a user never seen."""

    def scan(self, batch: int = 10_000) -> Iterator[Event]:
        """Yield every event, oldest first, reading `batch` at a time."""

    def forget(self, user_id: str) -> int:
        """Delete every event of a user and return how many there were."""

    def close(self) -> None:
        """Let go of the database."""


class ItemOverlay(Protocol):
    """Attributes (price, availability, …) changed since the bundle; every change raises the revision."""

    def revision(self) -> int:
        """Return the number of the latest change, 0 before the first."""

    def put(self, item_id: str, attributes: Mapping[str, object]) -> int:
        """Set some attributes of a product, leaving its others, and return the new revision."""

    def changes(self) -> Mapping[str, Mapping[str, object]]:
        """Return the changed attributes of every changed product, by item id."""

    def close(self) -> None:
        """Let go of the database."""


class Store(NamedTuple):
    """The two halves of one database; also a context manager."""

    events: EventStore
    overlay: ItemOverlay

    def close(self) -> None:
        """Let go of the database."""
        self.events.close()
        self.overlay.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
