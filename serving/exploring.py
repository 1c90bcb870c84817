"""Answers that explore: each is stored with its propensities before it is given, or does not explore."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recommender.errors import StoreError
from recommender.ranking.exploration import Exploration
from recommender.ranking.request import Request
from recommender.ranking.results import Recommendations
from recommender.recommender import Recommender
from recommender.stores.attribution import Attribution, new_seed
from recommender.stores.base import LoggedAnswer, LoggedItem
from serving.metrics import stage
from serving.schemas.requests import RecommendationParams
from serving.service import Service
from serving.settings import ExplorationRule, Placement

_NOT_LOGGED: Any = {"session_id": True, "seeds": {"user_id": True, "image": True}}
NOT_LOGGED = "the store does not answer, so that the answer cannot be logged: nothing is explored"


def explore(
    service: Service,
    recommender: Recommender,
    request: Request,
    rule: ExplorationRule,
    described: Mapping[str, Any],
    placement: tuple[str, str],
) -> tuple[Recommendations, str] | None:
    """Return a result that explores and its recommendation id; None if it cannot be logged.

    Parameters
    ----------
    described
        See `described_request`.
    placement
        Its name and the arm.
    """
    seed = new_seed()
    with stage("search"):
        result = recommender.run(replace(request, exploration=Exploration(rule.share, seed)))
    name, arm = placement
    recommendation_id = service.signer.new_id(Attribution(result.generation, name, result.strategy, arm), seed)
    answer = LoggedAnswer(
        recommendation_id,
        request.moment,
        described["visitor"]["user_id"],
        described["visitor"]["session_id"],
        described["request"],
        tuple(LoggedItem(item.item_id, item.propensity or 0.0, item.explored) for item in result),
    )
    try:
        service.store.answers.add(answer)
    except StoreError:
        return None
    return result, recommendation_id


def described_request(
    params: RecommendationParams, placement: Placement, hidden: frozenset[str], fixed: Any
) -> dict[str, Any]:
    """Return who asks, and what an answer is made from but for the user's events: enough to ask again.

    Photos are left out. The arguments are those of `serving.recommending.rules_of`.
    """
    given = params.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_LOGGED)
    rules = placement.model_dump(mode="json", exclude_defaults=True, exclude={"exploration", "experiment"})
    request = {"params": given, "placement": rules, "hidden": sorted(hidden), "fixed": fixed}
    return {
        "visitor": {"user_id": params.seeds.user_id or "", "session_id": params.session_id or ""},
        "request": request,
    }
