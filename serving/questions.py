"""From a parsed request to a question for the recommender."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from recommender.errors import RequestError, UnknownItemError, nearest
from recommender.events import Event
from recommender.filters import parse
from recommender.recommender import Options, Recommender
from recommender.results import Recommendations
from serving.problems import Problem
from serving.requests import Query, Question


def options(recommender: Recommender, asked: Query | Question, exclude: Iterable[str] = ()) -> Options:
    """Return what a request says about any question; checks what the library would not, or only at the end."""
    for place, name in enumerate(asked.fields):
        if name not in recommender.attributes.names:
            raise RequestError(
                f"unknown field {name!r}; expected one of {', '.join(recommender.attributes.names)}",
                f"/fields/{place}",
                nearest(name, recommender.attributes.names),
            )
    parse(asked.filter)  # the library trusts its callers to keep to the limits of a filter's size
    return {
        "filter": asked.filter,
        "weights": asked.weights,
        "exclude": exclude,
        "explain": asked.explain != "none",
    }


def ask(recommender: Recommender, question: Question, stored: Sequence[Event]) -> Recommendations:
    """Answer the general question.

    Parameters
    ----------
    recommender
        Who is asked.
    question
        What the request says.
    stored
        The events of its user that the store has, oldest first.
    """
    if question.seeds.text is not None or question.seeds.image is not None:
        raise Problem(501, "no-query-encoder", "this service has no encoder for texts and images")
    now = datetime.now(UTC)
    history = [*stored, *question.seeds.history(now)]
    said = options(recommender, question, _excluded(question, history, now))
    match question.strategy or _strategy(question, history):
        case "similar":
            return recommender.similar(_only_item(question), question.limit, **said)
        case "popular":
            return recommender.popular(question.limit, **said)
    if len(history) == 1 and history[0].item_id not in recommender:
        raise UnknownItemError(history[0].item_id)
    seen = question.exclude.seen
    return recommender.recommend(history, question.limit, exclude_history=seen, **said)


def _strategy(question: Question, history: Sequence[Event]) -> str:
    return "similar" if len(history) == len(question.seeds.items) == 1 else "for_you"


def _only_item(question: Question) -> str:
    items = question.seeds.items
    if len(items) != 1:
        raise RequestError(
            f"the strategy similar goes by one item, found {len(items)}; for several take for_you", "/seeds/items"
        )
    return items[0].item_id


def _excluded(question: Question, history: Sequence[Event], now: datetime) -> set[str]:
    rules = question.exclude
    excluded = set(rules.item_ids)
    if rules.seen:
        excluded |= {event.item_id for event in history}
    if rules.purchased_days is not None:
        since = now - timedelta(days=rules.purchased_days)
        bought = (event for event in history if event.event_name == "purchase")
        excluded |= {event.item_id for event in bought if event.timestamp >= since}
    return excluded
