"""Questions that are a POST: the general one, a search, and why."""

from datetime import UTC, datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from recommender.ranking.results import item_dict
from recommender.ranking.why_not import Placed
from serving.asking import ask, body, options, stored_events
from serving.image_fetch import fetched
from serving.json_codec import json_response
from serving.metrics import stage
from serving.schemas.requests import Explain, Question, Search
from serving.schemas.responses import Answer, Explanations
from serving.service import require, service
from serving.strategies import excluded, no_encoder

bp = APIBlueprint("questions", __name__, url_prefix="/v1")


@bp.post("/recommendations")
@bp.input(Question, arg_name="question")
@bp.output(Answer)
@bp.doc(responses={404: "Unknown item", 501: "No query encoder"})
def recommend(question: Question) -> Response:
    """Answer the general question: seeds, strategy, filter, exclusions, weights, boosts, diversity."""
    if question.seeds.user_id is not None:
        require("server")
    return json_response(ask(service(), question))


@bp.post("/search")
@bp.input(Search, arg_name="asked")
@bp.output(Answer)
@bp.doc(responses={415: "Not a picture", 501: "No query encoder"})
def search(asked: Search) -> Response:
    """Answer what fits words, a picture or both; bent to a user's taste if one is named."""
    if asked.user_id is not None:
        require("server")
    here = service()
    if not here.reads_queries:
        raise no_encoder()
    recommender = here.engine.recommender
    stored, warnings = stored_events(here, asked.user_id)
    image = asked.image if asked.image_url is None else fetched(asked.image_url, here.settings.image_hosts)
    said = options(recommender, asked)
    with stage("search"):
        found = recommender.search(asked.text, image, asked.limit, history=stored, **said)
    return json_response(body(recommender, found, asked, warnings))


@bp.post("/explanations")
@bp.input(Explain, arg_name="asked")
@bp.output(Explanations)
def explain(asked: Explain) -> Response:
    """Say of products why they are recommended for these seeds, or what leaves them out."""
    if asked.seeds.user_id is not None:
        require("server")
    here = service()
    recommender = here.engine.recommender
    question = Question(seeds=asked.seeds, filter=asked.filter, exclude=asked.exclude, weights=asked.weights)
    stored, _ = stored_events(here, asked.seeds.user_id)
    now = datetime.now(UTC)
    history = [*stored, *(event for event, _ in asked.seeds.history(now))]
    said = options(recommender, asked, excluded(question, history, now))
    placed = recommender.explain(asked.item_ids, history, exclude_history=asked.exclude.seen, **said)
    return json_response({"bundle": recommender.generation, "items": [_told(each) for each in placed]})


def _told(placed: Placed) -> dict[str, Any]:
    told: dict[str, Any] = {"item_id": placed.item_id, "rank": None, "score": None}
    told |= {"left_out": placed.left_out, "failed_conditions": placed.failed}
    if placed.explained is not None:
        told |= item_dict(placed.explained) | {"rank": placed.explained.rank or None}
    return told
