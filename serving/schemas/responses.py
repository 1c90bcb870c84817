"""What is answered, for the OpenAPI document.

Views answer with plain mappings of these shapes: building the models would double what a request costs. Tests hold
the two together.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Reason(BaseModel):
    """Why a product is there, and how much of its score that makes."""

    code: str
    seed: str | None
    share: float


class Explanation(BaseModel):
    """The parts sum to the score."""

    parts: dict[str, float]
    reasons: list[Reason]
    text: str | None


class Item(BaseModel):
    """One product of an answer."""

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
    """Products, best first."""

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
    """An answer for each placement of a page, in the order of the request."""

    placements: list[Answer]


class PlacedItem(BaseModel):
    """Where a product stands for these seeds, or what leaves it out."""

    item_id: str
    rank: int | None
    score: float | None
    left_out: list[str]
    failed_conditions: list[str]
    explanation: Explanation | None = None


class Explanations(BaseModel):
    """The places of some products."""

    bundle: str
    items: list[PlacedItem]


class ReportLine(BaseModel):
    """How one kind of answer did; a product counts once in each answer."""

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
    """How placements did."""

    from_: str = Field(alias="from")
    to: str
    placements: list[ReportLine]


class Receipt(BaseModel):
    """What became of an event; one that is known was sent before, or its user was erased since."""

    event_id: str
    status: Literal["stored", "known"]
    warnings: list[str]


class BatchReceipt(BaseModel):
    """What became of one event among others."""

    event_id: str | None
    status: Literal["stored", "known", "invalid"]
    warnings: list[str]
    errors: list[dict[str, str]] = []


class Receipts(BaseModel):
    """What became of events, in the order of the request."""

    events: list[BatchReceipt]


class Events(BaseModel):
    """Events of a user, oldest first."""

    user_id: str
    events: list[dict[str, Any]]


class Erased(BaseModel):
    """The receipt of an erasure; it names nobody."""

    receipt_id: str
    erased_at: str
    events: int


class Merged(BaseModel):
    """How many events have got a user."""

    merged: int


class Changed(BaseModel):
    """What became of changes: their revision, and the products that wait to be embedded."""

    revision: int
    queued: list[str]


class Generation(BaseModel):
    """One published generation."""

    generation: str
    created_at: str
    products: int
    current: bool


class Generations(BaseModel):
    """The published generations, and the one that this worker answers from."""

    generations: list[Generation]
    in_service: str


class Activated(BaseModel):
    """The generation that is current now."""

    generation: str


class Product(BaseModel):
    """What the catalogue says of a product, changes since the bundle included."""

    model_config = ConfigDict(extra="allow")

    id: str


class Live(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether questions are answered, and whether by what is current."""

    status: Literal["ready", "degraded"]
    bundle: str
    problems: dict[str, str]


class Info(BaseModel):
    """What is in service."""

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
