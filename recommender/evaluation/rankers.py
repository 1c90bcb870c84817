"""The ways to rank that are compared: the product whole, the product in parts, and the baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recommender.core.blocks import Rows
from recommender.evaluation.baselines import Baseline
from recommender.evaluation.queries import Mask, Queries
from recommender.evaluation.top_k import top_k

if TYPE_CHECKING:
    from recommender.recommender import Recommender

CONTENT = ("image", "text", "category")
CHUNK = 256


@dataclass(frozen=True)
class Ranker:
    """One way to rank.

    Attributes
    ----------
    name, group
        What it is called in the table, and what it is: the product, a part of it, or a baseline.
    rank
        Best rows among the candidates (None: all) for each query, (b, k) int32, padded with -1.
    """

    name: str
    group: Literal["product", "part", "baseline"]
    rank: Callable[[Queries, int, Mask | None], Rows]


HYBRID = "hybrid"


def recommender_rankers(recommender: "Recommender") -> list[Ranker]:
    """List the product as it answers, without its prior, by Annoy, and by each of its parts alone."""
    weights = recommender.weights["user"]
    asked = _Asked(recommender)
    product = [Ranker(HYBRID, "product", asked), Ranker("hybrid, annoy", "product", asked.by(plan="annoy"))]
    if "prior" in weights:
        product.append(Ranker("hybrid, no prior", "product", asked.by(weights={"prior": 0.0})))
    parts = component_weights(weights).items()
    return product + [Ranker(name, "part", asked.by(weights=alone)) for name, alone in parts]


def component_weights(weights: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Weights that leave one term of the score, or its content blocks alike, by name; the prior is no part."""
    parts = {f"{name} alone": [name] for name in weights if name != "prior"}
    content = [name for name in CONTENT if name in weights]
    if len(content) > 1:
        parts["content, equal weights"] = content
    return {name: {term: float(term in part) for term in weights} for name, part in parts.items()}


def without(recommender: "Recommender") -> list[Ranker]:
    """List the product as it answers, then without each term that counts, by the term's name."""
    weights, asked = recommender.weights["user"], _Asked(recommender)
    counted = [name for name, weight in weights.items() if weight > 0]
    ablated = [Ranker(name, "part", asked.by(weights={name: 0.0})) for name in counted if len(counted) > 1]
    return [Ranker(HYBRID, "product", asked), *ablated]


def baseline_rankers(baselines: Sequence[Baseline]) -> list[Ranker]:
    """List baselines."""
    return [Ranker(baseline.name, "baseline", _Scored(baseline)) for baseline in baselines]


@dataclass(frozen=True)
class _Asked:
    """Asks the product as anybody would; every variant counts, since customers choose variants."""

    recommender: "Recommender"
    options: Mapping[str, Any] = field(default_factory=lambda: {"plan": "exact", "variants": "all"})

    def by(self, **options: Any) -> "_Asked":
        return _Asked(self.recommender, {**self.options, **options})

    def __call__(self, queries: Queries, k: int, candidates: Mask | None) -> Rows:
        only = None if candidates is None else self._only(candidates)
        return self.recommender.recommend_many(queries.events, k, filter=only, **self.options).rows

    def _only(self, candidates: Mask) -> dict[str, Any]:
        id_of = self.recommender.attributes.id_of
        return {"must": [{"ids": [id_of(int(row)) for row in np.flatnonzero(candidates)]}]}


@dataclass(frozen=True)
class _Scored:
    """Ranks by a baseline's scores, a chunk of customers at a time."""

    baseline: Baseline

    def __call__(self, queries: Queries, k: int, candidates: Mask | None) -> Rows:
        chunks = [slice(start, start + CHUNK) for start in range(0, len(queries), CHUNK)]
        return np.concatenate(
            [
                top_k(self.baseline.scores(queries.histories[part]), k, queries.seen[part], candidates)
                for part in chunks
            ]
        )
