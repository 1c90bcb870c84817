"""POST routes: recommendations and explanations."""

from datetime import UTC, datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from recommender.errors import RequestError
from recommender.filters import size
from recommender.ranking.request import Request
from recommender.ranking.results import item_dict
from recommender.ranking.why_not import ItemStatus
from serving.json_codec import json_response
from serving.recommending import (
    filter_of,
    recommend,
    seed_arguments,
    stored_events,
    user_attributes,
    with_fixed,
)
from serving.schemas.requests import ExplanationParams, RecommendationParams
from serving.schemas.responses import Answer, Explanations
from serving.service import require, service

MAX_EXPLAINED = 5_000
bp = APIBlueprint("questions", __name__, url_prefix="/v1")


@bp.post("/recommendations")
@bp.input(RecommendationParams, arg_name="params")
@bp.output(Answer)
@bp.doc(responses={404: "Unknown item", 501: "No query encoder"})
def recommendations(params: RecommendationParams) -> Response:
    """Return recommendations for seeds: strategy, filter, exclusions, weights, boosts, diversity."""
    if params.seeds.user_id is not None:
        require("server")
    return json_response(recommend(service(), params))


@bp.post("/explanations")
@bp.input(ExplanationParams, arg_name="params")
@bp.output(Explanations)
def explain(params: ExplanationParams) -> Response:
    """Return why products are recommended for these seeds, or what leaves them out."""
    if params.seeds.user_id is not None:
        require("server")
    here = service()
    params = with_fixed(here, params)
    recommender = here.live.recommender
    stored, _ = stored_events(here, params.seeds.user_id, params.session_id)
    user, _ = user_attributes(here, recommender, params.seeds.user_id, params.user)
    request = Request(
        **seed_arguments(recommender, params, stored, datetime.now(UTC)),
        k=1,
        user=user,
        context=params.context,
        filter=filter_of(here, params.filter),
        weights=params.weights,
        exclude=params.exclude.item_ids,
        exclude_history=params.exclude.seen,
        exclude_purchased_days=params.exclude.purchased_days,
    )
    if request.node is not None and size(request.node) * len(params.item_ids) > MAX_EXPLAINED:
        detail = f"{len(params.item_ids)} products times {size(request.node)} conditions and values of the filter"
        raise RequestError(f"{detail} are more than {MAX_EXPLAINED}; ask for fewer products at once", "/item_ids")
    statuses = recommender.why_not(request, params.item_ids)
    return json_response({"bundle": recommender.generation, "items": [_status_dict(each) for each in statuses]})


def _status_dict(status: ItemStatus) -> dict[str, Any]:
    body: dict[str, Any] = {"item_id": status.item_id, "rank": None, "score": None}
    body |= {"left_out": status.left_out, "failed_conditions": status.failed}
    if status.recommendation is not None:
        body |= item_dict(status.recommendation) | {"rank": status.recommendation.rank or None}
    return body
