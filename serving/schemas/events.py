"""Requests about events, users and products."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from recommender.events import MAX_AMOUNT, Event, add_lines, as_return
from recommender.items.prices import currency_code
from serving.schemas.base import RequestModel
from serving.schemas.requests import Amount, EventName, Id, Moment, StoredId, split_by_commas

# Products of all events of a batch together.
MAX_LINES = 2_000
MAX_CURSOR_LENGTH = 8192
# Members of Google Analytics 4's events and of their items that say nothing here.
_GA4 = (
    *("affiliation", "coupon", "creative_name", "creative_slot", "discount", "index", "item_list_id"),
    *("item_list_name", "location_id", "promotion_id", "promotion_name"),
)
_GA4_EVENT = ("customer_type", "payment_type", "shipping", "shipping_tier", "tax")
_GA4_ITEM = (
    "currency",
    "item_brand",
    "item_name",
    "item_variant",
    "item_category",
    *(f"item_category{n}" for n in range(2, 6)),
)


def _ignores(*names: str) -> ConfigDict:
    """Return the configuration of a model whose JSON schema has members that are ignored."""
    ignored = {name: {"description": "Of Google Analytics 4; ignored."} for name in names}
    return ConfigDict(json_schema_extra=lambda schema: schema["properties"].update(ignored))


class Ga4Model(RequestModel):
    """A request whose members of Google Analytics 4 are accepted and ignored."""

    ignored: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _without_ignored(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.keys().isdisjoint(cls.ignored):
            return value
        return {name: each for name, each in value.items() if name not in cls.ignored}


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _as_text(value: object) -> object:
    """Return an id that is a whole number, as data layers of shops have it, as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_code(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not (code := currency_code(value)):
        raise ValueError("expected a code of ISO 4217 such as EUR")
    return code


# Tags send blank ones where they know none.
OrderId = Annotated[StoredId | None, BeforeValidator(_as_text), BeforeValidator(_blank_is_none)]
Currency = Annotated[str | None, BeforeValidator(_as_code), BeforeValidator(_blank_is_none)]


class EventItem(Ga4Model):
    """One product of an event."""

    model_config = _ignores(*_GA4, *_GA4_ITEM)
    ignored = (*_GA4, *_GA4_ITEM)

    item_id: StoredId
    quantity: Amount | None = None
    price: Amount | None = None


class EventMessage(Ga4Model):
    """An event; it is stored once however often it is sent."""

    model_config = _ignores(*_GA4, *_GA4_EVENT)
    ignored = (*_GA4, *_GA4_EVENT)

    event_id: StoredId
    event_name: EventName
    timestamp: Moment
    user_id: StoredId | None = None
    session_id: StoredId | None = None
    recommendation_id: StoredId | None = None
    value: Amount | None = Field(default=None, description="Stars of a `rate` event.")
    transaction_id: OrderId = Field(default=None, description="Of the order of a purchase or refund.")
    currency: Currency = Field(default=None, description="Of the prices, by ISO 4217.")
    items: tuple[EventItem, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("neither user_id nor session_id is given; expected at least one")
        return self

    @model_validator(mode="after")
    def _finite(self) -> Self:
        """Refuse lines of one product that add up to more than one may have."""
        if sum(abs(item.quantity or 0) for item in self.items) > MAX_AMOUNT:
            raise ValueError(f"the quantities add up to more than {MAX_AMOUNT:g}")
        return self

    def to_events(self, currency: str | None = None) -> Iterator[Event]:
        """Yield one event per product, whose lines are added up; fewer than none bought are a return.

        Parameters
        ----------
        currency
            Of the shop, where the message names none.
        """
        lines: dict[str, list[tuple[float | None, float | None]]] = {}
        for item in self.items:
            lines.setdefault(item.item_id, []).append((item.quantity, item.price))
        for item_id, amounts in lines.items():
            quantity, price = add_lines(amounts)
            yield Event(
                item_id=item_id,
                event_name=as_return(self.event_name, quantity, price),
                timestamp=self.timestamp,
                user_id=self.user_id or "",
                value=self.value,
                event_id=self.event_id,
                session_id=self.session_id or "",
                recommendation_id=self.recommendation_id or "",
                quantity=quantity,
                price=price,
                transaction_id=self.transaction_id,
                currency=self.currency or currency,
            )


class EventBatch(RequestModel):
    """Events, with a receipt for each."""

    # each is validated by itself, so that an invalid one does not affect the others
    events: tuple[SkipValidation[EventMessage], ...] = Field(
        min_length=1, max_length=1000, description=f"Their `items` are at most {MAX_LINES:,} in all."
    )

    @field_validator("events")
    @classmethod
    def _bounded(cls, events: tuple[Any, ...]) -> tuple[Any, ...]:
        items = (event.get("items") for event in events if isinstance(event, dict))
        lines = sum(len(each) for each in items if isinstance(each, list))
        if lines > MAX_LINES:
            raise ValueError(f"the events have {lines:,} items in all; at most {MAX_LINES:,}: send fewer at once")
        return events


class Login(RequestModel):
    """A session and the user who has logged in."""

    session_id: Id
    user_id: Id


class SessionId(RequestModel):
    """One session."""

    session_id: Id


# Its characters are in the schema alone: the error of a wrong one says more than that one of them is wrong.
Cursor = Annotated[
    str,
    StringConstraints(max_length=MAX_CURSOR_LENGTH),
    WithJsonSchema({"type": "string", "maxLength": MAX_CURSOR_LENGTH, "pattern": "^[A-Za-z0-9_=-]+$"}),
]


class Page(RequestModel):
    """Which part of a list to return."""

    limit: int = Field(default=1000, ge=1, le=1000)
    cursor: Cursor | None = Field(default=None, description="The `next_cursor` of the page before.")


class UserEvents(Page):
    """Which of a user's events to return; the first page has the latest."""

    limit: int = Field(default=200, ge=1, le=1000)


class UserEventsQuery(UserEvents):
    """The twin of a path that holds a user id."""

    user_id: Id


class Days(RequestModel):
    """Days, both included; in UTC."""

    from_: date = Field(alias="from")
    to: date
    format: Literal["json", "csv"] | None = Field(
        default=None, description="CSV has all lines, without pages; by default what the header Accept prefers."
    )

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.to < self.from_:
            raise ValueError(f"from {self.from_} is after to {self.to}")
        return self

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first moment of the period, and the first one after it."""
        day = timedelta(days=1)
        after = min(self.to, date.max - day) + day
        return datetime.combine(self.from_, time(), UTC), datetime.combine(after, time(), UTC)


class Period(Days, Page):
    """Days of a report, and which part of its lines to return."""


def _today() -> date:
    return datetime.now(UTC).date()


class ExperimentPeriod(Days):
    """Days of an experiment: the first one should be that on which it began."""

    to: date = Field(default_factory=_today, description="By default today.")


Dimension = Literal["day", "placement", "strategy", "arm"]


class OrderPeriod(Period):
    """Days of a report of orders, and what its lines are for."""

    by: Annotated[
        tuple[Dimension, ...],
        BeforeValidator(split_by_commas),
        WithJsonSchema({"type": "string", "examples": ["placement,day"]}),
    ] = Field(
        default=("day", "placement", "strategy", "arm"),
        description="What a line is for, beside the currency: some of day, placement, strategy and arm.",
    )

    @model_validator(mode="after")
    def _no_twice(self) -> Self:
        if len({*self.by}) < len(self.by):
            raise ValueError(f"by names {', '.join(self.by)}; expected each once")
        return self


class ProductData(RequestModel):
    """Attributes of a product by name; null clears one."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"example": {"price": 64.9, "availability": "in_stock"}}
    )

    id: Id | None = Field(default=None, description="The id of the path; optional.")

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes without the id."""
        return self.model_extra or {}


class ListedProduct(ProductData):
    """Attributes of one product of a batch."""

    id: Id


class ItemBatch(RequestModel):
    """Changes of products, applied all or none; attributes that are not named stay."""

    items: tuple[ListedProduct, ...] = Field(min_length=1, max_length=1000)
