"""Products with their neighbours, and shoppers with what is recommended to them: what figures cannot show."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.events import Event, as_events
from recommender.ranking.results import Recommendation, Recommendations

if TYPE_CHECKING:
    from recommender.recommender import Recommender

COUNT = 20
K = 6
_HISTORY = 5  # products of a history that are shown
_LEAST = 3  # products of a shopper worth showing
_FIELDS = ("title", "price", "brand", "product_type")


def products(recommender: "Recommender", count: int = COUNT) -> list[dict[str, Any]]:
    """Return products from all over the catalogue, in order of popularity, with their neighbours."""
    order = recommender.segment.popular
    rows = order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))]
    ids = [recommender.attributes.id_of(int(row)) for row in rows]
    return [
        {
            "seeds": [shown(recommender, item_id)],
            "answer": _answer(recommender, recommender.similar(item_id, K, explain=True)),
        }
        for item_id in ids
    ]


def shoppers(
    recommender: "Recommender", histories: Mapping[str, Sequence[Event]] | None = None, count: int = COUNT
) -> list[dict[str, Any]]:
    """Return shoppers with their last products and what is recommended to them.

    Parameters
    ----------
    histories
        Of real users, by id; by default some are made up, who wander from a product to its neighbours.
    """
    known = _made(recommender, count) if histories is None else _drawn(recommender, histories, count)
    found = []
    for name, history in known.items():
        ids = list(dict.fromkeys(event.item_id for event in reversed(history) if event.item_id in recommender))
        answer = recommender.recommend(history, K, explain=True)
        seeds = [shown(recommender, item_id) for item_id in ids[:_HISTORY]]
        found.append(
            {"name": name, "seeds": seeds, "events": len(history), "answer": _answer(recommender, answer)}
        )
    return found


def shown(recommender: "Recommender", item_id: str) -> dict[str, Any]:
    """Return what a page shows of a product."""
    names = [name for name in _FIELDS if name in recommender.attributes.names]
    return {"id": item_id, "picture": recommender.thumbnail(item_id), **recommender.fields(item_id, names)}


def _answer(recommender: "Recommender", answer: Recommendations) -> list[dict[str, Any]]:
    return [shown(recommender, item.item_id) | _why(item) for item in answer]


def _why(item: Recommendation) -> dict[str, Any]:
    parts = {name: value for name, value in (item.parts or {}).items() if abs(value) > 1e-4}
    return {"score": item.score, "why": item.text or "", "parts": parts}


def _drawn(
    recommender: "Recommender", histories: Mapping[str, Sequence[Event]], count: int
) -> dict[str, Sequence[Event]]:
    enough = [
        user
        for user, history in histories.items()
        if len({event.item_id for event in history if event.item_id in recommender}) >= _LEAST
    ]
    places = np.linspace(0, len(enough) - 1, min(count, len(enough))).astype(int).tolist()
    return {enough[place]: histories[enough[place]] for place in places}


def _made(recommender: "Recommender", count: int) -> dict[str, Sequence[Event]]:
    generator = np.random.default_rng(0)
    known = recommender.ids
    made: dict[str, Sequence[Event]] = {}
    for number in range(count):
        ids = [known[int(generator.integers(len(known)))]]
        while len(ids) < _LEAST:
            near = [item_id for item_id in recommender.similar(ids[-1], K).item_ids if item_id not in ids]
            if not near:
                break
            ids.append(near[int(generator.integers(len(near)))])
        made[f"made up {number + 1}"] = as_events(ids)
    return made
