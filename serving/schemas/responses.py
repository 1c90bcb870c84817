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
    explored: bool | None = None
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
                "recommendation_id": "20261123T101500Z-3f9ac2d1~~similar~~mV0xLq3sT9-fYb2A",
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


class FacetValue(BaseModel):
    """A value of an attribute, and the number of matching products that have it; variants count once."""

    value: str
    count: int


class AlternativeModel(BaseModel):
    """Products beside a search that found nothing: they do not match it, but `text` if there is one."""

    reason: str
    text: str | None
    items: list[Item]


class SearchAnswer(Answer):
    """Products that match, best first; `retrieval.eligible` is the number of all.

    `next_cursor` is null on the last page. Where nothing matches, `items` is empty and there are `alternatives`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "recommendation_id": "20261123T101500Z-3f9ac2d1~~search~~mV0xLq3sT9-fYb2A",
                "placement": None,
                "strategy": "search",
                "bundle": "20261123T101500Z-3f9ac2d1",
                "items": [{"item_id": "SKU-2201", "rank": 1, "score": 2.4131}],
                "retrieval": {"plan": "exact", "eligible": 48, "candidates": 48},
                "fallback_used": None,
                "warnings": ["words corrected: shrit → shirt"],
                "facets": {"brand": [{"value": "Acme", "count": 31}]},
                "alternatives": [],
                "next_cursor": None,
            }
        }
    )

    facets: dict[str, list[FacetValue]]
    alternatives: list[AlternativeModel]
    next_cursor: str | None


class CompletedQuery(BaseModel):
    """A query, and the number of products that have all of its words; variants count once."""

    text: str
    count: int


class Autocompletion(BaseModel):
    """Queries and products for what was typed."""

    queries: list[CompletedQuery]
    items: list[Item]


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []


class FailedPlacement(BaseModel):
    """A placement of a page that has no answer, and why."""

    placement: str
    error: ProblemDetails


class Pages(BaseModel):
    """Recommendations for each placement of a page, or its error, in the order of the request."""

    placements: list[Answer | FailedPlacement]


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


class Ages(BaseModel):
    """Impressions by the days since the product's `published_at`."""

    under_7_days: int
    under_30_days: int
    under_90_days: int
    older: int
    unknown: int


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
    ages: Ages


class Report(BaseModel):
    """Counts and rates of placements."""

    from_: str = Field(alias="from")
    to: str
    placements: list[ReportLine]
    next_cursor: str | None


class OrderLineModel(BaseModel):
    """What one group of recommendations sold in one currency, which is empty where events name none.

    `average_order_value` is the revenue per order; `users` are distinct; `unpriced_units` have no price and are in
    no revenue. A line has those of day, placement, strategy and arm that `by` names.
    """

    day: str | None = None
    placement: str | None = None
    strategy: str | None = None
    arm: str | None = None
    currency: str
    orders: int
    units: float
    revenue: float
    average_order_value: float
    users: int
    unpriced_units: float


class ShopTotal(BaseModel):
    """All orders of the shop in one currency, and the part that recommendations are credited with."""

    currency: str
    orders: int
    units: float
    revenue: float
    average_order_value: float
    users: int
    unpriced_units: float
    attributed_orders: int
    attributed_revenue: float


class RuleModel(BaseModel):
    """The attribution rule of the settings, and in words."""

    click_days: int
    view_days: int
    rule: str


class OrderReport(BaseModel):
    """Orders that recommendations are credited with."""

    from_: str = Field(alias="from")
    to: str
    attribution: RuleModel
    shop: list[ShopTotal]
    lines: list[OrderLineModel]
    next_cursor: str | None


class ArmModel(BaseModel):
    """What the visitors of an arm bought; revenue by currency, of units with a price."""

    arm: str
    share: float
    visitors: int
    converted: int
    conversion_rate: float | None
    orders: int
    units: float
    revenue: dict[str, float]
    revenue_per_visitor: dict[str, float]


class EffectDay(BaseModel):
    """The means until the end of a day, and the effect with its interval; null while too few have converted."""

    day: str
    control: float | None
    mean: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_value: float


class EffectModel(BaseModel):
    """What an arm adds to the first arm's mean per visitor; `lift` is that as a share.

    `p_value` and the interval hold on all days together.
    """

    arm: str
    effect: float | None
    low: float | None
    high: float | None
    p_value: float
    lift: float | None
    is_significant: bool
    variance_reduction: float
    days: list[EffectDay]


class MetricModel(BaseModel):
    """The effects of the arms on a metric; revenue per visitor has a currency."""

    metric: Literal["conversion_rate", "revenue_per_visitor"]
    currency: str | None
    effects: list[EffectModel]


class VisitorsDay(BaseModel):
    """Visitors of each arm until the end of a day, and the p-value of their ratio."""

    day: str
    visitors: dict[str, int]
    sample_ratio_p_value: float


class RatioModel(BaseModel):
    """Whether the arms have visitors in the ratio of their shares."""

    p_value: float
    is_mismatch: bool


class ExperimentReport(BaseModel):
    """The arms of an experiment, and what can be concluded."""

    from_: str = Field(alias="from")
    to: str
    experiment: str
    placements: list[str]
    planned_visitors: int
    method: str
    arms: list[ArmModel]
    metrics: list[MetricModel]
    days: list[VisitorsDay]
    sample_ratio: RatioModel
    mixed_visitors: int
    warnings: list[str]


class Receipt(BaseModel):
    """The receipt of an event; 'known' if it was sent before, or its user or session was erased since."""

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
    """Events of a user, oldest first; `next_cursor` is of those before them, null once there are none."""

    user_id: str
    events: list[dict[str, Any]]
    next_cursor: str | None


class User(BaseModel):
    """The stored attributes of a user; none if nothing is stored."""

    user_id: str
    attributes: dict[str, Any]


class Erased(BaseModel):
    """The receipt of an erasure; it names neither user nor session."""

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
    """Live changes, in order of id."""

    entries: list[LiveChange]
    next_cursor: str | None
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
    next_cursor: str | None


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


class ComponentStatus(BaseModel):
    """The status of one part of the service; errors only for a key of scope admin."""

    status: Literal["ok", "degraded", "starting", "down"]
    detail: str
    errors: list[str] | None = None


class Ready(BaseModel):
    """Whether requests are answered, by which generation, and which component is not ok."""

    status: Literal["ready", "degraded", "starting"]
    bundle: str
    components: dict[str, ComponentStatus]


class Info(BaseModel):
    """The bundle in service, and the market that the request names."""

    market: str | None = None
    currency: str | None = None
    version: str
    bundle: str
    products: int
    attributes: list[str]
    weights: dict[str, dict[str, float]]
    metrics: dict[str, Any]
