"""Requests of the HTTP API."""

from base64 import b64decode
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from recommender.events import (
    EARLIEST,
    EVENT_WEIGHTS,
    MAX_AMOUNT,
    MAX_ID_BYTES,
    MAX_ID_LENGTH,
    Event,
    id_error,
    is_plausible,
)
from recommender.ranking.request import Fallback, Sort, Strategy
from serving.schemas.base import RequestModel


def _storable(text: str) -> str:
    if (error := id_error(text)) is not None:
        raise ValueError(error)
    return text


def _plausible(moment: datetime) -> datetime:
    if not is_plausible(moment):
        raise ValueError(
            f"expected a moment from {EARLIEST.year} until now; check the sender's clock and time zone"
        )
    return moment


def _not_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")]
StoredId = Annotated[Id, AfterValidator(_storable), Field(description=f"At most {MAX_ID_BYTES} bytes in UTF-8.")]
Moment = Annotated[AwareDatetime, AfterValidator(_plausible)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
NotBoolean = BeforeValidator(_not_boolean)  # pydantic takes true for 1
Amount = Annotated[float, NotBoolean, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT, allow_inf_nan=False)]
MAX_WEIGHTS = 100
Weight = Annotated[float, NotBoolean, Field(ge=0, allow_inf_nan=False)]
Weights = Annotated[dict[str, Weight], Field(max_length=MAX_WEIGHTS)]
if TYPE_CHECKING:
    EventName = str
else:
    EventName = Literal[tuple(EVENT_WEIGHTS)]
MAX_IMAGE_BYTES = 5 << 20
MAX_PAGE_EVENTS = 2000
MAX_PAGE_PRODUCTS = 240


_PAIR = r"[a-z]+=\d+(\.\d+)?"
_PAIRS = f"^{_PAIR}(,{_PAIR})*$"


def split_by_commas(value: object) -> object:
    """Return the parts of a text between commas; anything else unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",", MAX_WEIGHTS)]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ValueError(f"{wrong[0]!r} has no weight, expected name=weight such as image=1,category=0.5")
    return {name.strip(): weight.strip() for name, _, weight in pairs}


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    if len(value) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise ValueError(f"the image has more than {MAX_IMAGE_BYTES} bytes")
    try:
        return b64decode(value, validate=True)
    except ValueError:
        raise ValueError("expected a JPEG, PNG or WebP file in base64") from None


Image = Annotated[
    bytes,
    BeforeValidator(_decoded),
    Field(max_length=MAX_IMAGE_BYTES),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "image/*",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        }
    ),
]


def _attribute(value: object, parsed: ValidatorFunctionWrapHandler) -> object:
    """Return a parsed attribute; one error in the place of those of each kind that it is not."""
    try:
        return parsed(value)
    except ValidationError:
        raise ValueError("expected a number, true, false, null or up to 50 texts of 200 characters") from None


Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
AttributeText = Annotated[str, StringConstraints(max_length=200)]
AttributeTexts = Annotated[tuple[AttributeText, ...], Field(max_length=50)]
AttributeValue = Annotated[
    Annotated[bool, Field(strict=True)] | Number | AttributeText | AttributeTexts | None, WrapValidator(_attribute)
]
Attributes = Annotated[dict[AttributeName, AttributeValue], Field(max_length=50)]
SESSION = "Its stored events count as if they were sent along; it keeps its arm of an experiment."
STORED_SESSION = "A session whose stored events count as if they were sent along."
USER = "Attributes of the user, over the stored ones, such as age; unknown ones say nothing."
CONTEXT = "Circumstances of the request; unknown ones say nothing."
Filter = dict[str, Any] | str


class CommonParams(RequestModel):
    """Options of every request."""

    limit: Annotated[int, NotBoolean] = Field(default=12, ge=1, le=100, description="Maximum number of products.")
    explain: Literal["none", "summary"] = Field(default="none", description="Parts of each score, and reasons.")


class QueryParams(CommonParams):
    """CommonParams in a query string."""

    session_id: Id | None = Field(default=None, description=STORED_SESSION)
    filter: str | None = Field(default=None, examples=['price < 50 AND NOT brand: ANY("Acme")'])
    weights: Annotated[
        Weights | None,
        BeforeValidator(_pairs),
        WithJsonSchema({"type": "string", "pattern": _PAIRS, "examples": ["image=1,category=0.5"]}),
    ] = None
    fields: Annotated[
        tuple[str, ...],
        BeforeValidator(split_by_commas),
        WithJsonSchema({"type": "string", "examples": ["title,price"]}),
    ] = Field(default=(), max_length=50, description="Attributes of the products to return.")


class ItemQueryParams(QueryParams):
    """The twin of a path that holds an item id, for ids with a slash."""

    item_id: Id


class UserQueryParams(QueryParams):
    """The twin of a path that holds a user id."""

    user_id: Id


class ItemId(RequestModel):
    """One product."""

    item_id: Id


class UserId(RequestModel):
    """One user."""

    user_id: Id


class UserAttributes(RequestModel):
    """The attributes of a user, in the place of those stored before."""

    attributes: Attributes = Field(examples=[{"age": 34, "segment": "trade"}])


class UserData(UserAttributes):
    """The twin of a path that holds a user id."""

    user_id: Id


class SeedItem(ItemId):
    """A seed product and its weight."""

    weight: float = Field(default=1.0, gt=0, le=1000, strict=True)


class SessionEvent(RequestModel):
    """An event of the session, which is not stored. If it is stored already, it counts once."""

    event_name: EventName = "view_item"
    item_id: Id
    timestamp: Moment | None = Field(default=None, description="By default now.")
    value: Amount | None = Field(default=None, description="Stars of a `rate` event.")
    event_id: Id | None = Field(default=None, description="By which a stored event is known to be the same.")

    def to_event(self, now: datetime) -> Event:
        """Return the library's event."""
        return Event(self.item_id, self.event_name, self.timestamp or now, value=self.value)


class Seeds(RequestModel):
    """What to recommend from; without any, the popular products are returned."""

    items: tuple[SeedItem, ...] = Field(default=(), max_length=100)
    negative_items: tuple[ItemId, ...] = Field(
        default=(), max_length=100, description="Products that the user does not want."
    )
    user_id: Id | None = Field(default=None, description="A user with events in the store.")
    events: tuple[SessionEvent, ...] = Field(default=(), max_length=1000)
    text: Text | None = Field(default=None, description="Searched by words alone without a query encoder.")
    image: Image | None = Field(default=None, description="An image file; needs a query encoder.")


class Exclude(RequestModel):
    """Products that are not returned."""

    item_ids: tuple[Id, ...] = Field(default=(), max_length=10_000)
    seen: bool | None = Field(
        default=None,
        strict=True,
        description="Exclude products of the user's events. By default all, but what the user bought may be "
        "returned where the shop's data show that products are bought again.",
    )
    purchased_days: int | None = Field(
        default=None, ge=1, le=36_500, strict=True, description="Exclude products bought within so many days."
    )


class Diversity(RequestModel):
    """Re-ranking for variety."""

    mmr: float | None = Field(
        default=None, ge=0, le=1, strict=True, description="0 is the order of the score, 1 variety alone."
    )
    max_per: Annotated[dict[str, Annotated[int, Field(ge=1, le=100, strict=True)]], Field(max_length=5)] | None = (
        Field(
            default=None,
            description="Maximum number of products that share a value of an attribute.",
            examples=[{"brand": 3}],
        )
    )


class BoostParams(RequestModel):
    """A number added to the score of the products that match a filter."""

    when: Filter
    add: float = Field(ge=-100, le=100, strict=True)


class RecommendationParams(CommonParams):
    """A request for recommendations."""

    seeds: Seeds = Seeds()
    session_id: Id | None = Field(default=None, description=SESSION)
    strategy: Strategy | None = Field(
        default=None, description="By default similar for one item, for_you for a history, popular for neither."
    )
    filter: Filter | None = Field(default=None, description="A tree of conditions, or the text form.")
    exclude: Exclude = Exclude()
    weights: Weights | None = None
    diversity: Diversity | None = None
    boost: tuple[BoostParams, ...] = Field(default=(), max_length=20)
    fallback: tuple[Fallback, ...] = Field(
        default=("popular",),
        max_length=4,
        description="Strategies to try if the strategy has nothing to go on.",
    )
    fields: tuple[str, ...] = Field(default=(), max_length=50, description="Attributes of the products to return.")
    user: Attributes | None = Field(default=None, description=USER)
    context: Attributes | None = Field(default=None, description=CONTEXT)


class PagePlacement(RequestModel):
    """One placement of a page."""

    placement: str
    limit: Annotated[int, NotBoolean] | None = Field(default=None, ge=1, le=100)


class PageParams(RequestModel):
    """Several placements of one page, in order of priority."""

    seeds: Seeds = Seeds()
    session_id: Id | None = Field(default=None, description=SESSION)
    placements: tuple[PagePlacement, ...] = Field(
        min_length=1, max_length=12, description=f"With at most {MAX_PAGE_PRODUCTS} products in all."
    )
    user: Attributes | None = Field(default=None, description=USER)
    context: Attributes | None = Field(default=None, description=CONTEXT)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        events = len(self.seeds.events) * len(self.placements)
        if events > MAX_PAGE_EVENTS:
            found = f"{len(self.seeds.events)} events for each of {len(self.placements)} placements"
            raise ValueError(f"{found}; at most {MAX_PAGE_EVENTS} are allowed in all: send the latest")
        return self


class SearchParams(CommonParams):
    """A text query, an image query or both."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [name]} for name in ("text", "image", "image_url")]}
    )

    text: Text | None = None
    image: Image | None = Field(default=None, description="An image file.")
    image_url: Annotated[str, StringConstraints(max_length=2000)] | None = Field(
        default=None, description="URL of an image, at a host that the service allows."
    )
    user_id: Id | None = Field(default=None, description="A user whose history personalises the result.")
    session_id: Id | None = Field(default=None, description="A session whose stored events do so, too.")
    filter: Filter | None = None
    weights: Weights | None = None
    fields: tuple[str, ...] = Field(default=(), max_length=50)
    facets: tuple[str, ...] = Field(
        default=(),
        max_length=10,
        description="Attributes whose values are counted among all products that match; the filter's own "
        "conditions on the attribute do not reduce its counts.",
        examples=[["brand", "color"]],
    )
    sort: Sort = Field(default="relevance", description="Order of the products that match the text.")
    cursor: Annotated[str, StringConstraints(max_length=2000)] | None = Field(
        default=None, description="The `next_cursor` of the page before, of the same request."
    )
    user: Attributes | None = Field(default=None, description=USER)
    context: Attributes | None = Field(default=None, description=CONTEXT)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if (self.text, self.image, self.image_url) == (None, None, None):
            raise ValueError("neither text, image nor image_url is given; expected at least one")
        return self


class AutocompleteParams(RequestModel):
    """The beginning of a query."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="What was typed so far; the last word may be unfinished."
    )
    limit: Annotated[int, NotBoolean] = Field(default=5, ge=1, le=20, description="Maximum number of products.")
    queries: Annotated[int, NotBoolean] = Field(default=8, ge=0, le=20, description="Maximum number of queries.")
    filter: str | None = Field(default=None, examples=['price < 50 AND NOT brand: ANY("Acme")'])
    fields: Annotated[
        tuple[str, ...],
        BeforeValidator(split_by_commas),
        WithJsonSchema({"type": "string", "examples": ["title,price"]}),
    ] = Field(default=(), max_length=50, description="Attributes of the products to return.")


class ExplanationParams(RequestModel):
    """Products to explain."""

    item_ids: tuple[Id, ...] = Field(min_length=1, max_length=100)
    seeds: Seeds = Seeds()
    session_id: Id | None = Field(default=None, description="A session whose stored events count, too.")
    filter: Filter | None = None
    exclude: Exclude = Exclude()
    weights: Weights | None = None
    user: Attributes | None = Field(default=None, description=USER)
    context: Attributes | None = Field(default=None, description=CONTEXT)
