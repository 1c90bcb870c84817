"""What is answered, for the OpenAPI document.

Views answer with plain mappings of these shapes: building the models would double what a request costs. Tests hold
the two together.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


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
                "recommendation_id": "5f0c1f1e6d0b4f7c9a53",
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
    strategy: str
    bundle: str
    items: list[Item]
    retrieval: Retrieval
    fallback_used: str | None
    warnings: list[str]


class Receipt(BaseModel):
    """What became of an event."""

    event_id: str
    status: Literal["stored", "known"]
    warnings: list[str]


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
