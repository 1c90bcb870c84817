"""What a change does to real products and users, before it is saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from recommender.errors import RequestError, StoreError
from recommender.ranking.request import Request
from recommender.recommender import Recommender
from recommender.stores import deadline
from serving.placements import merged
from serving.problems import Problem
from serving.recommending import run_with_rules, seed_arguments, stored_events
from serving.rules import CompiledRules
from serving.schemas.placements import Collection, Placement
from serving.service import Service
from serving.storefront.catalogue import card, listed

SEEDS, SHOWN = 8, 24


@dataclass(frozen=True)
class Preview:
    """Two answers side by side.

    Parameters
    ----------
    before, after
        Cards of products, each with its `change`: same, up, down, added or removed.
    warnings
        Of the answer after the change.
    error
        Why there is no answer.
    """

    before: Sequence[Mapping[str, Any]] = ()
    after: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[str] = ()
    error: str = ""

    @property
    def summary(self) -> str:
        """How many products were added, removed and moved."""
        counts = {
            "added": sum(each["change"] == "added" for each in self.after),
            "removed": sum(each["change"] == "removed" for each in self.before),
            "moved": sum(each["change"] in ("up", "down") for each in self.after),
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def preview(
    service: Service,
    before: Placement,
    after: Placement,
    collections: Mapping[str, Collection],
    item_id: str,
    user_id: str,
) -> Preview:
    """Return the answers of a placement before and after a change, for a seed product, a user or neither."""
    try:
        old, _ = _answer(service, before, service.placements.state.collection_models, item_id, user_id)
        new, warnings = _answer(service, after, collections, item_id, user_id)
    except (RequestError, Problem) as error:
        return Preview(error=str(error))
    recommender = service.live.recommender
    old_ranks = {each: rank for rank, each in enumerate(old, start=1)}
    new_ranks = {each: rank for rank, each in enumerate(new, start=1)}
    return Preview(
        [_card(recommender, each, rank, new_ranks.get(each), "removed") for each, rank in old_ranks.items()],
        [_card(recommender, each, rank, old_ranks.get(each), "added") for each, rank in new_ranks.items()],
        warnings,
    )


def _answer(
    service: Service, placement: Placement, collections: Mapping[str, Collection], item_id: str, user_id: str
) -> tuple[list[str], list[str]]:
    recommender, now = service.live.recommender, datetime.now(UTC)
    seeds: dict[str, Any] = {"items": [{"item_id": item_id}]} if item_id else {}
    if user_id:
        seeds["user_id"] = user_id
    arm = placement.experiment.arms[0] if placement.experiment else None
    params = merged(placement, arm, {"seeds": seeds})
    params = params.model_copy(update={"limit": min(params.limit, SHOWN), "explain": "none"})
    stored, warnings = stored_events(service, user_id or None)
    arguments = {**seed_arguments(recommender, params, stored, now), "trending": service.trending.products}
    rules = CompiledRules(placement, collections, recommender.attributes, now)
    result, more = run_with_rules(recommender, params, placement, rules, arguments)
    return [*result.item_ids], [*warnings, *more]


def _card(recommender: Recommender, item_id: str, rank: int, other: int | None, absent: str) -> dict[str, Any]:
    change = absent if other is None else "same" if other == rank else "up" if rank < other else "down"
    if absent == "removed" and other is not None:
        change = "same"  # a move is marked where it ends
    return {**card(recommender, item_id), "rank": rank, "change": change, "by": abs((other or rank) - rank)}


def seed_products(service: Service, when: Any, words: str = "") -> list[dict[str, Any]]:
    """Return popular products to preview with: those that match a condition, or whose title has some words."""
    recommender = service.live.recommender
    if words.strip():
        return found_products(recommender, words)[:SEEDS]
    try:
        popular = recommender.recommend(k=SEEDS, strategy="popular", filter=when)
    except RequestError:
        popular = recommender.recommend(k=SEEDS, strategy="popular")
    return listed(recommender, popular.item_ids)


def found_products(recommender: Recommender, words: str) -> list[dict[str, Any]]:
    """Return products that have some words, or whose id they are, out of stock or not."""
    request = Request(strategy="search", text=words, k=3 * SEEDS, stock="all", encode=False)
    return listed(recommender, recommender.run(request).item_ids)


def matching(service: Service, collection: Collection) -> tuple[list[dict[str, Any]], int]:
    """Return the first products of a collection as cards, and how many it has."""
    recommender = service.live.recommender
    if collection.item_ids is not None:
        cards = listed(recommender, collection.item_ids)
        return cards[:SHOWN], len(cards)
    best = recommender.recommend(k=SHOWN, strategy="popular", filter=collection.node(), stock="all")
    return listed(recommender, best.item_ids), best.eligible


def recent_users(service: Service, limit: int = 8) -> list[str]:
    """Return users with events in the store, to preview with; none if it does not answer at once."""
    try:
        with deadline(0.3):
            return [user for user, _, _ in islice(service.store.events.activity(), limit) if user]
    except StoreError:
        return []
