"""From a parsed question to the body of an answer."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from recommender.errors import RequestError, StoreError, nearest
from recommender.events import Event
from recommender.filters import Node, parse
from recommender.filters.conditions import All, Not
from recommender.ranking.request import Boost, Options
from recommender.ranking.results import Recommendations
from recommender.recommender import Recommender
from recommender.stores.attribution import Attribution
from serving.metrics import answered, stage
from serving.placements import BURIED
from serving.schemas.requests import Explain, Query, Question, Search
from serving.service import Service
from serving.settings import Arm, Placement
from serving.strategies import Asked, answer, excluded, no_encoder

NO_PLACEMENT = Placement()


def ask(
    service: Service,
    question: Question,
    name: str = "",
    placement: Placement = NO_PLACEMENT,
    arm: Arm | None = None,
    hidden: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Answer the general question.

    Parameters
    ----------
    name, placement, arm
        Where it is asked, if at a placement; its defaults are in the question already.
    hidden
        Ids that were answered elsewhere on the page.
    """
    if (question.seeds.text or question.seeds.image) and not service.reads_queries:
        raise no_encoder()
    recommender = service.engine.generation(arm.generation if arm else None)
    stored, warnings = stored_events(service, question.seeds.user_id)
    now = datetime.now(UTC)
    told = list(question.seeds.history(now))
    gone = excluded(question, [*stored, *(event for event, _ in told)], now) | hidden
    said = options(recommender, question, gone, placement)
    with stage("search"):
        found = answer(Asked(recommender, question, stored, told, service.trending.products, said, now))
    return body(recommender, found, question, warnings, name, arm.name if arm else "")


def options(
    recommender: Recommender,
    asked: Query | Question | Search | Explain,
    exclude: set[str] | frozenset[str] = frozenset(),
    placement: Placement = NO_PLACEMENT,
) -> Options:
    """Return what a request says about any question; checks what the library would not, or only at the end."""
    said: Options = {"weights": asked.weights, "exclude": exclude}
    filters: list[Node] = [] if asked.filter is None else [parse(asked.filter)]
    own = placement.question.get("filter")
    if own is not None and own != asked.filter:
        filters.append(parse(own))
    if placement.block is not None:
        filters.append(Not(parse(placement.block)))
    said["filter"] = All(tuple(filters)) if len(filters) > 1 else filters[0] if filters else None
    if isinstance(asked, Explain):
        return said
    _check_fields(recommender, asked.fields)
    said["explain"] = asked.explain != "none"
    if isinstance(asked, Question):
        boosts: list[Boost] = [
            {"when": parse(boost.when, pointer=f"/boost/{place}/when"), "add": boost.add}
            for place, boost in enumerate(asked.boost)
        ]
        said["boost"] = boosts + [{"when": parse(bury), "add": BURIED} for bury in placement.bury]
        if asked.diversity is not None:
            said["diversity"] = asked.diversity.model_dump(exclude_none=True)
        said["pin"] = {pin.position: pin.item_id for pin in placement.pin}
    return said


def _check_fields(recommender: Recommender, fields: Sequence[str]) -> None:
    known = recommender.attributes.names
    for place, name in enumerate(fields):
        if name not in known:
            said = f"unknown field {name!r}; expected one of {', '.join(known)}"
            raise RequestError(said, f"/fields/{place}", nearest(name, known))


def stored_events(service: Service, user_id: str | None) -> tuple[list[Event], list[str]]:
    """Return a user's events; without the store, recommendations go on from what else there is."""
    if user_id is None:
        return [], []
    try:
        with stage("history"):
            return service.store.events.history(user_id), []
    except StoreError:
        return [], ["the event store does not answer; the user's events are left out"]


def body(
    recommender: Recommender,
    found: Recommendations,
    asked: Query | Question | Search,
    warnings: Sequence[str] = (),
    placement: str = "",
    arm: str = "",
) -> dict[str, Any]:
    """Return an answer as the contract has it."""
    attribution = Attribution(found.generation, placement, found.strategy, arm)
    answered(placement, found, min(asked.limit, found.eligible))
    told = {"recommendation_id": attribution.new_id(), "placement": placement or None, **found.to_dict()}
    told["warnings"].extend(warnings)
    if asked.fields:
        for item in told["items"]:
            item["fields"] = recommender.fields(item["item_id"], asked.fields)
    return told
