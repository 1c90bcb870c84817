"""Results: recommendations with scores, reasons and warnings."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recommender.core.blocks import Double, Rows

if TYPE_CHECKING:
    import pandas as pd

# From a product's id to its attributes and its thumbnail.
Describe = Callable[[str], tuple[dict[str, Any], bytes | None]]
# Attributes that frames have beside the id, where the catalogue has them.
FRAME_ATTRIBUTES = ("title", "price", "link")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a recommendation.

    Parameters
    ----------
    code
        visual_similarity, text_similarity, same_category, bought_together, your_history, bought_before,
        your_profile, popular, trending, new_item, promoted, explored, matching_words, matching_identifier or
        sorted.
    seed
        Id of the product it comes from, if it comes from one.
    share
        Share of the score's positive part, in [0, 1].
    approximate
        Whether the seed is the likeliest of several rather than the one that the sum names: a sequence model reads
        the history whole.
    """

    code: str
    seed: str | None
    share: float
    approximate: bool = False


class Recommendation(NamedTuple):
    """One recommended product.

    Attributes
    ----------
    item_id
        The shop's id.
    rank
        From 1.
    score
        The exact score; comparable within one result.
    parts
        The terms that sum to the score, if an explanation was requested.
    reasons
        Strongest first, if an explanation was requested.
    text
        The strongest reason as text.
    propensity
        The probability with which this position shows this product, where the request explores.
    explored
        Whether it was drawn at random.
    """

    item_id: str
    rank: int
    score: float
    parts: dict[str, float] | None = None
    reasons: tuple[Reason, ...] = ()
    text: str | None = None
    propensity: float | None = None
    explored: bool = False


@dataclass(frozen=True)
class Alternative:
    """Products beside a search that found nothing; they do not match it.

    Parameters
    ----------
    reason
        What they are, such as "no product matches; these are popular".
    text
        The text that they match instead; None if they match none.
    items
        Best first.
    """

    reason: str
    text: str | None
    items: tuple[Recommendation, ...]


@dataclass(frozen=True)
class Recommendations:
    """The result of one request: products best first, and how they were found.

    Parameters
    ----------
    items
        In non-increasing score, ties by id.
    strategy
        The strategy that answered, such as similar, for_you, search, popular or similar_by_category.
    plan
        neighbours, annoy+graph, annoy+hop or exact.
    eligible
        How many products are eligible, after filter, exclusions and variants.
    candidates
        How many were scored.
    generation
        The bundle that answered.
    fallback_used
        The strategy that stood in, if the requested one had nothing to work with.
    warnings
        What was ignored or relaxed.
    facets
        Of a search: attribute to its values with the number of matching products, the most frequent first.
    alternatives
        Of a search that found nothing: other products, which do not match.
    describe
        Returns the attributes and the thumbnail of a product, for notebooks.
    """

    items: tuple[Recommendation, ...]
    strategy: str
    plan: str
    eligible: int
    candidates: int
    generation: str
    fallback_used: str | None = None
    warnings: tuple[str, ...] = ()
    facets: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    alternatives: tuple[Alternative, ...] = ()
    describe: Describe | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    def __getitem__(self, position: int) -> Recommendation:
        return self.items[position]

    @property
    def item_ids(self) -> list[str]:
        """The ids, best first."""
        return [item.item_id for item in self.items]

    def to_dict(self) -> dict[str, Any]:
        """Return the members of the HTTP response, without those that only the service knows."""
        if self.items and (self.items[0].parts is not None or self.items[0].propensity is not None):
            items = [item_dict(item) for item in self.items]
        else:
            items = [{"item_id": item.item_id, "rank": item.rank, "score": item.score} for item in self.items]
        return {
            "strategy": self.strategy,
            "bundle": self.generation,
            "items": items,
            "retrieval": {"plan": self.plan, "eligible": self.eligible, "candidates": self.candidates},
            "fallback_used": self.fallback_used,
            "warnings": list(self.warnings),
        }

    def search_dict(self) -> dict[str, Any]:
        """Return the members of the HTTP response that only searches have, without the cursor."""
        return {
            "facets": {
                name: [{"value": value, "count": count} for value, count in values]
                for name, values in self.facets.items()
            },
            "alternatives": [
                {"reason": each.reason, "text": each.text, "items": [item_dict(item) for item in each.items]}
                for each in self.alternatives
            ],
        }

    def to_frame(self) -> "pd.DataFrame":
        """Return one line per product: rank, item_id, title, price and link, score, and the parts if explained.

        Of title, price and link those that the catalogue has.
        """
        import pandas as pd

        lines = []
        for item in self.items:
            fields = self.describe(item.item_id)[0] if self.describe else {}
            lines.append(
                {
                    "rank": item.rank,
                    "item_id": item.item_id,
                    **{name: fields[name] for name in FRAME_ATTRIBUTES if name in fields},
                    "score": item.score,
                    **(item.parts or {}),
                }
            )
        return pd.DataFrame(lines, columns=None if lines else ["rank", "item_id", "score"])

    def _repr_html_(self) -> str:
        """Return the products with thumbnail, id, price and reason as HTML, for notebooks."""
        cells = "".join(self._cell(item) for item in self.items)
        head = f"{escape(self.strategy)} · {escape(self.plan)} · {self.eligible:,} eligible"
        grid = f"<div style='display:flex;flex-wrap:wrap;gap:12px'>{cells}</div>"
        return f"<div style='color:#666'>{head}</div>{grid}"

    def _cell(self, item: Recommendation) -> str:
        fields, picture = self.describe(item.item_id) if self.describe else ({}, None)
        shown = (
            f"<img style='height:110px' src='data:image/jpeg;base64,{b64encode(picture).decode()}'>"
            if picture
            else "<div style='height:110px;line-height:110px;color:#999'>no photo</div>"
        )
        title = escape(str(fields.get("title") or item.item_id))
        why = f"<div style='color:#666'>{escape(item.text)}</div>" if item.text else ""
        return (
            f"<div style='width:130px;font-size:12px'>{shown}<div><b>{item.rank}.</b> {title}</div>"
            f"<div>{item.score:.3f}</div>{why}</div>"
        )


def item_dict(item: Recommendation) -> dict[str, Any]:
    """Return one product as in the HTTP response."""
    answer: dict[str, Any] = {"item_id": item.item_id, "rank": item.rank, "score": item.score}
    if item.parts is not None:
        answer["explanation"] = {
            "parts": item.parts,
            "reasons": [{"code": r.code, "seed": r.seed, "share": r.share} for r in item.reasons],
            "text": item.text,
        }
    if item.explored:
        answer["explored"] = True
    return answer


@dataclass
class RecommendationTable:
    """Results of b requests as arrays.

    Parameters
    ----------
    rows
        Shape (b, k), int32, best first; −1 where a request had fewer than k eligible products.
    scores
        Shape (b, k), float64; NaN beside −1.
    item_ids
        Shape (b, k), the shop's ids; None beside −1.
    strategies
        Which strategy answered each request, length b.
    warnings
        The warnings of each request, length b.
    items
        For each request its products with explanations, length b; None where no explanation was requested.
    describe
        Returns title, price and link of a product, those that the catalogue has, for frames.
    """

    rows: Rows
    scores: Double
    item_ids: np.ndarray
    strategies: list[str]
    warnings: list[tuple[str, ...]]
    items: list[tuple[Recommendation, ...] | None]
    describe: Callable[[str], dict[str, Any]] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def empty(cls, strategies: list[str], k: int) -> "RecommendationTable":
        """Return a table without products, for requests that `strategies` answer."""
        b = len(strategies)
        rows, ids = np.full((b, k), -1, dtype=np.int32), np.empty((b, k), dtype=object)
        return cls(rows, np.full((b, k), np.nan), ids, strategies, [()] * b, [None] * b)

    def __len__(self) -> int:
        return len(self.rows)

    def put(
        self,
        position: int,
        rows: Rows,
        scores: Double,
        items: tuple[Recommendation, ...] | None,
        warnings: tuple[str, ...],
    ) -> None:
        """Set the result of one request."""
        self.rows[position, : len(rows)], self.scores[position, : len(rows)] = rows, scores
        self.items[position], self.warnings[position] = items, warnings

    def with_ids(self, id_of: Callable[[int], str]) -> "RecommendationTable":
        """Fill in the ids of the rows; `id_of` returns the id of a row."""
        known = {row: id_of(row) for row in np.unique(self.rows).tolist() if row >= 0}
        ids = [known.get(row) for row in self.rows.ravel().tolist()]
        self.item_ids = np.array(ids, dtype=object).reshape(self.rows.shape)
        return self

    def to_frame(self, keys: Sequence[str] | None = None, name: str = "request") -> "pd.DataFrame":
        """Return one line per product: request, rank, item_id, title, price and link, score, strategy, reason.

        Of title, price and link those that the catalogue has; the reason if it was explained.

        Parameters
        ----------
        keys
            What to call each request, length b; by default its position from 0.
        name
            The name of that column.
        """
        import pandas as pd

        b, k = self.rows.shape
        filled = (self.rows >= 0).ravel()
        item_ids = self.item_ids.ravel()[filled]
        columns: dict[str, Any] = {
            name: np.repeat(np.arange(b) if keys is None else np.array(keys, dtype=object), k)[filled],
            "rank": np.tile(np.arange(1, k + 1), b)[filled],
            "item_id": item_ids,
            **self._attributes(item_ids),
            "score": self.scores.ravel()[filled],
            "strategy": np.repeat(np.array(self.strategies, dtype=object), k)[filled],
        }
        if b and all(items is not None for items in self.items):
            columns["reason"] = [item.text for items in self.items for item in items or ()]
        return pd.DataFrame(columns)

    def _attributes(self, item_ids: np.ndarray) -> dict[str, list[Any]]:
        """Return title, price and link of products by column, those that the catalogue has."""
        known = {item_id: self.describe(item_id) for item_id in dict.fromkeys(item_ids)} if self.describe else {}
        names = next(iter(known.values()), {})
        return {name: [known[item_id][name] for item_id in item_ids] for name in names}
