"""Example recommendations of the report: products with similar items, and users with recommendations."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.events import Event, as_events
from recommender.ranking.results import Recommendation, Recommendations

if TYPE_CHECKING:
    from recommender.recommender import Recommender

COUNT = 20
K = 6
_SHOWN_HISTORY = 5  # products
_MIN_HISTORY = 3  # products of a user to be shown
_FIELDS = ("title", "price", "brand", "product_type")


def products(recommender: "Recommender", count: int = COUNT) -> list[dict[str, Any]]:
    """Return products evenly spaced over the popularity ranking, with their similar items."""
    order = recommender.segment.popular
    order = order[~np.isin(order, recommender.attributes.ids.removed)]
    rows = order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))]
    ids = [recommender.attributes.id_of(int(row)) for row in rows]
    return [
        {
            "seeds": [product_card(recommender, item_id)],
            "answer": _answer(recommender, recommender.similar(item_id, K, explain=True)),
        }
        for item_id in ids
    ]


def users(
    recommender: "Recommender", histories: Mapping[str, Sequence[Event]] | None = None, count: int = COUNT
) -> list[dict[str, Any]]:
    """Return users with their latest products and their recommendations.

    Parameters
    ----------
    histories
        Of real users, by id; by default synthetic ones, random walks over similar items.
    """
    drawn = _synthetic(recommender, count) if histories is None else _sampled(recommender, histories, count)
    examples = []
    for name, history in drawn.items():
        ids = list(dict.fromkeys(event.item_id for event in reversed(history) if event.item_id in recommender))
        answer = recommender.recommend(history, K, explain=True)
        seeds = [product_card(recommender, item_id) for item_id in ids[:_SHOWN_HISTORY]]
        examples.append(
            {"name": name, "seeds": seeds, "events": len(history), "answer": _answer(recommender, answer)}
        )
    return examples


def product_card(recommender: "Recommender", item_id: str) -> dict[str, Any]:
    """Return the image and fields of a product for a page."""
    names = [name for name in _FIELDS if name in recommender.attributes.names]
    return {"id": item_id, "image": recommender.thumbnail(item_id), **recommender.fields(item_id, names)}


def _answer(recommender: "Recommender", answer: Recommendations) -> list[dict[str, Any]]:
    return [product_card(recommender, item.item_id) | _explanation(item) for item in answer]


def _explanation(item: Recommendation) -> dict[str, Any]:
    parts = {name: value for name, value in (item.parts or {}).items() if abs(value) > 1e-4}
    return {"score": item.score, "explanation": item.text or "", "parts": parts}


def _sampled(
    recommender: "Recommender", histories: Mapping[str, Sequence[Event]], count: int
) -> dict[str, Sequence[Event]]:
    eligible = [
        user
        for user, history in histories.items()
        if len({event.item_id for event in history if event.item_id in recommender}) >= _MIN_HISTORY
    ]
    positions = np.linspace(0, len(eligible) - 1, min(count, len(eligible))).astype(int).tolist()
    return {eligible[position]: histories[eligible[position]] for position in positions}


def _synthetic(recommender: "Recommender", count: int) -> dict[str, Sequence[Event]]:
    generator = np.random.default_rng(0)
    known = recommender.ids
    histories: dict[str, Sequence[Event]] = {}
    for number in range(count):
        ids = [known[int(generator.integers(len(known)))]]
        while len(ids) < _MIN_HISTORY:
            similar = [item_id for item_id in recommender.similar(ids[-1], K).item_ids if item_id not in ids]
            if not similar:
                break
            ids.append(similar[int(generator.integers(len(similar)))])
        histories[f"synthetic {number + 1}"] = as_events(ids)
    return histories
