"""Search: products that match a text, an image or both, page by page, with facets; and autocompletion."""

from dataclasses import replace
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from recommender.filters import parse
from recommender.ranking.request import Request
from recommender.ranking.results import Recommendations
from recommender.recommender import Recommender
from serving import paging
from serving.image_fetch import fetched
from serving.images import check_image
from serving.json_codec import json_response
from serving.metrics import stage
from serving.recommending import (
    check_fields,
    check_names,
    filter_of,
    fixed_filter,
    no_encoder,
    response_body,
    run,
    stored_events,
    user_attributes,
    with_fixed,
)
from serving.schemas.requests import AutocompleteParams, SearchParams
from serving.schemas.responses import Autocompletion, SearchAnswer
from serving.service import require, service

bp = APIBlueprint("search", __name__, url_prefix="/v1")


@bp.post("/search")
@bp.input(SearchParams, arg_name="params")
@bp.output(SearchAnswer)
@bp.doc(responses={415: "Not an image", 501: "No query encoder for an image"})
def search(params: SearchParams) -> Response:
    """Return what matches a text, an image or both; personalised if a user is named."""
    if params.user_id is not None:
        require("server")
    here = service()
    if (params.image or params.image_url) and not here.encodes_queries:
        raise no_encoder()
    params = with_fixed(here, params)
    recommender = here.live.recommender
    stored, warnings = stored_events(here, params.user_id, params.session_id)
    image = params.image if params.image_url is None else fetched(params.image_url, here.settings.image_hosts)
    if image is not None:
        check_image(image, "/image" if params.image_url is None else "/image_url")
    user, more = user_attributes(here, recommender, params.user_id, params.user)
    filter_of(here, params.filter)  # checks it
    check_fields(here, recommender, params.fields)
    check_names(here, params.facets, "/facets")
    request = Request(
        strategy="search",
        text=params.text,
        image=image,
        k=params.limit,
        history=stored,
        exclude_history=False,
        user=user,
        context=params.context,
        filter=None if params.filter is None else parse(params.filter),
        within=fixed_filter(here),
        weights=params.weights,
        explain=params.explain != "none",
        facets=params.facets,
        sort=params.sort,
        encode=here.encodes_queries,
    )
    with stage("search"):
        result, next_cursor = _page(recommender, request, params.cursor)
    body = response_body(here, recommender, result, params, [*warnings, *more])
    return json_response(body | _of_search(recommender, result, params) | {"next_cursor": next_cursor})


@bp.get("/autocomplete")
@bp.input(AutocompleteParams, location="query", arg_name="params")
@bp.output(Autocompletion)
def autocomplete(params: AutocompleteParams) -> Response:
    """Return queries and products for what a user has typed so far."""
    here = service()
    params = with_fixed(here, params)
    recommender = here.live.recommender
    check_fields(here, recommender, params.fields)
    with stage("search"):
        found = recommender.autocomplete(
            params.q, params.limit, queries=params.queries, filter=filter_of(here, params.filter)
        )
    body = found.to_dict()
    for item in body["items"] if params.fields else ():
        item["fields"] = recommender.fields(item["item_id"], params.fields)
    return json_response(body)


def _page(recommender: Recommender, request: Request, cursor: str | None) -> tuple[Recommendations, str | None]:
    """Return the page of a result after a cursor, and the cursor of the next page; None at the end."""
    limit = request.k
    position = None if cursor is None else paging.search_position(cursor)
    seen = 0 if position is None else position.seen
    while True:
        result = run(recommender, replace(request, k=seen + limit + 1))
        after = [item for item in result.items if position is None or position.is_before(item)]
        if len(after) > limit or len(result) < seen + limit + 1:
            break
        seen *= 2  # so many products came before the cursor since
    items = tuple(after[:limit])
    following = paging.search_cursor(items[-1]) if len(after) > limit else None
    return replace(result, items=items), following


def _of_search(recommender: Recommender, result: Recommendations, params: SearchParams) -> dict[str, Any]:
    """Return the members that only searches have."""
    members = result.search_dict()
    if params.fields:
        for item in (item for each in members["alternatives"] for item in each["items"]):
            item["fields"] = recommender.fields(item["item_id"], params.fields)
    return members
