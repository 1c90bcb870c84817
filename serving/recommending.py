"""From the parsed parameters of an HTTP request to a `Request`, and from its result to the response's body."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from recommender.errors import RequestError, StoreError, nearest
from recommender.events import Event
from recommender.filters import Node, fields_of, leaves, parse, size
from recommender.filters.conditions import And, Not
from recommender.filters.parse import MAX_LEAVES, MAX_VALUES
from recommender.ranking.request import Boost, Request
from recommender.ranking.results import Recommendations
from recommender.recommender import Recommender
from recommender.stores.attribution import Attribution
from serving.images import check_image
from serving.metrics import count_answer, stage
from serving.placements import BURIED
from serving.problems import Problem
from serving.schemas.base import RequestModel
from serving.schemas.requests import QueryParams, RecommendationParams, SearchParams, Seeds
from serving.service import Service
from serving.settings import Arm, Placement

NO_PLACEMENT = Placement()
Params = TypeVar("Params", bound=RequestModel)


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
    params = with_fixed(service, params)
    seeds = params.seeds
    if (seeds.text or seeds.image) and not service.encodes_queries:
        raise no_encoder()
    if seeds.image is not None:
        check_image(seeds.image, "/seeds/image")
    recommender = service.live.generation(arm.generation if arm else None)
    stored, warnings = stored_events(service, seeds.user_id)
    now = datetime.now(UTC)
    node = filter_of(service, params.filter, placement)
    check_fields(service, recommender, params.fields)
    if params.diversity is not None:
        check_names(service, params.diversity.max_per or (), "/diversity/max_per")
    user, more = user_attributes(service, recommender, seeds.user_id, params.user)
    request = Request(
        **seed_arguments(seeds, stored, now),
        user=user,
        context=params.context,
        strategy=params.strategy,
        k=params.limit,
        trending=service.trending.products,
        filter=node,
        weights=params.weights,
        exclude=hidden.union(params.exclude.item_ids),
        exclude_history=params.exclude.seen,
        exclude_purchased_days=params.exclude.purchased_days,
        explain=params.explain != "none",
        boost=_boosts(service, params, placement),
        diversity=params.diversity.model_dump(exclude_none=True) if params.diversity else None,
        pin={pin.position: pin.item_id for pin in placement.pin},
        fallback=params.fallback,
    )
    with stage("search"):
        result = recommender.run(request)
    return response_body(recommender, result, params, [*warnings, *more], name, arm.name if arm else "")


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


def with_fixed(service: Service, params: Params) -> Params:
    """Return parameters with the members that the request's key fixes, but for the filter; see `filter_of`."""
    fixed = {name: value for name, value in service.access.fixed.items() if name != "filter"}
    known = type(params).model_fields
    return params.model_copy(update={name: value for name, value in fixed.items() if name in known})


def filter_of(service: Service, filter: Any, placement: Placement = NO_PLACEMENT) -> Node | None:
    """Return the parsed filter of a request, together with those of its placement and of its key."""
    nodes: list[Node] = [] if filter is None else [parse(filter)]
    if nodes and filter != placement.question.get("filter"):
        check_names(service, fields_of(nodes[0]) - {"id"}, "/filter")
    if (fixed := service.access.fixed.get("filter")) is not None:
        nodes.append(parse(fixed))
    default = placement.question.get("filter")
    if default is not None and default != filter:
        nodes.append(parse(default))
    if placement.block is not None:
        nodes.append(Not(parse(placement.block)))
    return And(tuple(nodes)) if len(nodes) > 1 else nodes[0] if nodes else None


def visible(service: Service, names: Iterable[str]) -> list[str]:
    """Return the names of attributes without those that the current request may not see."""
    private = service.access.private_fields
    return [name for name in names if name not in private]


def check_fields(service: Service, recommender: Recommender, fields: Sequence[str]) -> None:
    """Raise `RequestError` unless the products have these attributes, and the current request may see them."""
    if not fields:
        return
    known = visible(service, recommender.attributes.names)
    for position, name in enumerate(fields):
        if name not in known:
            message = f"unknown field {name!r}; expected one of {', '.join(known)}"
            raise RequestError(message, f"/fields/{position}", nearest(name, known))


def check_names(service: Service, names: Iterable[str], pointer: str) -> None:
    """Raise `RequestError`, as for a field that does not exist, if a filter or a rule uses a private one."""
    if not service.access.private_fields:
        return
    known = visible(service, service.live.recommender.attributes.names)
    for name in names:
        if name not in known:
            message = f"unknown field {name!r}; this catalogue has {', '.join(known)}"
            raise RequestError(message, pointer, nearest(name, known))


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
    detail = "this service has no encoder for texts and images; serve with --query-encoder to have one"
    return Problem(501, "no-query-encoder", detail)


def _boosts(service: Service, params: RecommendationParams, placement: Placement) -> list[Boost]:
    boosts = [
        Boost(parse(boost.when, pointer=f"/boost/{position}/when"), boost.add)
        for position, boost in enumerate(params.boost)
    ]
    conditions = sum(len([*leaves(boost.when)]) for boost in boosts)
    if conditions > MAX_LEAVES or sum(size(boost.when) for boost in boosts) > MAX_VALUES:
        raise RequestError(f"boosts have more than {MAX_LEAVES} conditions or {MAX_VALUES} values", "/boost")
    for position, boost in enumerate(boosts):
        check_names(service, fields_of(boost.when) - {"id"}, f"/boost/{position}/when")
    return boosts + [Boost(parse(bury), BURIED) for bury in placement.bury]
