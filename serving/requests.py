"""What a request may say, as HTTP_API.md names it."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator

from recommender.events import EVENT_WEIGHTS, Event
from serving.parsing import Request

Id = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Weights = dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
if TYPE_CHECKING:
    EventName = str
else:
    EventName = Literal[tuple(EVENT_WEIGHTS)]


def _split(said: object) -> object:
    return [part.strip() for part in said.split(",") if part.strip()] if isinstance(said, str) else said


def _pairs(said: object) -> object:
    if not isinstance(said, str):
        return said
    pairs = [part.partition("=") for part in said.split(",")]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ValueError(f"{wrong[0]!r} has no weight, expected name=weight such as image=1,category=0.5")
    return {name.strip(): weight.strip() for name, _, weight in pairs}


class Options(Request):
    """What every question may say."""

    limit: int = Field(default=12, ge=1, le=100, description="How many products at most.")
    explain: Literal["none", "summary"] = Field(default="none", description="Parts of each score, and reasons.")


class Query(Options):
    """Options in a query string."""

    filter: str | None = Field(default=None, examples=['price < 50 AND NOT brand: ANY("Acme")'])
    weights: Annotated[
        Weights | None,
        BeforeValidator(_pairs),
        WithJsonSchema({"type": "string", "examples": ["image=1,category=0.5"]}),
    ] = None
    fields: Annotated[
        tuple[str, ...],
        BeforeValidator(_split),
        WithJsonSchema({"type": "string", "examples": ["title,price"]}),
    ] = Field(default=(), description="Attributes of the products to answer with.")


class ItemQuery(Query):
    """The twin of a path that holds an item id, for ids with a slash."""

    item_id: Id


class UserQuery(Query):
    """The twin of a path that holds a user id."""

    user_id: Id


class ItemId(Request):
    """One product."""

    item_id: Id


class UserId(Request):
    """One user."""

    user_id: Id


class SessionEvent(Request):
    """Something the user did that the store need not know."""

    event_name: EventName = "view_item"
    item_id: Id
    timestamp: AwareDatetime | None = Field(default=None, description="Now, if left out.")
    value: Number | None = Field(default=None, description="The stars of a `rate`.")

    def to_event(self, now: datetime) -> Event:
        """Return it as the library has it."""
        return Event(self.item_id, self.event_name, self.timestamp or now, value=self.value)


class Seeds(Request):
    """What to go by; all left out asks for what is popular."""

    items: tuple[ItemId, ...] = Field(default=(), max_length=100)
    user_id: Id | None = Field(default=None, description="A user whose events the store has.")
    events: tuple[SessionEvent, ...] = Field(default=(), max_length=1000)
    text: str | None = Field(default=None, description="Needs a query encoder.")
    image: str | None = Field(default=None, description="Needs a query encoder.")

    def history(self, now: datetime) -> list[Event]:
        """Return the events, and the items as views of now."""
        views = [Event(item.item_id, "view_item", now) for item in self.items]
        return [event.to_event(now) for event in self.events] + views


class Exclude(Request):
    """What may not be answered."""

    item_ids: tuple[Id, ...] = Field(default=(), max_length=10_000)
    seen: bool = Field(default=True, description="Products of the user's events.")
    purchased_days: int | None = Field(default=None, ge=1, le=36_500, description="Bought within so many days.")


class Question(Options):
    """The general question."""

    seeds: Seeds = Seeds()
    strategy: Literal["similar", "for_you", "popular"] | None = Field(
        default=None, description="Left out: similar for one item, for_you for a history, popular for neither."
    )
    filter: dict[str, Any] | str | None = Field(
        default=None, description="A tree of conditions, or the string form."
    )
    exclude: Exclude = Exclude()
    weights: Weights | None = None
    fields: tuple[str, ...] = Field(default=(), description="Attributes of the products to answer with.")


class EventItem(Request):
    """One product of an event."""

    item_id: Id
    quantity: Number | None = None
    price: Number | None = None


class EventMessage(Request):
    """Something a user did, to be stored once however often it is sent."""

    event_id: Id
    event_name: EventName
    timestamp: AwareDatetime
    user_id: Id | None = None
    session_id: Id | None = None
    recommendation_id: Id | None = None
    value: Number | None = Field(default=None, description="The stars of a `rate`.")
    items: tuple[EventItem, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("neither user_id nor session_id is given; expected at least one")
        return self

    def to_events(self) -> Iterator[Event]:
        """Yield one event per product, the first line of each."""
        for item in {item.item_id: item for item in reversed(self.items)}.values():
            yield Event(
                item_id=item.item_id,
                event_name=self.event_name,
                timestamp=self.timestamp,
                user_id=self.user_id or "",
                value=self.value,
                event_id=self.event_id,
                session_id=self.session_id or "",
                recommendation_id=self.recommendation_id or "",
                quantity=item.quantity,
                price=item.price,
            )
