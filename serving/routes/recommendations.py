"""Questions that are a GET: similar items, what goes together, a user, trending and new."""

from hashlib import blake2b
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from serving.access import needs
from serving.asking import ask, body, options
from serving.json_codec import json_response
from serving.metrics import stage
from serving.schemas.requests import ItemQuery, Query, Question, Seeds, UserId, UserQuery
from serving.schemas.responses import Answer
from serving.service import service

bp = APIBlueprint("recommendations", __name__, url_prefix="/v1")


@bp.get("/items/<item_id>/similar")
@bp.input(Query, location="query", arg_name="query")
@bp.output(Answer)
@bp.doc(responses={304: "The answer is still the one of the ETag."})
def similar(item_id: str, query: Query) -> Response:
    """Answer the products most like one."""
    return _similar(item_id, query)


@bp.get("/similar")
@bp.input(ItemQuery, location="query", arg_name="query")
@bp.output(Answer)
@bp.doc(responses={304: "The answer is still the one of the ETag.", 404: "Unknown item"})
def similar_by_query(query: ItemQuery) -> Response:
    """Answer the products most like one whose id may hold a slash."""
    return _similar(query.item_id, query)


@bp.get("/items/<item_id>/complementary")
@bp.input(Query, location="query", arg_name="query")
@bp.output(Answer)
def complementary(item_id: str, query: Query) -> Response:
    """Answer what is bought together with a product."""
    return _of_item(item_id, query)


@bp.get("/complementary")
@bp.input(ItemQuery, location="query", arg_name="query")
@bp.output(Answer)
@bp.doc(responses={404: "Unknown item"})
def complementary_by_query(query: ItemQuery) -> Response:
    """Answer what is bought together with a product whose id may hold a slash."""
    return _of_item(query.item_id, query)


@bp.get("/users/<user_id>/recommendations")
@bp.input(UserId, location="path", arg_name="user")
@bp.input(Query, location="query", arg_name="query")
@bp.output(Answer)
@needs("server")
def for_user(user_id: str, user: UserId, query: Query) -> Response:
    """Recommend for a user, by the events that the store has."""
    return _ask(query, seeds=Seeds(user_id=user.user_id), strategy="for_you")


@bp.get("/recommendations")
@bp.input(UserQuery, location="query", arg_name="query")
@bp.output(Answer)
@needs("server")
def for_user_by_query(query: UserQuery) -> Response:
    """Recommend for a user whose id may hold a slash."""
    return _ask(query, seeds=Seeds(user_id=query.user_id), strategy="for_you")


@bp.get("/trending")
@bp.input(Query, location="query", arg_name="query")
@bp.output(Answer)
def trending(query: Query) -> Response:
    """Answer what users have chosen lately."""
    return _ask(query, strategy="trending")


@bp.get("/new")
@bp.input(Query, location="query", arg_name="query")
@bp.output(Answer)
def new(query: Query) -> Response:
    """Answer what was published last."""
    return _ask(query, strategy="new")


def _similar(item_id: str, query: Query) -> Response:
    engine = service().engine
    recommender = engine.recommender
    etag = _etag(recommender.generation, engine.overlay.revision(), request.full_path)
    headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
    if etag in request.headers.get("If-None-Match", ""):
        return Response(status=304, headers=headers)
    said = options(recommender, query)
    with stage("search"):
        found = recommender.similar(item_id, query.limit, **said)
    return json_response(body(recommender, found, query), headers)


def _etag(*parts: object) -> str:
    return blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _of_item(item_id: str, query: Query) -> Response:
    service().engine.recommender.product(item_id)  # a 404 for an id never seen
    seeds = Seeds.model_validate({"items": [{"item_id": item_id}]})
    return _ask(query, seeds=seeds, strategy="complementary")


def _ask(query: Query, **question: Any) -> Response:
    said = {name: getattr(query, name) for name in ("limit", "explain", "filter", "weights", "fields")}
    return json_response(ask(service(), Question(**question, **said)))
