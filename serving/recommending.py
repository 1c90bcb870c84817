"""From the parsed parameters of an HTTP request to a `Request`, and from its result to the response's body."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from flask import g

from recommender.errors import RequestError, StoreError, nearest
from recommender.events import Event
from recommender.filters import Node, fields_of, leaves, parse, size
from recommender.filters.conditions import And
from recommender.filters.parse import MAX_LEAVES, MAX_VALUES
from recommender.ranking.request import Boost, Request
from recommender.ranking.results import Recommendations
from recommender.recommender import Recommender
from recommender.stores import deadline
from recommender.stores.attribution import Attribution
from serving.exploring import NOT_LOGGED, described_request, explore
from serving.images import check_image
from serving.metrics import count_answer, stage
from serving.problems import Problem
from serving.rules import NO_EFFECT, CompiledRules, Effect
from serving.schemas.base import RequestModel
from serving.schemas.placements import Placement
from serving.schemas.requests import (
    ExplanationParams,
    QueryParams,
    RecommendationParams,
    SearchParams,
    SessionEvent,
)
from serving.service import Service

NO_PLACEMENT = Placement()
Params = TypeVar("Params", bound=RequestModel)
# A sent event whose time differs no more from a stored one is the same: clients round.
SAME_MOMENT = timedelta(seconds=1)
# One without a time is the same as a stored one of the session, or of another session so recently.
SAME_VISIT = timedelta(minutes=30)
MAX_RULE_WARNINGS = 5  # of an answer; /v1/placements lists all


def recommend(
    service: Service,
    params: RecommendationParams,
    name: str = "",
    placement: Placement = NO_PLACEMENT,
    generation: str | None = None,
    arm: str = "",
    hidden: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return the response to a request for recommendations.

    Parameters
    ----------
    name, placement, generation, arm
        The placement, if there is one, whose defaults are in the parameters already; the generation of the arm,
        and its name or `DRAWN`.
    hidden
        Ids that are shown elsewhere on the page.
    """
    params = with_fixed(service, params)
    seeds = params.seeds
    if seeds.image is not None and not service.encodes_queries:
        raise no_encoder()
    if seeds.image is not None:
        check_image(seeds.image, "/seeds/image")
    recommender = service.live.generation(generation)
    stored, warnings = stored_events(service, seeds.user_id, params.session_id)
    now = datetime.now(UTC)
    check_fields(service, recommender, params.fields)
    check_private(service, params, placement)
    user, more = user_attributes(service, recommender, seeds.user_id, params.user)
    arguments = {
        **seed_arguments(recommender, params, stored, now),
        "user": user,
        "trending": service.trending.products,
        "encode": service.encodes_queries,
        "hidden": hidden,
        "fixed": service.access.fixed.get("filter"),
    }
    rules = service.placements.state.rules(name, placement, recommender) if name else None
    answer = partial(run_with_rules, recommender, params, placement, rules)
    if placement.exploration is not None:
        collections = service.placements.state.collection_models
        described = described_request(params, placement, collections, hidden, arguments["fixed"])
        explored = explore(service, answer, arguments, placement.exploration.share, described, (name, arm))
        if explored is not None:
            result, relaxed, recommendation_id = explored
            count_answer(name, result, min(params.limit, result.eligible), service.market)
            body = content(recommender, result, params, [*warnings, *more, *relaxed], name)
            return {"recommendation_id": recommendation_id, **body}
        warnings = [*warnings, NOT_LOGGED]
    with stage("search"):
        result, relaxed = answer(arguments)
    return response_body(service, recommender, result, params, [*warnings, *more, *relaxed], name, arm)


def run_with_rules(
    recommender: Recommender,
    params: RecommendationParams,
    placement: Placement,
    rules: CompiledRules | None,
    arguments: Mapping[str, Any],
) -> tuple[Recommendations, list[str]]:
    """Answer a request at a placement, and return the warnings of its rules.

    Where too few products match the rules that filter and bury, the list is filled with others after them.

    Parameters
    ----------
    arguments
        Of `Request` and `rules_of` beside those that the parameters make.
    """
    if rules is None or rules.is_empty:
        return run(recommender, Request(**_arguments(params, placement, NO_EFFECT, arguments))), []
    attributes = recommender.live_attributes
    rows = [row for item in params.seeds.items if (row := attributes.row_of(item.item_id)) >= 0]
    effect = rules.effect(rows, attributes)
    warnings = [f"rule {name}: {detail}" for name, detail in [*rules.warnings.items()][:MAX_RULE_WARNINGS]]
    result = run(recommender, Request(**_arguments(params, placement, effect, arguments)))
    if effect.narrow and len(result) < params.limit:
        wider = replace(effect, narrow=(), boosts=(*effect.boosts, *effect.demote))
        enough = run(recommender, Request(**_arguments(params, placement, wider, arguments)))
        if len(enough) > len(result):
            named = ", ".join(sorted(effect.filters)[:MAX_RULE_WARNINGS])
            relaxed = [f"rules relaxed, since too few products match: {named}"] if named else []
            return enough, [*warnings, *relaxed]
    return result, warnings


def _arguments(
    params: RecommendationParams, placement: Placement, effect: Effect, given: Mapping[str, Any]
) -> dict[str, Any]:
    seeds = {name: value for name, value in given.items() if name not in ("hidden", "fixed")}
    return seeds | rules_of(params, placement, effect, given.get("hidden", frozenset()), given.get("fixed"))


def run(recommender: Recommender, request: Request) -> Recommendations:
    """Answer a request; a text is searched by words alone, with a warning, where the encoder does not answer."""
    try:
        return recommender.run(request)
    except Problem as problem:
        if request.text is None or request.image is not None:
            raise
        result = recommender.run(replace(request, encode=False))
        return replace(result, warnings=(*result.warnings, problem.detail))


def rules_of(
    params: RecommendationParams,
    placement: Placement,
    effect: Effect = NO_EFFECT,
    hidden: frozenset[str] = frozenset(),
    fixed: Any = None,
) -> dict[str, Any]:
    """Return the arguments of `Request` that say how to answer, whoever asks; `fixed` is the filter of a key."""
    return {
        "context": params.context,
        "strategy": params.strategy,
        "k": params.limit,
        "filter": _combined(params.filter, placement, fixed, effect, params.limit),
        "weights": params.weights,
        "exclude": hidden.union(params.exclude.item_ids),
        "exclude_history": params.exclude.seen,
        "exclude_purchased_days": params.exclude.purchased_days,
        "explain": params.explain != "none",
        "boost": (*_boosts(params), *effect.boosts),
        "diversity": params.diversity.model_dump(exclude_none=True) if params.diversity else None,
        "pin": effect.pins,
        "fill": effect.fills,
        "freshness": placement.freshness.model_dump() if placement.freshness else None,
        "fallback": params.fallback,
    }


def seed_arguments(
    recommender: Recommender,
    params: RecommendationParams | ExplanationParams,
    stored: Sequence[Event],
    now: datetime,
) -> dict[str, Any]:
    """Return the arguments of `Request` that say what to recommend from.

    Parameters
    ----------
    stored
        See `stored_events`. Those of the session are as good as sent along, but for products that nobody knows:
        the request does not name them.
    """
    seeds, session_id = params.seeds, params.session_id
    weights = [item.weight for item in seeds.items]
    of_session = [event for event in stored if session_id and event.session_id == session_id]
    return {
        "items": [item.item_id for item in seeds.items],
        "item_weights": weights if any(weight != 1.0 for weight in weights) else None,
        "negative_items": [item.item_id for item in seeds.negative_items],
        "history": [event for event in stored if not session_id or event.session_id != session_id],
        "session": [
            *(event for event in of_session if event.item_id in recommender),
            *(event.to_event(now) for event in _unstored(seeds.events, stored, session_id, now)),
        ],
        "text": seeds.text,
        "image": seeds.image,
        "now": now,
    }


def _unstored(
    sent: Sequence[SessionEvent], stored: Sequence[Event], session_id: str | None, now: datetime
) -> list[SessionEvent]:
    """Return the events of a request that are not stored; each stored event accounts for one of them."""
    candidates: dict[tuple[str, str], list[Event]] = {}
    for known in stored:
        candidates.setdefault((known.event_name, known.item_id), []).append(known)
    unstored = []
    for event in sent:
        of_kind = candidates.get((event.event_name, event.item_id), [])
        match = next((known for known in of_kind if _is_same(event, known, session_id, now)), None)
        if match is None:
            unstored.append(event)
        else:
            of_kind.remove(match)
    return unstored


def _is_same(sent: SessionEvent, stored: Event, session_id: str | None, now: datetime) -> bool:
    """Return whether a sent event is a stored one of the same name and product: by id, else time, else session."""
    if sent.event_id is not None:
        return sent.event_id == stored.event_id
    if sent.timestamp is not None:
        return abs(sent.timestamp - stored.timestamp) <= SAME_MOMENT
    return stored.session_id == session_id or now - stored.timestamp <= SAME_VISIT


def with_fixed(service: Service, params: Params) -> Params:
    """Return parameters with the members that the request's key fixes, but for the filter; see `filter_of`."""
    if not (members := service.access.fixed):
        return params
    fixed = {name: value for name, value in members.items() if name != "filter"}
    known = type(params).model_fields
    return params.model_copy(update={name: value for name, value in fixed.items() if name in known})


def filter_of(service: Service, filter: Any) -> Node | None:
    """Return the parsed filter of a request, together with that of its key."""
    node = _combined(filter, NO_PLACEMENT, service.access.fixed.get("filter"))
    if filter is not None:
        check_names(service, fields_of(parse(filter)) - {"id"}, "/filter")
    return node


def fixed_filter(service: Service) -> Node | None:
    """Return the parsed filter of the request's key; None if it has none."""
    fixed = service.access.fixed.get("filter")
    return None if fixed is None else parse(fixed)


def _combined(
    filter: Any, placement: Placement, fixed: Any, effect: Effect = NO_EFFECT, k: int = 0
) -> Node | None:
    """Return one filter for those of a request, of its placement and its rules, and of its key."""
    nodes = [parse(each) for each in (filter, fixed) if each is not None]
    default = placement.question.get("filter")
    if default is not None and default != filter:
        nodes.append(parse(default))
    nodes += [*effect.block, *effect.narrowed(k)]
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


def check_private(service: Service, params: RecommendationParams, placement: Placement) -> None:
    """Raise `RequestError` if the request itself, not its placement, filters or ranks by private fields."""
    if not service.access.private_fields:
        return
    if params.filter is not None and params.filter != placement.question.get("filter"):
        check_names(service, fields_of(parse(params.filter)) - {"id"}, "/filter")
    for position, boost in enumerate(params.boost):
        check_names(service, fields_of(parse(boost.when)) - {"id"}, f"/boost/{position}/when")
    if params.diversity is not None:
        check_names(service, params.diversity.max_per or (), "/diversity/max_per")


def check_names(service: Service, names: Iterable[str], pointer: str) -> None:
    """Raise `RequestError`, as for a field that does not exist, if a filter or a rule uses a private one."""
    if not service.access.private_fields:
        return
    known = visible(service, service.live.recommender.attributes.names)
    for name in names:
        if name not in known:
            message = f"unknown field {name!r}; this catalogue has {', '.join(known)}"
            raise RequestError(message, pointer, nearest(name, known))


@contextmanager
def _in_time(service: Service) -> Iterator[None]:
    """Limit what one request waits for the store on behalf of a user, however many calls and placements it has."""
    left = g.get("seconds_for_user", service.settings.history_timeout_ms / 1000)
    start = monotonic()
    try:
        with stage("history"), deadline(left):
            yield
    finally:
        g.seconds_for_user = left - (monotonic() - start)


def stored_events(
    service: Service, user_id: str | None, session_id: str | None = None
) -> tuple[list[Event], list[str]]:
    """Return the events of a user and of a session from the store, and a warning if it does not answer in time."""
    if user_id is None and session_id is None:
        return [], []
    try:
        with _in_time(service):
            return service.store.events.history(user_id or "", session_id or ""), []
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
        with _in_time(service):
            stored = service.store.users.get(user_id) or {}
    except StoreError:
        return given, ["the event store does not answer; the user's attributes are left out"]
    return {name: stored[name] for name in known if name in stored} | {**(given or {})} or None, []


def response_body(
    service: Service,
    recommender: Recommender,
    result: Recommendations,
    params: QueryParams | RecommendationParams | SearchParams,
    warnings: Sequence[str] = (),
    placement: str = "",
    arm: str = "",
) -> dict[str, Any]:
    """Return a result as the HTTP API defines it, counted and with an id for attribution."""
    recommendation_id = counted(service, result, params.limit, placement, arm)
    return {"recommendation_id": recommendation_id, **content(recommender, result, params, warnings, placement)}


def counted(service: Service, result: Recommendations, limit: int, placement: str = "", arm: str = "") -> str:
    """Count a result as an answer, and return its id for attribution."""
    count_answer(placement, result, min(limit, result.eligible), service.market)
    return service.signer.new_id(Attribution(result.generation, placement, result.strategy, arm))


def content(
    recommender: Recommender,
    result: Recommendations,
    params: QueryParams | RecommendationParams | SearchParams,
    warnings: Sequence[str] = (),
    placement: str = "",
) -> dict[str, Any]:
    """Return the members of a response but for its id."""
    body = {"placement": placement or None, **result.to_dict()}
    body["warnings"].extend(warnings)
    if params.fields:
        for item in body["items"]:
            item["fields"] = recommender.fields(item["item_id"], params.fields)
    return body


def no_encoder() -> Problem:
    """Return the error of an image query where there is no encoder."""
    detail = "this service has no encoder for images; serve with --query-encoder to have one"
    return Problem(501, "no-query-encoder", detail)


def _boosts(params: RecommendationParams) -> list[Boost]:
    boosts = [
        Boost(parse(boost.when, pointer=f"/boost/{position}/when"), boost.add)
        for position, boost in enumerate(params.boost)
    ]
    nodes = [boost.when for boost in boosts]
    if nodes and params.filter is not None:
        nodes.append(parse(params.filter))
    conditions = sum(len([*leaves(node)]) for node in nodes)
    if conditions > MAX_LEAVES or sum(map(size, nodes)) > MAX_VALUES:
        found = f"filter and boosts have more than {MAX_LEAVES} conditions or {MAX_VALUES} values"
        raise RequestError(found, "/boost")
    return boosts
