"""What a question is answered with; immutable."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recommender.core.blocks import Double, Rows

if TYPE_CHECKING:
    import pandas as pd

# From a product's id to what the catalogue says of it and its picture.
Describe = Callable[[str], tuple[dict[str, Any], bytes | None]]


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a recommendation.

    Parameters
    ----------
    code
        visual_similarity, text_similarity, same_category, bought_together, your_history, popular or fallback.
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
    """One product of an answer.

    Attributes
    ----------
    item_id
        The shop's id.
    rank
        From 1.
    score
        The exact score; comparable within one answer.
    parts
        The terms that sum to the score, if an explanation was asked for.
    reasons
        Strongest first, if an explanation was asked for.
    text
        The strongest reason in words.
    """

    item_id: str
    rank: int
    score: float
    parts: dict[str, float] | None = None
    reasons: tuple[Reason, ...] = ()
    text: str | None = None


@dataclass(frozen=True)
class Recommendations:
    """An answer: products best first, and how they were found.

    Parameters
    ----------
    items
        In non-increasing score, ties by id.
    strategy
        similar, for_you, search, popular or similar_by_category: what gave the answer.
    plan
        neighbours, annoy+graph, annoy+hop or exact.
    eligible
        How many products could have been answered, after filter, exclusions and variants.
    candidates
        How many were scored.
    generation
        The bundle that answered.
    fallback_used
        The strategy that stood in, if the one asked for had nothing to go on.
    warnings
        What was ignored or odd.
    describe
        Knows more of a product, for a page that shows the answer.
    """

    items: tuple[Recommendation, ...]
    strategy: str
    plan: str
    eligible: int
    candidates: int
    generation: str
    fallback_used: str | None = None
    warnings: tuple[str, ...] = ()
    describe: Describe | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    def __getitem__(self, place: int) -> Recommendation:
        return self.items[place]

    @property
    def item_ids(self) -> list[str]:
        """The ids, best first."""
        return [item.item_id for item in self.items]

    def to_dict(self) -> dict[str, Any]:
        """Return the HTTP answer's members, but for those that only the service knows."""
        return {
            "strategy": self.strategy,
            "bundle": self.generation,
            "items": [item_dict(item) for item in self.items],
            "retrieval": {"plan": self.plan, "eligible": self.eligible, "candidates": self.candidates},
            "fallback_used": self.fallback_used,
            "warnings": list(self.warnings),
        }

    def to_frame(self) -> "pd.DataFrame":
        """Return one line per product: rank, item_id, title if known, score, and the parts if explained."""
        import pandas as pd

        lines = []
        for item in self.items:
            title = {"title": self.describe(item.item_id)[0].get("title")} if self.describe else {}
            lines.append(
                {
                    "rank": item.rank,
                    "item_id": item.item_id,
                    **title,
                    "score": item.score,
                    **(item.parts or {}),
                }
            )
        return pd.DataFrame(lines, columns=None if lines else ["rank", "item_id", "score"])

    def _repr_html_(self) -> str:
        """Draw the products with their pictures: what a notebook shows."""
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
    """Return one product as the HTTP answer has it."""
    answer: dict[str, Any] = {"item_id": item.item_id, "rank": item.rank, "score": item.score}
    if item.parts is not None:
        answer["explanation"] = {
            "parts": item.parts,
            "reasons": [{"code": r.code, "seed": r.seed, "share": r.share} for r in item.reasons],
            "text": item.text,
        }
    return answer


@dataclass(frozen=True)
class RecommendationTable:
    """Answers to b questions as arrays.

    Parameters
    ----------
    rows
        Shape (b, k), int32, best first; −1 where a question had fewer than k eligible products.
    scores
        Shape (b, k), float64; NaN beside −1.
    item_ids
        Shape (b, k), the shop's ids; None beside −1.
    strategies
        Which strategy answered each question, length b.
    """

    rows: Rows
    scores: Double
    item_ids: np.ndarray
    strategies: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def put(self, lines: Sequence[int], answers: "RecommendationTable") -> "RecommendationTable":
        """Return the table with other answers in some lines."""
        rows, scores, item_ids, strategies = (
            self.rows.copy(),
            self.scores.copy(),
            self.item_ids.copy(),
            [*self.strategies],
        )
        places = list(lines)
        rows[places], scores[places], item_ids[places] = answers.rows, answers.scores, answers.item_ids
        for line, strategy in zip(places, answers.strategies, strict=True):
            strategies[line] = strategy
        return RecommendationTable(rows, scores, item_ids, strategies)
