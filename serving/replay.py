"""Ask again what logged answers answered, with other weights or another strategy."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from recommender.errors import RequestError
from recommender.events import Event
from recommender.ranking.results import Recommendations
from recommender.recommender import Recommender
from serving.recommending import run_with_rules, seed_arguments
from serving.rules import CompiledRules
from serving.schemas.placements import Collection, Placement
from serving.schemas.requests import RecommendationParams

MAX_HISTORY = 200  # events, as a request of the service reads


class StoredHistories:
    """The events of users and sessions before a moment.

    Parameters
    ----------
    events
        Oldest first.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self._of_user: dict[str, list[Event]] = defaultdict(list)
        self._of_session: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event.user_id:
                self._of_user[event.user_id].append(event)
            elif event.session_id:
                self._of_session[event.session_id].append(event)

    def before(self, moment: datetime, user_id: str, session_id: str) -> list[Event]:
        """Return the latest events of a user and of a session before a moment, oldest first."""
        both = [*self._of_user.get(user_id, ()), *self._of_session.get(session_id, ())]
        earlier = sorted((event for event in both if event.timestamp < moment), key=lambda event: event.timestamp)
        return earlier[-MAX_HISTORY:]


def replay(
    recommender: Recommender,
    answers: Iterable[Mapping[str, Any]],
    histories: StoredHistories,
    changes: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Yield what a recommender shows at each position in the place of logged answers, without exploring.

    Parameters
    ----------
    answers
        recommendation_id, timestamp, user_id, session_id and request of each.
    changes
        Members of the request that replace those of the answers: strategy, weights.

    Raises
    ------
    RequestError
        If an answer has no request: the log is not of this service.
    """
    for answer in answers:
        for position, item in enumerate(answer_again(recommender, answer, histories, changes), start=1):
            key = answer["recommendation_id"]
            yield {"recommendation_id": key, "position": position, "item_id": item.item_id, "probability": 1.0}


def answer_again(
    recommender: Recommender, answer: Mapping[str, Any], histories: StoredHistories, changes: Mapping[str, Any]
) -> Recommendations:
    """Answer the request of a logged answer, with changes, by the rules that were in force."""
    if not answer.get("request"):
        raise RequestError("the log has no requests to ask again; export it, or give --policy", "/request")
    logged = json.loads(answer["request"])
    session = {"session_id": answer["session_id"]} if answer["session_id"] else {}
    params = RecommendationParams.model_validate({**logged["params"], **session, "explain": "none", **changes})
    moment: datetime = answer["timestamp"]
    placement = Placement.model_validate(logged["placement"])
    collections = {name: Collection.model_validate(each) for name, each in logged["collections"].items()}
    rules = CompiledRules(placement, collections, recommender.attributes, moment)
    stored = histories.before(moment, answer["user_id"], answer["session_id"])
    arguments = {
        **seed_arguments(recommender, params, stored, moment),
        "user": params.user,
        "hidden": frozenset(logged["hidden"]),
        "fixed": logged["fixed"],
    }
    return run_with_rules(recommender, params, placement, rules, arguments)[0]
