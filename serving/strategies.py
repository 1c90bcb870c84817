"""The strategies: what each goes by, and what stands in where that says nothing."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from recommender.core.blocks import Mask
from recommender.errors import RequestError, UnknownItemError
from recommender.events import Event
from recommender.ranking.orders import by_value
from recommender.ranking.results import Recommendations
from recommender.recommender import FILL, Options, Recommender
from serving.problems import Problem
from serving.schemas.requests import Question

# The strategies that answer what somebody had before.
AGAIN = ("recently_viewed", "buy_again")


@dataclass(frozen=True)
class Asked:
    """A question with all that it goes by.

    Parameters
    ----------
    recommender
        Who is asked.
    question
        What the request says, its placement's defaults included.
    stored
        The events of its user that the store has, oldest first.
    told
        Those that the request brings along, and each one's weight.
    trending
        Products with the weight of late events, see `EventStore.trending`.
    options
        What it says that goes for every strategy.
    now
        When it was asked.
    """

    recommender: Recommender
    question: Question
    stored: Sequence[Event]
    told: Sequence[tuple[Event, float]]
    trending: Sequence[tuple[str, float]]
    options: Options
    now: datetime

    @property
    def history(self) -> list[Event]:
        """All events, the stored ones first."""
        return [*self.stored, *(event for event, _ in self.told)]

    @property
    def strengths(self) -> list[float]:
        """What each event of the history weighs beside its kind."""
        return [1.0] * len(self.stored) + [weight for _, weight in self.told]

    @property
    def strategy(self) -> str:
        """The one asked for, or else the one that suits the seeds."""
        items = self.question.seeds.items
        return self.question.strategy or ("similar" if len(self.history) == len(items) == 1 else "for_you")


def answer(asked: Asked) -> Recommendations:
    """Answer a question by its strategy; where that has nothing to go by, by the fallbacks.

    Raises
    ------
    UnknownItemError
        If the only seed was never seen.
    """
    seeds = asked.question.seeds
    if seeds.text is not None or seeds.image is not None:
        return asked.recommender.search(
            seeds.text, seeds.image, asked.question.limit, history=asked.history, **asked.options
        )
    found = _STRATEGIES[asked.strategy](asked)
    if found is not None and found.fallback_used != "popular":
        return found
    return _fallback(asked, found)


def excluded(question: Question, history: Sequence[Event], now: datetime) -> set[str]:
    """Return the ids that may not be answered."""
    rules = question.exclude
    gone = set(rules.item_ids) | {item.item_id for item in question.seeds.negative_items}
    if question.strategy in AGAIN:
        return gone
    if rules.seen:
        gone |= {event.item_id for event in history}
    if rules.purchased_days is not None:
        since = now - timedelta(days=rules.purchased_days)
        bought = (event for event in history if event.event_name == "purchase")
        gone |= {event.item_id for event in bought if event.timestamp >= since}
    return gone


def _similar(asked: Asked) -> Recommendations:
    items = asked.question.seeds.items
    if len(items) != 1:
        raise RequestError(
            f"the strategy {asked.strategy} goes by one item, found {len(items)}; for several take for_you",
            "/seeds/items",
        )
    return asked.recommender.similar(items[0].item_id, asked.question.limit, **asked.options)


def _visually_similar(asked: Asked) -> Recommendations:
    learned = asked.recommender.weights["item"]
    if "image" not in learned:
        return replace(_similar(asked), fallback_used="similar")
    pictures: Options = {**asked.options, "weights": dict.fromkeys(learned, 0.0) | {"image": 1.0}}
    return replace(_similar(replace(asked, options=pictures)), strategy="visually_similar")


def _for_you(asked: Asked) -> Recommendations | None:
    history, strengths = asked.history, asked.strengths
    if not _known(asked, history):
        return None
    weights = strengths if any(strength != 1.0 for strength in strengths) else None
    seen = asked.question.exclude.seen
    return asked.recommender.recommend(
        history, asked.question.limit, exclude_history=seen, strengths=weights, **asked.options
    )


def _session(asked: Asked) -> Recommendations | None:
    found = _for_you(replace(asked, stored=()))
    return None if found is None else replace(found, strategy="session")


def _complementary(asked: Asked) -> Recommendations | None:
    return _together(asked, asked.history)


def _cart(asked: Asked) -> Recommendations | None:
    seeds = [item.item_id for item in asked.question.seeds.items]
    held = set(in_cart(sorted(asked.history, key=_time), seeds))
    inside = [event for event in asked.history if event.item_id in held]
    found = _together(asked, inside)
    return None if found is None else replace(found, strategy="cart")


def in_cart(events: Sequence[Event], before: Sequence[str] = ()) -> list[str]:
    """Return the products that were put into a cart, or were there before, and neither taken out nor bought since.

    Parameters
    ----------
    events
        Oldest first.
    """
    held = Counter(before)
    for event in events:
        if event.event_name == "add_to_cart":
            held[event.item_id] += 1
        elif event.event_name in ("remove_from_cart", "purchase"):
            held[event.item_id] = 0
    return [item_id for item_id, count in held.items() if count > 0]


def _together(asked: Asked, history: Sequence[Event]) -> Recommendations | None:
    if not _known(asked, history):
        return None
    limit, seen = asked.question.limit, asked.question.exclude.seen
    return asked.recommender.complementary(history, limit, exclude_history=seen, **asked.options)


def _known(asked: Asked, history: Sequence[Event]) -> bool:
    """Tell whether the bundle has any of its products; raises if the only one was never seen."""
    if any(event.item_id in asked.recommender for event in history):
        return True
    if len(asked.told) == 1 and not asked.stored:
        asked.recommender.product(asked.told[0][0].item_id)
    return False


def _trending(asked: Asked) -> Recommendations | None:
    if not asked.trending:
        return None
    lately = by_value(asked.recommender.attributes, asked.trending)
    order = (1 - FILL) * lately + FILL * asked.recommender.segment.prior
    return asked.recommender.ordered(order, "trending", asked.question.limit, **asked.options)


def _popular(asked: Asked) -> Recommendations:
    return asked.recommender.popular(asked.question.limit, **asked.options)


def _new(asked: Asked) -> Recommendations:
    return asked.recommender.newest(asked.question.limit, **asked.options)


def _recently_viewed(asked: Asked) -> Recommendations | None:
    viewed = sorted((event for event in asked.history if event.event_name == "view_item"), key=_time)
    latest = list(dict.fromkeys(event.item_id for event in reversed(viewed)))
    return _listed(asked, [(item_id, 1 / place) for place, item_id in enumerate(latest, start=1)])


def _buy_again(asked: Asked) -> Recommendations | None:
    bought: Counter[str] = Counter()
    for event in asked.history:
        bought[event.item_id] += {"purchase": 1, "refund": -1}.get(event.event_name, 0)
    return _listed(asked, [(item_id, float(times)) for item_id, times in bought.items() if times > 0])


def _time(event: Event) -> datetime:
    return event.timestamp


def _listed(asked: Asked, values: Sequence[tuple[str, float]]) -> Recommendations | None:
    """Answer these products alone, those of the largest value first."""
    order = by_value(asked.recommender.attributes, values)
    if not order.any():
        return None
    options: Options = {**asked.options, "variants": "all"}
    return asked.recommender.ordered(
        order, asked.strategy, asked.question.limit, only=np.asarray(order > 0), **options
    )


def _fallback(asked: Asked, found: Recommendations | None) -> Recommendations:
    for name in asked.question.fallback:
        stood_in = _FALLBACKS[name](asked)
        if stood_in is not None and stood_in.fallback_used is None:
            warnings = (*(found.warnings if found else ()), *stood_in.warnings)
            return replace(stood_in, fallback_used=name, warnings=tuple(dict.fromkeys(warnings)))
    return found or replace(_popular(asked), fallback_used="popular")


def _popular_in_category(asked: Asked) -> Recommendations | None:
    within = _categories(asked)
    if within is None:
        return None
    popular = asked.recommender.segment.prior.astype(np.float64)
    return asked.recommender.ordered(popular, "popular", asked.question.limit, only=within, **asked.options)


def _categories(asked: Asked) -> Mask | None:
    """Return the products of a kind with those of the history, of which the bundle may know no more than that."""
    attributes = asked.recommender.attributes
    if "product_type" not in attributes.names:
        return None
    kinds: set[str] = set()
    for item_id in {event.item_id for event in asked.history}:
        try:
            said = asked.recommender.product(item_id).get("product_type")
        except UnknownItemError:
            continue
        kinds.update(said if isinstance(said, list) else [said] if isinstance(said, str) else [])
    mask = attributes.column("product_type").any_of(sorted(kinds)) if kinds else None
    return mask if mask is not None and mask.any() else None


def no_encoder() -> Problem:
    """Return the answer to words and pictures where nobody reads them."""
    return Problem(501, "no-query-encoder", "this service has no encoder for texts and images: --query-encoder")


_STRATEGIES: dict[str, Callable[[Asked], Recommendations | None]] = {
    "similar": _similar,
    "visually_similar": _visually_similar,
    "complementary": _complementary,
    "for_you": _for_you,
    "session": _session,
    "cart": _cart,
    "trending": _trending,
    "popular": _popular,
    "new": _new,
    "recently_viewed": _recently_viewed,
    "buy_again": _buy_again,
}
_FALLBACKS: dict[str, Callable[[Asked], Recommendations | None]] = {
    "popular_in_category": _popular_in_category,
    "trending": _trending,
    "popular": _popular,
    "new": _new,
}
