"""The protocols of a store of live data: `EventStore`, `ItemOverlay` and `UserStore`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self

from recommender.events import Event
from recommender.stores.attribution import Attribution

# Changed attributes of a product; None once it is removed.
AttributeValues = Mapping[str, Any] | None


class Erasure(NamedTuple):
    """The receipt of the erasure of a user or a session, without the id."""

    receipt_id: str
    erased_at: datetime
    events: int


class EventPosition(NamedTuple):
    """The position of an event in the order of time, by which lists of events are paged."""

    timestamp: datetime
    event_id: str
    item_id: str


class AttributionCount(NamedTuple):
    """How many recommended products of one attribution had an event of one name."""

    attribution: Attribution
    event_name: str
    items: int


class QueuedItem(NamedTuple):
    """A product that waits to be embedded: new, or with another text or image than in the bundle.

    Parameters
    ----------
    item_id
        Its id.
    attributes
        All of its changed attributes; None if it was removed.
    revision
        At which it was queued.
    """

    item_id: str
    attributes: AttributeValues
    revision: int


class EventStore(Protocol):
    """Live events of users; thread-safe, and several processes may open the same store."""

    def add(self, events: Sequence[Event], counted: Sequence[bool] | None = None) -> list[bool]:
        """Store `events`, all or none, and return of each whether it is new.

        The key of an event is `event_id` and `item_id`; a known event is not changed. Events of an erased user or
        session that are older than the erasure are not stored, and not new. Every later `history` has the events.

        Parameters
        ----------
        events
            See `recommender.events.check_event` for what is refused.
        counted
            Of each event whether `trending` and `counts` have it: its recommendation id is genuine, its product
            known. By default all do.

        Raises
        ------
        RequestError
            If one of them cannot be stored and read again as it is.
        """

    def history(self, user_id: str = "", session_id: str = "", limit: int = 200) -> list[Event]:
        """Return the latest `limit` events of a user, of a session, or of both together, oldest first.

        Of a session that several users had, beside a user's events those without a user. Events whose moment is
        not plausible, see `recommender.events.is_plausible`, are left out.
        """

    def page(self, user_id: str, limit: int, before: EventPosition | None = None) -> list[Event]:
        """Return the latest `limit` events of a user that precede a position, oldest first.

        From page to page, `before` is the position of the first event of the page before; each event that was
        there at the start comes once, whatever is added meanwhile.
        """

    def scan(self, batch: int = 10_000) -> Iterator[Event]:
        """Yield every event of a plausible moment, oldest first, reading `batch` at a time."""

    def merge(self, session_id: str, user_id: str) -> int:
        """Assign the anonymous events of a session to a user, and return their number.

        Those from before an erasure of the user are deleted instead.
        """

    def erase(self, user_id: str) -> Erasure:
        """Delete every event and the attributes of a user, and reject events from before it from now on."""

    def erase_session(self, session_id: str) -> Erasure:
        """Delete every event of a session, and reject events from before it from now on."""

    def expire(self, before: datetime) -> int:
        """Delete every event older than `before`, and return their number."""

    def trending(self, since: datetime, limit: int = 1000) -> list[tuple[str, float]]:
        """Return the products of highest total event weight since then, and that weight, in descending order.

        One shopper, a bot for instance, adds a bounded weight to a product, in SQL stores 20, and to all products
        together, 200. Events of simulated shoppers of the storefront do not count, nor do those of the future and
        those that were added as not counted.
        """

    def counts(self, start: datetime, end: datetime) -> list[AttributionCount]:
        """Count the products of events in [start, end) with a recommendation id, once per id and event name.

        Left out are events of the future, those that were added as not counted, and answers of drawn arms.
        """

    def signing_key(self) -> bytes:
        """Return the key that signs recommendation ids: made with the store, the same for all who open it."""

    def close(self) -> None:
        """Close the connections."""


class ItemOverlay(Protocol):
    """Attributes changed since the bundle was built, and the queue of products to be embedded.

    Every change raises the revision. A product stays in the overlay after it was embedded: the overlay takes
    precedence over the bundle.
    """

    def revision(self) -> int:
        """Return the revision of the latest change, 0 before the first."""

    def put(
        self, items: Mapping[str, AttributeValues], *, replace: bool = False, queue: Collection[str] = ()
    ) -> int:
        """Change attributes of products, all or none, and return the new revision.

        Parameters
        ----------
        items
            Item id to attributes, which are merged into its overlay; None removes the product.
        replace
            Replace its overlay instead.
        queue
            Those of the ids to be embedded.
        """

    def read(self, since: int = 0) -> Mapping[str, AttributeValues]:
        """Return the overlay of every product changed after that revision, by item id."""

    def queued(self, limit: int = 10_000) -> list[QueuedItem]:
        """Return the products to be embedded, in the order they were queued."""

    def mark_embedded(self, products: Iterable[QueuedItem], published: bool = True) -> None:
        """Remove products from the queue once a generation has them, except those queued again since.

        `requeue` puts them back, unless they were not `published`: the current generation had them already.
        """

    def requeue(self, after: int) -> int:
        """Put products back that were queued after that revision, and return their number.

        For those that were embedded in generations which were rolled back.
        """

    def close(self) -> None:
        """Close the connections."""


class UserStore(Protocol):
    """The attributes of users; `EventStore.erase` deletes them with the events."""

    def put(self, user_id: str, attributes: Mapping[str, Any]) -> None:
        """Store the attributes of a user, JSON values by name, in the place of earlier ones."""

    def get(self, user_id: str) -> Mapping[str, Any] | None:
        """Return the attributes of a user; None if there are none."""

    def scan(self, batch: int = 10_000) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the id and the attributes of every user, in order of id, reading `batch` at a time."""

    def close(self) -> None:
        """Close the connections."""


class Store(NamedTuple):
    """The events, the overlay and the attributes of users of one database; also a context manager."""

    events: EventStore
    overlay: ItemOverlay
    users: UserStore

    def close(self) -> None:
        """Close the connections."""
        self.events.close()
        self.overlay.close()
        self.users.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
