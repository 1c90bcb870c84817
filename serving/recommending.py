"""From the parsed parameters of an HTTP request to a `Request`, and from its result to the response's body."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from recommender.errors import RequestError, StoreError, nearest
from recommender.events import Event
from recommender.filters import Node, parse
from recommender.filters.conditions import And, Not
from recommender.ranking.request import Boost, Request
from recommender.ranking.results import Recommendations
from recommender.recommender import Recommender
from recommender.stores.attribution import Attribution
from serving.metrics import count_answer, stage
from serving.placements import BURIED
from serving.problems import Problem
from serving.schemas.requests import QueryParams, RecommendationParams, SearchParams, Seeds
from serving.service import Service
from serving.settings import Arm, Placement

NO_PLACEMENT = Placement()


def recommend(
    service: Service,
    params: RecommendationParams,
    name: str = "",
    placement: Placement = NO_PLACEMENT,
    arm: Arm | None = None,
    hidden: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return the response to a request for recommendations.

    Parameters
    ----------
    name, placement, arm
        The placement, if there is one; its defaults are in the parameters already.
    hidden
        Ids that are shown elsewhere on the page.
    """
    seeds = params.seeds
    if (seeds.text or seeds.image) and not service.encodes_queries:
        raise no_encoder()
    recommender = service.live.generation(arm.generation if arm else None)
    stored, warnings = stored_events(service, seeds.user_id)
    now = datetime.now(UTC)
    check_fields(recommender, params.fields)
    user, more = user_attributes(service, recommender, seeds.user_id, params.user)
    request = Request(
        **seed_arguments(seeds, stored, now),
        user=user,
        trending=service.trending.products,
        **rules_of(params, placement, hidden),
    )
    with stage("search"):
        result = recommender.run(request)
    return response_body(recommender, result, params, [*warnings, *more], name, arm.name if arm else "")


def rules_of(
    params: RecommendationParams, placement: Placement, hidden: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the arguments of `Request` that say how to answer, whoever asks."""
    return {
        "context": params.context,
        "strategy": params.strategy,
        "k": params.limit,
        "filter": filter_of(params.filter, placement),
        "weights": params.weights,
        "exclude": hidden.union(params.exclude.item_ids),
        "exclude_history": params.exclude.seen,
        "exclude_purchased_days": params.exclude.purchased_days,
        "explain": params.explain != "none",
        "boost": _boosts(params, placement),
        "diversity": params.diversity.model_dump(exclude_none=True) if params.diversity else None,
        "pin": {pin.position: pin.item_id for pin in placement.pin},
        "fallback": params.fallback,
    }


def seed_arguments(seeds: Seeds, stored: Sequence[Event], now: datetime) -> dict[str, Any]:
    """Return the arguments of `Request` that say what to recommend from."""
    weights = [item.weight for item in seeds.items]
    return {
        "items": [item.item_id for item in seeds.items],
        "item_weights": weights if any(weight != 1.0 for weight in weights) else None,
        "negative_items": [item.item_id for item in seeds.negative_items],
        "history": stored,
        "session": [event.to_event(now) for event in seeds.events],
        "text": seeds.text,
        "image": seeds.image,
        "now": now,
    }


def filter_of(filter: Any, placement: Placement = NO_PLACEMENT) -> Node | None:
    """Return the parsed filter of a request, together with those of its placement."""
    nodes: list[Node] = [] if filter is None else [parse(filter)]
    default = placement.question.get("filter")
    if default is not None and default != filter:
        nodes.append(parse(default))
    if placement.block is not None:
        nodes.append(Not(parse(placement.block)))
    return And(tuple(nodes)) if len(nodes) > 1 else nodes[0] if nodes else None


def check_fields(recommender: Recommender, fields: Sequence[str]) -> None:
    """Raise `RequestError` unless the products have these attributes."""
    for position, name in enumerate(fields):
        if name not in (known := recommender.attributes.names):
            message = f"unknown field {name!r}; expected one of {', '.join(known)}"
            raise RequestError(message, f"/fields/{position}", nearest(name, known))


def stored_events(service: Service, user_id: str | None) -> tuple[list[Event], list[str]]:
    """Return a user's events from the store, and a warning if it does not answer."""
    if user_id is None:
        return [], []
    try:
        with stage("history"):
            return service.store.events.history(user_id), []
    except StoreError:
        return [], ["the event store does not answer; the user's events are left out"]


def user_attributes(
    service: Service, recommender: Recommender, user_id: str | None, given: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any] | None, list[str]]:
    """Return the attributes of a user, those of the request over the stored ones, and a warning as above.

    Of the stored ones, which may be many, those that the bundle learned from.
    """
    known = recommender.profile_columns["user"]
    if user_id is None or not known:
        return given, []
    try:
        with stage("history"):
            stored = service.store.users.get(user_id) or {}
    except StoreError:
        return given, ["the event store does not answer; the user's attributes are left out"]
    return {name: stored[name] for name in known if name in stored} | {**(given or {})} or None, []


def response_body(
    recommender: Recommender,
    result: Recommendations,
    params: QueryParams | RecommendationParams | SearchParams,
    warnings: Sequence[str] = (),
    placement: str = "",
    arm: str = "",
) -> dict[str, Any]:
    """Return a result as the HTTP API defines it, counted and with an id for attribution."""
    attribution = Attribution(result.generation, placement, result.strategy, arm)
    count_answer(placement, result, min(params.limit, result.eligible))
    body = {"recommendation_id": attribution.new_id(), "placement": placement or None, **result.to_dict()}
    body["warnings"].extend(warnings)
    if params.fields:
        for item in body["items"]:
            item["fields"] = recommender.fields(item["item_id"], params.fields)
    return body


def no_encoder() -> Problem:
    """Return the error of a text or image query where there is no encoder."""
    return Problem(501, "no-query-encoder", "this service has no encoder for texts and images: --query-encoder")


def _boosts(params: RecommendationParams, placement: Placement) -> list[Boost]:
    boosts = [
        Boost(parse(boost.when, pointer=f"/boost/{position}/when"), boost.add)
        for position, boost in enumerate(params.boost)
    ]
    return boosts + [Boost(parse(bury), BURIED) for bury in placement.bury]
