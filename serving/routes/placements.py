"""Routes of placements: recommendations for one, for a page of them, and reports."""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from recommender.errors import RequestError
from recommender.stores import deadline
from recommender.stores.attribution import DRAWN, Attribution
from serving.access import needs
from serving.json_codec import json_response
from serving.paging import page_of
from serving.placements import Visitor, arm_of, merged, visitor_of
from serving.problems import problem_for
from serving.recommending import recommend
from serving.reports import rates
from serving.schemas.events import Period
from serving.schemas.requests import MAX_PAGE_PRODUCTS, PageParams, RecommendationParams
from serving.schemas.responses import Answer, Pages, Report, ReportLine
from serving.service import require, service
from serving.tables import csv_response, wants_csv

bp = APIBlueprint("placements", __name__, url_prefix="/v1")
REPORT_SECONDS = 30.0


@bp.post("/placements/<name>/recommendations")
@bp.input(RecommendationParams, arg_name="params")
@bp.output(Answer)
@bp.doc(responses={404: "Unknown item or placement", 501: "No query encoder"})
def recommend_at(name: str, params: RecommendationParams) -> Response:
    """Return recommendations with a placement's defaults and rules."""
    if params.seeds.user_id is not None:
        require("server")
    return json_response(_at(name, request.get_json(), visitor_of(params)))


@bp.post("/pages/recommendations")
@bp.input(PageParams, arg_name="page")
@bp.output(Pages)
@bp.doc(responses={404: "Unknown item or placement", 501: "No query encoder"})
def recommend_page(page: PageParams) -> Response:
    """Return recommendations for several placements of a page, no product twice; the first has priority.

    The part of a placement that fails has the error in the place of products; only if all fail the request does.
    """
    if page.seeds.user_id is not None:
        require("server")
    _check_size(page)
    given = request.get_json()
    common = {
        "seeds": page.seeds,
        "session_id": page.session_id,
        **{name: given[name] for name in ("user", "context") if name in given},
    }
    hidden: set[str] = set()
    visitor = visitor_of(page)
    answers, failures = [], []
    for each in page.placements:
        limit = {} if each.limit is None else {"limit": each.limit}
        try:
            answer = _at(each.placement, {**common, **limit}, visitor, frozenset(hidden))
        except Exception as error:
            failures.append(problem_for(error))
            answers.append({"placement": each.placement, "error": failures[-1].body()})
        else:
            hidden |= _with_variants(item["item_id"] for item in answer["items"])
            answers.append(answer)
    if len(failures) == len(answers):
        raise failures[0]
    return json_response({"placements": answers})


@bp.get("/reports/placements")
@bp.input(Period, location="query", arg_name="period")
@bp.output(Report)
@bp.doc(responses={503: "The store does not answer"})
@needs("admin")
def report(period: Period) -> Response:
    """Count impressions, clicks, carts and purchases by placement, strategy, generation and arm.

    Impressions by the age of the product, too.
    """
    start = datetime.combine(period.from_, time(), UTC)
    end = datetime.combine(period.to, time.max, UTC)
    here = service()
    events = here.store.events
    with deadline(REPORT_SECONDS):
        counts, exposures = events.counts(start, end), events.exposures(start, end)
    lines = rates(counts, exposures, here.live.recommender.attributes)
    if wants_csv(period.format):
        return csv_response(lines, [name for name in ReportLine.model_fields if name != "ages"])
    page, cursor = page_of(lines, Attribution._fields, period.limit, period.cursor)
    return json_response({"from": period.from_, "to": period.to, "placements": page, "next_cursor": cursor})


def _check_size(page: PageParams) -> None:
    """Raise `RequestError` if the placements of a page have too many products together."""
    placements, default = service().placements.state.placements, RecommendationParams().limit
    defaults = {name: entry.model.question.get("limit", default) for name, entry in placements.items()}
    products = sum(each.limit or defaults.get(each.placement, default) for each in page.placements)
    if products > MAX_PAGE_PRODUCTS:
        found = f"the placements have {products} products in all"
        raise RequestError(f"{found}; at most {MAX_PAGE_PRODUCTS} are allowed: lower limits", "/placements")


def _at(
    name: str, params: Mapping[str, Any], visitor: Visitor, hidden: frozenset[str] = frozenset()
) -> dict[str, Any]:
    here = service()
    placement = here.placements.find(name).model
    if placement.experiment is None:
        return recommend(here, merged(placement, None, params), name, placement, hidden=hidden)
    arm = arm_of(placement.experiment, visitor.id)
    label = arm.name if visitor.is_known else DRAWN
    return recommend(here, merged(placement, arm, params), name, placement, arm.generation, label, hidden)


def _with_variants(ids: Any) -> set[str]:
    recommender = service().live.recommender
    shown = set(ids)
    rows = [recommender.attributes.row_of(item_id) for item_id in shown]
    variants = (recommender.segment.variants(row) for row in rows if row >= 0)
    return shown.union(*(recommender.attributes.ids.ids_of(group) for group in variants))
