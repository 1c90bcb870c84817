"""GET routes: similar and complementary items, recommendations for a user, trending and new items."""

from dataclasses import replace
from hashlib import blake2b
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from recommender.errors import UnknownItemError
from recommender.ranking.request import Request
from recommender.ranking.results import Recommendations
from recommender.recommender import Recommender
from serving.access import needs
from serving.json_codec import JSON, encoded, json_response
from serving.metrics import stage
from serving.recommending import check_fields, content, counted, filter_of, recommend, with_fixed
from serving.schemas.requests import (
    ItemQueryParams,
    QueryParams,
    RecommendationParams,
    Seeds,
    UserId,
    UserQueryParams,
)
from serving.schemas.responses import Answer
from serving.service import Service, service

bp = APIBlueprint("recommendations", __name__, url_prefix="/v1")


@bp.get("/items/<item_id>/similar")
@bp.input(QueryParams, location="query", arg_name="query")
@bp.output(Answer)
@bp.doc(responses={304: "The response of the ETag is still valid."})
def similar(item_id: str, query: QueryParams) -> Response:
    """Return the products most similar to one."""
    return _similar(item_id, query)


@bp.get("/similar")
@bp.input(ItemQueryParams, location="query", arg_name="query")
@bp.output(Answer)
@bp.doc(responses={304: "The response of the ETag is still valid.", 404: "Unknown item"})
def similar_by_query(query: ItemQueryParams) -> Response:
    """Return the products most similar to one whose id may contain a slash."""
    return _similar(query.item_id, query)


@bp.get("/items/<item_id>/complementary")
@bp.input(QueryParams, location="query", arg_name="query")
@bp.output(Answer)
def complementary(item_id: str, query: QueryParams) -> Response:
    """Return what is bought together with a product."""
    return _of_item(item_id, query)


@bp.get("/complementary")
@bp.input(ItemQueryParams, location="query", arg_name="query")
@bp.output(Answer)
@bp.doc(responses={404: "Unknown item"})
def complementary_by_query(query: ItemQueryParams) -> Response:
    """Return what is bought together with a product whose id may contain a slash."""
    return _of_item(query.item_id, query)


@bp.get("/users/<user_id>/recommendations")
@bp.input(UserId, location="path", arg_name="user")
@bp.input(QueryParams, location="query", arg_name="query")
@bp.output(Answer)
@needs("server")
def for_user(user_id: str, user: UserId, query: QueryParams) -> Response:
    """Return recommendations for a user, from the events in the store."""
    return _recommend(query, seeds=Seeds(user_id=user.user_id), strategy="for_you")


@bp.get("/recommendations")
@bp.input(UserQueryParams, location="query", arg_name="query")
@bp.output(Answer)
@needs("server")
def for_user_by_query(query: UserQueryParams) -> Response:
    """Return recommendations for a user whose id may contain a slash."""
    return _recommend(query, seeds=Seeds(user_id=query.user_id), strategy="for_you")


@bp.get("/trending")
@bp.input(QueryParams, location="query", arg_name="query")
@bp.output(Answer)
def trending(query: QueryParams) -> Response:
    """Return the products with the most recent events."""
    return _recommend(query, strategy="trending")


@bp.get("/new")
@bp.input(QueryParams, location="query", arg_name="query")
@bp.output(Answer)
def new(query: QueryParams) -> Response:
    """Return the products published last."""
    return _recommend(query, strategy="new")


def _similar(item_id: str, query: QueryParams) -> Response:
    if query.session_id is not None:  # its events change the response, which an ETag does not tell
        return _recommend(query, seeds=_item(item_id), strategy="similar")
    here = service()
    recommender, query = here.live.recommender, with_fixed(here, query)
    key = here.access.fixed, sorted(here.access.private_fields)
    state = (here.market, recommender.revision, request.full_path, *key)
    etag = blake2b(repr(state).encode(), digest_size=12).hexdigest()
    headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
    if etag in request.headers.get("If-None-Match", ""):
        return Response(status=304, headers=headers)
    answer = here.answers.get(etag)  # it depends on nothing else, but for its id
    if answer is None:
        result = _most_similar(here, recommender, item_id, query)
        # without `describe`, which holds the bundle open
        answer = replace(result, describe=None), encoded(content(recommender, result, query))
        here.answers.put(etag, answer)
    result, rest = answer
    recommendation_id = counted(here, result, query.limit)
    body = b'{"recommendation_id":%b,%b' % (encoded(recommendation_id), rest[1:])
    return Response(body, headers=headers, content_type=JSON)


def _most_similar(here: Service, recommender: Recommender, item_id: str, query: QueryParams) -> Recommendations:
    node = filter_of(here, query.filter)
    check_fields(here, recommender, query.fields)
    similar_request = Request(
        strategy="similar",
        items=(item_id,),
        k=query.limit,
        filter=node,
        weights=query.weights,
        explain=query.explain != "none",
    )
    try:
        with stage("search"):
            return recommender.run(similar_request)
    except UnknownItemError as error:  # the request has no seeds to point at
        raise UnknownItemError(item_id, error.suggestion) from None


def _of_item(item_id: str, query: QueryParams) -> Response:
    service().live.recommender.product(item_id)  # a 404 for an id never seen
    return _recommend(query, seeds=_item(item_id), strategy="complementary")


def _item(item_id: str) -> Seeds:
    return Seeds.model_validate({"items": [{"item_id": item_id}]})


def _recommend(query: QueryParams, **params: Any) -> Response:
    common = {name: getattr(query, name) for name in QueryParams.model_fields}
    return json_response(recommend(service(), RecommendationParams(**params, **common)))
