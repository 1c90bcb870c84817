"""What a store of live data promises, whatever keeps it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self

from recommender.events import Event
from recommender.stores.attribution import Served

# What a product's attributes have become; None once it is removed.
Attributes = Mapping[str, Any] | None


class Erasure(NamedTuple):
    """The receipt of a user's erasure: it names no user."""

    receipt_id: str
    erased_at: datetime
    events: int


class Count(NamedTuple):
    """How many products of a kind of recommendation met with one kind of event."""

    served: Served
    event_name: str
    items: int


class Queued(NamedTuple):
    """A product that waits to be embedded: new, or with another text or picture than the bundle has.

    Parameters
    ----------
    item_id
        The shop's id.
    attributes
        All that is known of it beside the bundle; None if it was removed, and is to become a tombstone.
    revision
        The change that queued it.
    """

    item_id: str
    attributes: Attributes
    revision: int


class EventStore(Protocol):
    """Live events of users. Safe to use from several threads; several processes may open the same one."""

    def add(self, events: Sequence[Event]) -> list[bool]:
        """Keep `events`, all or none, and say of each whether it is new.

        An event is known by its `event_id` and `item_id`; seen again, it is kept as it was. Events of an erased
        user that are older than the erasure are not kept, and not new. Once this has returned, every later
        `history` shows the events.
        """

    def history(self, user_id: str, limit: int = 200) -> list[Event]:
        """Return the latest `limit` events of a user, oldest first; empty for a user never seen."""

    def scan(self, batch: int = 10_000) -> Iterator[Event]:
        """Yield every event, oldest first, reading `batch` at a time."""

    def merge(self, session_id: str, user_id: str) -> int:
        """Give the events of a session that have no user to a user, and return how many there were."""

    def erase(self, user_id: str) -> Erasure:
        """Delete every event of a user, and refuse those until now whenever they come again."""

    def expire(self, before: datetime) -> int:
        """Delete every event older than `before`, and return how many there were."""

    def trending(self, since: datetime, limit: int = 1000) -> list[tuple[str, float]]:
        """Return the products that events since then weigh most for, and that weight; the most first.

        Shoppers that are played in the storefront are no users: their events do not count.
        """

    def counts(self, start: datetime, end: datetime) -> list[Count]:
        """Count the products of events in [start, end) that name a recommendation; each of an answer once."""

    def close(self) -> None:
        """Let go of the database."""


class ItemOverlay(Protocol):
    """What has changed of products since the bundle, and the queue of those that wait to be embedded.

    Every change raises the revision. A product stays in `changes` after it was embedded: what the shop said
    last goes.
    """

    def revision(self) -> int:
        """Return the number of the latest change, 0 before the first."""

    def put(self, changes: Mapping[str, Attributes], *, replace: bool = False, queue: Collection[str] = ()) -> int:
        """Change products, all or none, and return the new revision.

        Parameters
        ----------
        changes
            Item id to attributes, which are set while its others stay; None removes the product.
        replace
            Whether its others go.
        queue
            Those of the ids that are to be embedded.
        """

    def changes(self, since: int = 0) -> Mapping[str, Attributes]:
        """Return all that is changed of every product that has changed after that revision, by item id."""

    def queued(self, limit: int = 10_000) -> list[Queued]:
        """Return the products that wait to be embedded, the longest waiting first."""

    def embedded(self, products: Iterable[Queued]) -> None:
        """Take products off the queue once a published generation has them; those queued again since stay."""

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
