"""What is shown of the range: filters by what there is, words found in titles, cards."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from recommender.core.blocks import Mask
from recommender.items import Attributes
from recommender.items.columns import Categories
from recommender.ranking.explanation import TEXTS
from recommender.ranking.results import Recommendation, Recommendations
from recommender.recommender import Recommender

FACETS = ("product_type", "brand", "color")
_MOST_VALUES = 40
_FIELDS = ("title", "price", "brand", "product_type")


@dataclass(frozen=True)
class Facet:
    """A column to choose by: its values with how many products have each, the most first."""

    name: str
    values: list[tuple[str, int]]


def facets(attributes: Attributes) -> list[Facet]:
    """Return the columns that the range may be narrowed by."""
    found = []
    for name in FACETS:
        if name in attributes.names and attributes.kind(name) == "category":
            words = attributes.categories(name)
            codes = attributes.codes(name)
            counts = np.bincount(codes[codes >= 0], minlength=len(words))
            largest = np.argsort(-counts, kind="stable")[:_MOST_VALUES].tolist()
            found.append(Facet(name, [(words[code], int(counts[code])) for code in largest]))
    return found


def narrowed(attributes: Attributes, said: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the filter that a form's fields say, None for none; a price that is no number says nothing."""
    must: list[dict[str, Any]] = [
        {"field": name, "any": [said[name]]} for name in FACETS if said.get(name) and name in attributes.names
    ]
    if "price" in attributes.names and said.get("price"):
        try:
            must.append({"field": "price", "range": {"lte": float(said["price"])}})
        except ValueError:
            return narrowed(attributes, {**said, "price": ""})
    return {"must": must} if must else None


def titled(attributes: Attributes, words: str) -> Mask:
    """Mask the products whose title or id has all of the words, shape (n,)."""
    asked = words.lower().split()
    mask = np.zeros(len(attributes), bool)
    if (row := attributes.row_of(words.strip())) >= 0:
        mask[row] = True
    if "title" in attributes.names:
        titles = [title.lower() for title in attributes.categories("title")]
        hit = np.array([all(word in title for word in asked) for title in titles], bool)
        codes = cast(Categories, attributes.column("title")).codes
        mask |= (codes >= 0) & hit[codes]
    return mask


def cards(recommender: Recommender, answer: Recommendations) -> list[dict[str, Any]]:
    """Return what is shown of each product of an answer."""
    return [card(recommender, item.item_id) | _why(recommender, item) for item in answer]


def listed(recommender: Recommender, item_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return what is shown of products of the bundle, each once; others are left out."""
    return [card(recommender, item_id) for item_id in dict.fromkeys(item_ids) if item_id in recommender]


def card(recommender: Recommender, item_id: str) -> dict[str, Any]:
    """Return what is shown of a product of the bundle."""
    names = [name for name in _FIELDS if name in recommender.attributes.names]
    fields = recommender.fields(item_id, names)
    pictured = recommender.thumbnail(item_id) is not None
    return {"id": item_id, **fields, "title": fields.get("title") or item_id, "pictured": pictured}


def _why(recommender: Recommender, item: Recommendation) -> dict[str, Any]:
    parts = {name: value for name, value in (item.parts or {}).items() if value > 0}
    whole, left, bars = sum(parts.values()) or 1.0, 0.0, []
    for name, value in parts.items():
        bars.append({"name": name, "left": round(left, 2), "width": round(100 * value / whole, 2)})
        left += 100 * value / whole
    reasons = [
        {"text": _sentence(recommender, reason.code, reason.seed), "share": round(100 * reason.share)}
        for reason in item.reasons
    ]
    return {"score": item.score, "why": item.text, "bars": bars, "reasons": reasons, "parts": item.parts}


def _sentence(recommender: Recommender, code: str, seed: str | None) -> str:
    title = "your choice" if seed is None else str(card(recommender, seed)["title"])
    return TEXTS.get(code, code).format(title)
