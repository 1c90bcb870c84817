"""The rankers that an evaluation compares: the hybrid recommender, its components alone, and baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recommender.core.blocks import Mask, Rows
from recommender.evaluation.baselines import Baseline
from recommender.evaluation.queries import Queries
from recommender.evaluation.top_k import top_k

if TYPE_CHECKING:
    from recommender.recommender import Recommender

CONTENT = ("image", "text", "category")
CHUNK = 256  # users whose scores are in memory at once
HYBRID = "hybrid"


@dataclass(frozen=True)
class Ranker:
    """A named function that ranks items for queries.

    Attributes
    ----------
    name
        Shown in tables.
    group
        The recommender itself, one of its components, or a baseline.
    rank
        Best rows among the candidates (None: all) for each query, (b, k) int32, padded with -1.
    """

    name: str
    group: Literal["recommender", "component", "baseline"]
    rank: Callable[[Queries, int, Mask | None], Rows]


def recommender_rankers(recommender: "Recommender") -> list[Ranker]:
    """Return the recommender by its exact plan, by Annoy, without its prior, and with each component alone."""
    weights = recommender.weights["user"]
    hybrid = _RecommenderRanker(recommender)
    rankers = [
        Ranker(HYBRID, "recommender", hybrid),
        Ranker("hybrid, annoy", "recommender", hybrid.with_options(plan="annoy")),
    ]
    if "prior" in weights:
        rankers.append(Ranker("hybrid, no prior", "recommender", hybrid.with_options(weights={"prior": 0.0})))
    components = component_weights(weights).items()
    return rankers + [Ranker(name, "component", hybrid.with_options(weights=alone)) for name, alone in components]


def component_weights(weights: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return weights of one term of the score alone, or its content blocks equally, by name; no prior."""
    components = {f"{name} alone": [name] for name in weights if name != "prior"}
    content = [name for name in CONTENT if name in weights]
    if len(content) > 1:
        components["content, equal weights"] = content
    return {name: {term: float(term in terms) for term in weights} for name, terms in components.items()}


def ablated_rankers(recommender: "Recommender") -> list[Ranker]:
    """Return the recommender, then the recommender without each term of non-zero weight, named by the term."""
    weights, hybrid = recommender.weights["user"], _RecommenderRanker(recommender)
    terms = [name for name, weight in weights.items() if weight > 0]
    ablated = [
        Ranker(name, "component", hybrid.with_options(weights={name: 0.0})) for name in terms if len(terms) > 1
    ]
    return [Ranker(HYBRID, "recommender", hybrid), *ablated]


def baseline_rankers(baselines: Sequence[Baseline]) -> list[Ranker]:
    """Return the rankers of baselines."""
    return [Ranker(baseline.name, "baseline", _BaselineRanker(baseline)) for baseline in baselines]


@dataclass(frozen=True)
class _RecommenderRanker:
    """Ranks by `Recommender.recommend_many`; variants are not collapsed, since users choose variants."""

    recommender: "Recommender"
    options: Mapping[str, Any] = field(default_factory=lambda: {"plan": "exact", "variants": "all"})

    def with_options(self, **options: Any) -> "_RecommenderRanker":
        return _RecommenderRanker(self.recommender, {**self.options, **options})

    def __call__(self, queries: Queries, k: int, candidates: Mask | None) -> Rows:
        ids = None if candidates is None else self._filter(candidates)
        return self.recommender.recommend_many(queries.events, k, filter=ids, **self.options).rows

    def _filter(self, candidates: Mask) -> dict[str, Any]:
        id_of = self.recommender.attributes.id_of
        return {"must": [{"ids": [id_of(int(row)) for row in np.flatnonzero(candidates)]}]}


@dataclass(frozen=True)
class _BaselineRanker:
    """Ranks by a baseline's scores, a chunk of users at a time."""

    baseline: Baseline

    def __call__(self, queries: Queries, k: int, candidates: Mask | None) -> Rows:
        chunks = [slice(start, start + CHUNK) for start in range(0, len(queries), CHUNK)]
        return np.concatenate(
            [
                top_k(self.baseline.scores(queries.histories[chunk]), k, queries.seen[chunk], candidates)
                for chunk in chunks
            ]
        )
