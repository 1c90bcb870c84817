"""Requests about events, users and products."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, SkipValidation, model_validator

from recommender.events import EARLIEST, Event, as_return, is_plausible
from serving.schemas.base import RequestModel
from serving.schemas.requests import EventName, Id, Number


def _plausible(moment: datetime) -> datetime:
    if not is_plausible(moment):
        raise ValueError(
            f"expected a moment from {EARLIEST.year} until now; check the sender's clock and time zone"
        )
    return moment


# Members of Google Analytics 4's events and of their items that say nothing here.
_GA4 = (
    *("affiliation", "coupon", "creative_name", "creative_slot", "currency", "discount", "index", "item_list_id"),
    *("item_list_name", "location_id", "promotion_id", "promotion_name"),
)
_GA4_EVENT = ("customer_type", "payment_type", "shipping", "shipping_tier", "tax", "transaction_id")
_GA4_ITEM = (
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


class EventItem(Ga4Model):
    """One product of an event."""

    model_config = _ignores(*_GA4, *_GA4_ITEM)
    ignored = (*_GA4, *_GA4_ITEM)

    item_id: Id
    quantity: Number | None = None
    price: Number | None = None


class EventMessage(Ga4Model):
    """An event; it is stored once however often it is sent."""

    model_config = _ignores(*_GA4, *_GA4_EVENT)
    ignored = (*_GA4, *_GA4_EVENT)

    event_id: Id
    event_name: EventName
    timestamp: Annotated[AwareDatetime, AfterValidator(_plausible)]
    user_id: Id | None = None
    session_id: Id | None = None
    recommendation_id: Id | None = None
    value: Number | None = Field(default=None, description="Stars of a `rate` event.")
    items: tuple[EventItem, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("neither user_id nor session_id is given; expected at least one")
        return self

    def to_events(self) -> Iterator[Event]:
        """Yield one event per product, the first line of each; fewer than none bought are a return."""
        for item in {item.item_id: item for item in reversed(self.items)}.values():
            yield Event(
                item_id=item.item_id,
                event_name=as_return(self.event_name, item.quantity, item.price),
                timestamp=self.timestamp,
                user_id=self.user_id or "",
                value=self.value,
                event_id=self.event_id,
                session_id=self.session_id or "",
                recommendation_id=self.recommendation_id or "",
                quantity=item.quantity,
                price=item.price,
            )


class EventBatch(RequestModel):
    """Events, with a receipt for each."""

    # each is validated by itself, so that an invalid one does not affect the others
    events: tuple[SkipValidation[EventMessage], ...] = Field(min_length=1, max_length=1000)


class Login(RequestModel):
    """A session and the user who has logged in."""

    session_id: Id
    user_id: Id


class UserEvents(RequestModel):
    """How many events of a user to return."""

    limit: int = Field(default=200, ge=1, le=1000)


class UserEventsQuery(UserEvents):
    """The twin of a path that holds a user id."""

    user_id: Id


class Period(RequestModel):
    """Days, both included; in UTC."""

    from_: date = Field(alias="from")
    to: date

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.to < self.from_:
            raise ValueError(f"from {self.from_} is after to {self.to}")
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
