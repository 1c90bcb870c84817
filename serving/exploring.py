"""Answers that explore: each is stored with its propensities before it is given, or does not explore."""

from collections.abc import Callable, Mapping
from typing import Any

from recommender.errors import StoreError
from recommender.ranking.exploration import Exploration
from recommender.ranking.results import Recommendations
from recommender.stores.attribution import Attribution, new_seed
from recommender.stores.base import LoggedAnswer, LoggedItem
from serving.metrics import stage
from serving.schemas.placements import Collection, Placement
from serving.schemas.requests import RecommendationParams
from serving.service import Service

_NOT_LOGGED: Any = {"session_id": True, "seeds": {"user_id": True, "image": True}}
NOT_LOGGED = "the store does not answer, so that the answer cannot be logged: nothing is explored"
# Answers a request by the arguments of `serving.recommending.run_with_rules`: the result, and warnings.
Run = Callable[[Mapping[str, Any]], tuple[Recommendations, list[str]]]


def explore(
    service: Service,
    run: Run,
    arguments: Mapping[str, Any],
    share: float,
    described: Mapping[str, Any],
    placement: tuple[str, str],
) -> tuple[Recommendations, list[str], str] | None:
    """Return a result that explores, its warnings and its recommendation id; None if it cannot be logged.

    Parameters
    ----------
    run, arguments
        Answer the request without exploring.
    share
        Of the positions, that show products drawn at random.
    described
        See `described_request`.
    placement
        Its name and the arm.
    """
    seed = new_seed()
    with stage("search"):
        result, warnings = run({**arguments, "exploration": Exploration(share, seed)})
    name, arm = placement
    recommendation_id = service.signer.new_id(Attribution(result.generation, name, result.strategy, arm), seed)
    answer = LoggedAnswer(
        recommendation_id,
        arguments["now"],
        described["visitor"]["user_id"],
        described["visitor"]["session_id"],
        described["request"],
        tuple(LoggedItem(item.item_id, item.propensity or 0.0, item.explored) for item in result),
    )
    try:
        service.store.answers.add(answer)
    except StoreError:
        return None
    return result, warnings, recommendation_id


def described_request(
    params: RecommendationParams,
    placement: Placement,
    collections: Mapping[str, Collection],
    hidden: frozenset[str],
    fixed: Any,
) -> dict[str, Any]:
    """Return who asks, and what an answer is made from but for the user's events: enough to ask again.

    Photos are left out. `hidden` and `fixed` are those of `serving.recommending.rules_of`.
    """
    given = params.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_LOGGED)
    shop = placement.model_copy(update={"exploration": None, "experiment": None})
    named = {rule.collection for rule in placement.all_rules()}
    request = {
        "params": given,
        "placement": shop.value(),
        "collections": {name: each.value() for name, each in collections.items() if name in named},
        "hidden": sorted(hidden),
        "fixed": fixed,
    }
    return {
        "visitor": {"user_id": params.seeds.user_id or "", "session_id": params.session_id or ""},
        "request": request,
    }
