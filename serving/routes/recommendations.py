"""Similar items, recommendations for a user, and the general question."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from apiflask import APIBlueprint
from flask import Response, request

from recommender.errors import StoreError
from recommender.events import Event
from recommender.recommender import Recommender
from recommender.results import Recommendations
from serving.answers import Answer
from serving.json import json_response
from serving.questions import ask, options
from serving.requests import ItemQuery, Query, Question, Seeds, UserId, UserQuery
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


@bp.get("/users/<user_id>/recommendations")
@bp.input(UserId, location="path", arg_name="user")
@bp.input(Query, location="query", arg_name="query")
@bp.output(Answer)
def for_user(user_id: str, user: UserId, query: Query) -> Response:
    """Recommend for a user, by the events that the store has."""
    return _for_user(user.user_id, query)


@bp.get("/recommendations")
@bp.input(UserQuery, location="query", arg_name="query")
@bp.output(Answer)
def for_user_by_query(query: UserQuery) -> Response:
    """Recommend for a user whose id may hold a slash."""
    return _for_user(query.user_id, query)


@bp.post("/recommendations")
@bp.input(Question, arg_name="question")
@bp.output(Answer)
@bp.doc(responses={404: "Unknown item", 501: "No query encoder"})
def recommend(question: Question) -> Response:
    """Answer the general question: seeds, filter, exclusions, weights."""
    return _ask(question)


def _similar(item_id: str, query: Query) -> Response:
    engine = service().engine
    recommender = engine.recommender
    etag = _etag(recommender.generation, engine.overlay.revision(), request.full_path)
    headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
    if etag in request.headers.get("If-None-Match", ""):
        return Response(status=304, headers=headers)
    found = recommender.similar(item_id, query.limit, **options(recommender, query))
    return json_response(_answer(recommender, found, query.fields), headers)


def _etag(*parts: object) -> str:
    return blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _for_user(user_id: str, query: Query) -> Response:
    said = query.model_dump(include={"limit", "explain", "filter", "weights", "fields"})
    return _ask(Question(seeds=Seeds(user_id=user_id), strategy="for_you", **said))


def _ask(question: Question) -> Response:
    recommender = service().engine.recommender
    stored, warnings = _stored(question.seeds.user_id)
    found = ask(recommender, question, stored)
    return json_response(_answer(recommender, found, question.fields, warnings))


def _stored(user_id: str | None) -> tuple[list[Event], list[str]]:
    """Return a user's events; without the store, recommendations go on from what else there is."""
    if user_id is None:
        return [], []
    try:
        return service().store.events.history(user_id), []
    except StoreError:
        return [], ["the event store does not answer; the user's events are left out"]


def _answer(
    recommender: Recommender, found: Recommendations, fields: Sequence[str], warnings: Sequence[str] = ()
) -> dict[str, Any]:
    body = {"recommendation_id": uuid4().hex, **found.to_dict()}
    body["warnings"].extend(warnings)
    if fields:
        for item in body["items"]:
            item["fields"] = _fields(recommender, item["item_id"], fields)
    return body


def _fields(recommender: Recommender, item_id: str, names: Sequence[str]) -> dict[str, Any]:
    known = recommender.attributes.fields(recommender.attributes.row_of(item_id), names)
    changed = service().engine.overlay.changes().get(item_id) or {}
    return {name: changed.get(name, value) for name, value in known.items()}
