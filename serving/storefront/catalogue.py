"""Product lists of the storefront: facets, filters, cards."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.items import Attributes
from recommender.ranking.explanation import TEXTS
from recommender.ranking.results import Recommendation, Recommendations
from recommender.recommender import Recommender

FACETS = ("product_type", "brand", "color")
_MAX_VALUES = 40
_FIELDS = ("title", "price", "brand", "product_type")


@dataclass(frozen=True)
class Facet:
    """A column to filter by: its values with their number of products, in descending order."""

    name: str
    values: list[tuple[str, int]]


def facet_names(attributes: Attributes) -> list[str]:
    """Return the names of the columns that products can be filtered by."""
    return [name for name in FACETS if name in attributes.names and attributes.kind(name) == "category"]


def facets(attributes: Attributes) -> list[Facet]:
    """Return the columns that products can be filtered by."""
    result = []
    for name in facet_names(attributes):
        values = attributes.categories(name)
        codes = attributes.codes(name)
        counts = np.bincount(codes[codes >= 0], minlength=len(values))
        largest = np.argsort(-counts, kind="stable")[:_MAX_VALUES].tolist()
        result.append(Facet(name, [(values[code], int(counts[code])) for code in largest]))
    return result


def facets_of(result: Recommendations) -> list[Facet]:
    """Return the facets of a search."""
    return [Facet(name, [*values][:_MAX_VALUES]) for name, values in result.facets.items()]


def form_filter(attributes: Attributes, form: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the filter of a form's fields, or None; a price that is not a number is ignored."""
    must: list[dict[str, Any]] = [
        {"field": name, "any": [form[name]]} for name in FACETS if form.get(name) and name in attributes.names
    ]
    if "price" in attributes.names and form.get("price"):
        try:
            must.append({"field": "price", "range": {"lte": float(form["price"])}})
        except ValueError:
            return form_filter(attributes, {**form, "price": ""})
    return {"must": must} if must else None


def cards(recommender: Recommender, result: Recommendations) -> list[dict[str, Any]]:
    """Return the cards of recommendations, with their reasons."""
    return [card(recommender, item.item_id) | _why(recommender, item) for item in result]


def listed(recommender: Recommender, item_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return the cards of products, each once; ids that are not in the bundle are left out."""
    return [card(recommender, item_id) for item_id in dict.fromkeys(item_ids) if item_id in recommender]


def card(recommender: Recommender, item_id: str) -> dict[str, Any]:
    """Return the card of a product: its id, title, price and brand, and whether it has an image."""
    names = [name for name in _FIELDS if name in recommender.attributes.names]
    fields = recommender.fields(item_id, names)
    has_image = recommender.thumbnail(item_id) is not None
    return {"id": item_id, **fields, "title": fields.get("title") or item_id, "has_image": has_image}


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
