"""The responses, for the OpenAPI document.

Views answer with plain mappings of these shapes: building the models would double what a request costs. Tests hold
the two together.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ReasonModel(BaseModel):
    """A reason for a recommendation and its share of the score."""

    code: str
    seed: str | None
    share: float


class Explanation(BaseModel):
    """The terms, which sum to the score, and reasons."""

    parts: dict[str, float]
    reasons: list[ReasonModel]
    text: str | None


class Item(BaseModel):
    """One recommended product."""

    item_id: str
    rank: int
    score: float
    explanation: Explanation | None = None
    fields: dict[str, Any] | None = None


class Retrieval(BaseModel):
    """How the products were found."""

    plan: str
    eligible: int
    candidates: int


class Answer(BaseModel):
    """Recommendations, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "recommendation_id": "20261123T101500Z-3f9ac2d1~~similar~~5f0c1f1e6d0b4f7c",
                "placement": None,
                "strategy": "similar",
                "bundle": "20261123T101500Z-3f9ac2d1",
                "items": [{"item_id": "SKU-2201", "rank": 1, "score": 0.8731}],
                "retrieval": {"plan": "neighbours", "eligible": 1834, "candidates": 64},
                "fallback_used": None,
                "warnings": [],
            }
        }
    )

    recommendation_id: str
    placement: str | None
    strategy: str
    bundle: str
    items: list[Item]
    retrieval: Retrieval
    fallback_used: str | None
    warnings: list[str]


class Pages(BaseModel):
    """Recommendations for each placement of a page, in the order of the request."""

    placements: list[Answer]


class PlacedItem(BaseModel):
    """The rank of a product, or why it is left out."""

    item_id: str
    rank: int | None
    score: float | None
    left_out: list[str]
    failed_conditions: list[str]
    explanation: Explanation | None = None


class Explanations(BaseModel):
    """The explanations of some products."""

    bundle: str
    items: list[PlacedItem]


class ReportLine(BaseModel):
    """Counts of one placement, strategy, generation and arm; a product counts once per response."""

    generation: str
    placement: str
    strategy: str
    arm: str
    impressions: int
    clicks: int
    carts: int
    purchases: int
    click_rate: float | None
    cart_rate: float | None
    purchase_rate: float | None


class Report(BaseModel):
    """Counts and rates of placements."""

    from_: str = Field(alias="from")
    to: str
    placements: list[ReportLine]


class Receipt(BaseModel):
    """The receipt of an event; 'known' if it was sent before, or its user was erased since."""

    event_id: str
    status: Literal["stored", "known"]
    warnings: list[str]


class BatchReceipt(BaseModel):
    """The receipt of one event of a batch."""

    event_id: str | None
    status: Literal["stored", "known", "invalid"]
    warnings: list[str]
    errors: list[dict[str, str]] = []


class Receipts(BaseModel):
    """The receipts of events, in the order of the request."""

    events: list[BatchReceipt]


class Events(BaseModel):
    """Events of a user, oldest first."""

    user_id: str
    events: list[dict[str, Any]]


class User(BaseModel):
    """The stored attributes of a user; none if nothing is stored."""

    user_id: str
    attributes: dict[str, Any]


class Erased(BaseModel):
    """The receipt of an erasure; it names no user."""

    receipt_id: str
    erased_at: str
    events: int


class Merged(BaseModel):
    """The number of events that were assigned to the user."""

    merged: int


class Changed(BaseModel):
    """The revision of the changes, and the products that wait to be embedded."""

    revision: int
    queued: list[str]


class LiveChange(BaseModel):
    """The live changes of a product.

    `earlier` has the moments of the attributes that were changed before `updated_at`. It is `in_force` as far as
    the catalogue's row is older.
    """

    item_id: str
    removed: bool
    attributes: dict[str, Any]
    updated_at: str
    earlier: dict[str, str]
    source: str
    queued: bool
    in_force: bool


class Overlay(BaseModel):
    """A page of live changes; `cursor` is that of the next page, null on the last."""

    entries: list[LiveChange]
    cursor: str | None
    revision: int


class Generation(BaseModel):
    """One published generation: what it replaced, or the generation of the same update that it compacts."""

    generation: str
    created_at: str
    products: int
    current: bool
    previous: str | None
    compacted: str | None


class Generations(BaseModel):
    """The published generations, and the one that this worker has open."""

    generations: list[Generation]
    in_service: str


class Activated(BaseModel):
    """The generation that is current now."""

    generation: str


class Product(BaseModel):
    """The attributes of a product, with live changes."""

    model_config = ConfigDict(extra="allow")

    id: str


class Live(BaseModel):
    """The process is alive."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether requests are answered, and by which generation."""

    status: Literal["ready", "degraded"]
    bundle: str
    problems: dict[str, str]


class Info(BaseModel):
    """The bundle in service."""

    version: str
    bundle: str
    products: int
    attributes: list[str]
    weights: dict[str, dict[str, float]]
    metrics: dict[str, Any]


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []
