"""The protocols of a store of live data: `EventStore`, `ItemOverlay`, `UserStore` and `DefinitionStore`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self

from recommender.events import Event
from recommender.stores.attribution import Attribution
from recommender.stores.orders import FirstView, OrderLine

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


@dataclass(frozen=True, slots=True)
class LoggedItem:
    """One product of an answer: the probability with which its position showed it, and what came of it.

    Parameters
    ----------
    item_id
        Its id.
    propensity
        See `recommender.ranking.exploration`.
    explored
        Whether it was drawn at random.
    events
        Names of the counted events that name the answer and the product.
    """

    item_id: str
    propensity: float
    explored: bool
    events: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """An answer of a placement that explores.

    Parameters
    ----------
    recommendation_id
        Its id.
    timestamp
        When it was made.
    user_id, session_id
        Of the request; empty without one.
    request
        What the answer was made from but for the user's events, JSON-able.
    items
        By position.
    """

    recommendation_id: str
    timestamp: datetime
    user_id: str
    session_id: str
    request: Mapping[str, Any]
    items: tuple[LoggedItem, ...]


class Exposure(NamedTuple):
    """How many answers of one attribution showed a product on a day, in POSIX seconds of its start in UTC."""

    attribution: Attribution
    item_id: str
    day: int
    shown: int


@dataclass(frozen=True, slots=True)
class OverlayEntry:
    """The live changes of a product: attributes over those of the bundle, or its removal.

    Parameters
    ----------
    item_id
        Its id.
    attributes
        All of its changed attributes; None if it was removed.
    updated_at
        Moment of the latest change, in POSIX seconds.
    times
        Moments of the attributes that were changed earlier than that, by name.
    source
        Who changed it, such as ``api:shop`` for the API key of that name.
    added
        Whether the product was put over the API, without the catalogue.
    revision
        Of the overlay, at the latest change.
    queued
        The revision at which the product was queued to be embedded, since it is new or has another text or image
        than in the bundle; negative once a generation has it; None if it was never queued.
    """

    item_id: str
    attributes: AttributeValues
    updated_at: float
    times: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    added: bool = False
    revision: int = 0
    queued: int | None = None

    def is_older(self, moment: float) -> bool:
        """Return whether all of it is older than a moment, such as that of a catalogue's row; NaN is none."""
        return self.updated_at < moment

    def since(self, moment: float) -> AttributeValues:
        """Return the attributes that were not changed before a moment, {} if all were; None if it was removed."""
        if self.is_older(moment):
            return {}
        if self.attributes is None or not self.times:
            return self.attributes
        times, latest = self.times, self.updated_at
        return {name: value for name, value in self.attributes.items() if not times.get(name, latest) < moment}


class Definition(NamedTuple):
    """One revision of a placement or a collection.

    Attributes
    ----------
    revision
        Its number; those of all definitions of a store are counted together.
    kind
        ``placement`` or ``collection``.
    name
        Its name.
    value
        Its members, JSON-able; None once it is removed.
    author
        Who made the revision, such as ``api:shop`` for the API key of that name.
    changed_at
        When it was made, in POSIX seconds.
    restores
        The earlier revision whose value it restores; 0 if what was before the first; None if it is a change.
    """

    revision: int
    kind: str
    name: str
    value: Mapping[str, Any] | None
    author: str
    changed_at: float
    restores: int | None = None


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

    def activity(self) -> Iterator[tuple[str, int, datetime]]:
        """Yield of each user the number of events and the moment of the latest."""

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

    def exposures(self, start: datetime, end: datetime) -> list[Exposure]:
        """Count the answers that showed each product by day: the events `view_item_list` that `counts` counts."""

    def orders(self, start: datetime, end: datetime, days: int) -> list[OrderLine]:
        """Return the lines of the orders of [start, end), oldest first, less what was returned since.

        A product of a transaction counts once, with its earliest event, whichever event ids it was sent with. A
        refund without a transaction id is of the latest order of the product before it, by the same user or
        session. Events count as in `counts`, but not those of simulated shoppers of the storefront.

        Parameters
        ----------
        days
            Length of the period before that is searched for clicks and views of recommendations; 0 for none.
        """

    def first_views(self, placements: Sequence[str], start: datetime, end: datetime) -> list[FirstView]:
        """Return when each session and user first saw recommendations of placements in [start, end), by their ids.

        By the events `view_item_list` that count in `orders`; answers of drawn arms are left out.
        """

    def signing_key(self) -> bytes:
        """Return the key that signs recommendation ids: made with the store, the same for all who open it."""

    def close(self) -> None:
        """Close the connections."""


class ItemOverlay(Protocol):
    """Live changes of products, and the queue of those to be embedded.

    Every change raises the revision. A change takes precedence over rows of the catalogue that are older; once a
    generation has a newer row, the entry may be absorbed. `restore` brings back what generations absorbed that
    were rolled back.
    """

    def revision(self) -> int:
        """Return the revision of the latest change, 0 before the first."""

    def put(
        self,
        items: Mapping[str, AttributeValues],
        *,
        replace: bool = False,
        queue: Collection[str] = (),
        added: Collection[str] = (),
        source: str = "",
        at: float | None = None,
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
        added
            Those of the ids that the catalogue does not have.
        source
            Who changes them.
        at
            Moment of the change in POSIX seconds, by default now.
        """

    def read(self, since: int = 0) -> Mapping[str, OverlayEntry | None]:
        """Return the entries that were changed after that revision, by item id; None for one that was absorbed."""

    def page(self, after: str = "", limit: int = 100) -> list[OverlayEntry]:
        """Return the entries of the next `limit` products after an id, in order of id."""

    def queued(self, limit: int = 10_000) -> list[OverlayEntry]:
        """Return the products to be embedded, in the order they were queued."""

    def mark_embedded(self, entries: Iterable[OverlayEntry], published: bool = True) -> None:
        """Remove products from the queue once a generation has them, except those queued again since.

        `requeue` puts them back, unless they were not `published`: the current generation had them already.
        """

    def requeue(self, after: int) -> int:
        """Put products back that were queued after that revision, and return their number.

        For those that were embedded in generations which were rolled back, or replaced by a fit without them.
        """

    def absorb(self, entries: Iterable[OverlayEntry], generation: str) -> None:
        """Leave out entries that a published generation supersedes, except those changed again since."""

    def restore(self, generation: str) -> int:
        """Bring back what generations newer than the current one have absorbed, and return the number of entries.

        For generations that were rolled back.
        """

    def purge(self, oldest: str) -> None:
        """Delete what was absorbed by the oldest generation that is left, or before: no rollback needs it."""

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


class AnswerLog(Protocol):
    """The answers of placements that explore, with propensities.

    `EventStore.erase`, `erase_session` and `expire` delete from it, too, and `merge` assigns answers of a session.
    """

    def add(self, answer: LoggedAnswer) -> None:
        """Store an answer."""

    def read(self, start: datetime, end: datetime) -> Iterator[LoggedAnswer]:
        """Yield the answers of [start, end), oldest first, with the events that name them."""

    def close(self) -> None:
        """Close the connections."""


class DefinitionStore(Protocol):
    """The placements and collections that were edited while serving, with all of their revisions."""

    def revision(self) -> int:
        """Return the latest revision of any definition, 0 before the first."""

    def read(self, since: int = 0) -> list[Definition]:
        """Return the latest revision of each definition that was changed after that one, in order of revision."""

    def revisions(self, kind: str, name: str, limit: int = 100, before: int | None = None) -> list[Definition]:
        """Return the latest `limit` revisions of a definition that precede one, the newest first."""

    def put(
        self,
        kind: str,
        name: str,
        value: Mapping[str, Any] | None,
        *,
        author: str,
        expected: int | None = None,
        restores: int | None = None,
    ) -> Definition:
        """Store another revision of a definition, and return it.

        Parameters
        ----------
        kind, name, value, author, restores
            See `Definition`.
        expected
            The revision that it is a change of, 0 if there is none; None changes whichever is the latest.

        Raises
        ------
        RevisionConflictError
            If the latest revision is not the expected one.
        """

    def close(self) -> None:
        """Close the connections."""


class Store(NamedTuple):
    """The events, overlay, users' attributes, logged answers and definitions of one database.

    Also a context manager.
    """

    events: EventStore
    overlay: ItemOverlay
    users: UserStore
    answers: AnswerLog
    definitions: DefinitionStore

    def close(self) -> None:
        """Close the connections."""
        self.events.close()
        self.overlay.close()
        self.users.close()
        self.answers.close()
        self.definitions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
