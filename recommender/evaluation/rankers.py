"""The rankers that an evaluation compares: the hybrid recommender, its components alone, and baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Mask, Rows
from recommender.evaluation.baselines import Baseline
from recommender.evaluation.queries import FOR_YOU, Queries
from recommender.evaluation.top_k import mask_out, top_k
from recommender.retrieval.planner import Budgets

if TYPE_CHECKING:
    from recommender.ranking.strategies import ResolvedRequest
    from recommender.recommender import Recommender

CONTENT = ("image", "text", "category")
CHUNK = 256  # users whose scores are in memory at once
WIDER = 2  # lists of all items are so many times as long, for those of candidate sets to be found in them
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
        Best rows of each candidate set for its queries, (len(candidates.queries), k) int32, padded with -1.
    detail
        Parameters of a baseline, shown beside the name.
    """

    name: str
    group: Literal["recommender", "component", "baseline"]
    rank: Callable[[Queries, int, "Sequence[Candidates]"], list[Rows]]
    detail: str = ""


@dataclass(frozen=True)
class Candidates:
    """A candidate set, and the queries that are ranked among it.

    Attributes
    ----------
    mask
        Rows that may be recommended, (n,); None: all.
    queries
        Positions among b queries, ascending.
    """

    mask: Mask | None
    queries: NDArray[np.intp]


def recommender_rankers(recommender: "Recommender") -> list[Ranker]:
    """Return the recommender by its exact plan, by its index, without its prior, and with each component alone."""
    weights = recommender.weights["user"]
    hybrid = _RecommenderRanker(recommender)
    rankers = [Ranker(HYBRID, "recommender", hybrid)]
    if recommender.planner.budgets != Budgets():  # otherwise no request is answered by Annoy
        rankers.append(Ranker("hybrid, annoy", "recommender", hybrid.with_options(plan="annoy")))
    components = component_weights(weights)
    if "prior" in weights:
        rankers.append(Ranker("hybrid, no prior", "recommender", hybrid.with_options(weights={"prior": 0.0})))
        components["prior alone"] = {term: float(term == "prior") for term in weights}
    if weights.get("repeat"):
        rankers.append(Ranker("hybrid, no repeat", "recommender", hybrid.with_options(weights={"repeat": 0.0})))
    return rankers + [
        Ranker(name, "component", hybrid.with_options(weights=alone)) for name, alone in components.items()
    ]


def component_weights(weights: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return weights of one term of the score alone, or its content blocks equally, by name; no prior."""
    components = {f"{name} alone": [name] for name in weights if name != "prior"}
    content = [name for name in CONTENT if name in weights]
    if len(content) > 1:
        components["content, equal weights"] = content
    return {name: {term: float(term in terms) for term in weights} for name, terms in components.items()}


def ablated_rankers(recommender: "Recommender") -> dict[str, Ranker]:
    """Return the recommender by `HYBRID`, and the recommender without each term of non-zero weight by the term."""
    weights, hybrid = recommender.weights["user"], _RecommenderRanker(recommender)
    terms = [name for name, weight in weights.items() if weight > 0]
    return {HYBRID: Ranker(HYBRID, "recommender", hybrid)} | {
        name: Ranker(f"{HYBRID}, no {name}", "recommender", hybrid.with_options(weights={name: 0.0}))
        for name in terms
        if len(terms) > 1
    }


def baseline_rankers(baselines: Sequence[Baseline]) -> list[Ranker]:
    """Return the rankers of baselines."""
    return [Ranker(each.name, "baseline", _BaselineRanker(each), each.detail) for each in baselines]


@dataclass(frozen=True)
class _RecommenderRanker:
    """Ranks by the recommender's answers; variants are not collapsed, since users choose variants."""

    recommender: "Recommender"
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_options(self, **options: Any) -> "_RecommenderRanker":
        return _RecommenderRanker(self.recommender, {**self.options, **options})

    def __call__(self, queries: Queries, k: int, candidates: Sequence[Candidates]) -> list[Rows]:
        resolved = queries.resolved(self.recommender)
        exact = self.options.get("plan", FOR_YOU.plan) == "exact"
        # In an exact list of all items, those of a candidate set stand in the order of its own list.
        whole = np.full((len(resolved), WIDER * k), -1, np.int32)
        if exact and (everyone := [each.queries for each in candidates if each.mask is None]):
            whole[everyone[0]] = self._rows(resolved, everyone[0], WIDER * k, None)
        return [self._list(resolved, each, k, whole[each.queries]) for each in candidates]

    def _list(self, resolved: "Sequence[ResolvedRequest]", among: Candidates, k: int, whole: Rows) -> Rows:
        """Return the lists of one candidate set: from those of all items, as far as these have k of the set."""
        rows = _first(whole, among.mask, k)
        short = np.flatnonzero(rows[:, -1] < 0)
        if len(short):
            rows[short] = self._rows(resolved, among.queries[short], k, among.mask)
        return rows

    def _rows(
        self, resolved: "Sequence[ResolvedRequest]", positions: NDArray[np.intp], k: int, mask: Mask | None
    ) -> Rows:
        only = None if mask is None else self._filter(mask)
        rules = replace(FOR_YOU, k=k, filter=only, **self.options)
        return self.recommender.run_resolved([resolved[query] for query in positions.tolist()], rules).rows

    def _filter(self, candidates: Mask) -> dict[str, Any]:
        id_of = self.recommender.attributes.id_of
        return {"must": [{"ids": [id_of(int(row)) for row in np.flatnonzero(candidates)]}]}


def _first(rows: Rows, mask: Mask | None, k: int) -> Rows:
    """Return the first k of each list that are among a mask (n,), padded with -1."""
    retained = rows >= 0 if mask is None else (rows >= 0) & mask[rows]
    order = np.argsort(~retained, axis=1, kind="stable")[:, :k]
    found = np.where(retained, rows, -1)
    return np.take_along_axis(found, order, axis=1).astype(np.int32)


@dataclass(frozen=True)
class _BaselineRanker:
    """Ranks by a baseline's scores, a chunk of users at a time; all candidate sets by the same scores."""

    baseline: Baseline

    def __call__(self, queries: Queries, k: int, candidates: Sequence[Candidates]) -> list[Rows]:
        lists = [np.full((len(each.queries), k), -1, np.int32) for each in candidates]
        for start in range(0, len(queries), CHUNK):
            chunk = queries[np.arange(start, min(start + CHUNK, len(queries)))]
            scores = mask_out(self.baseline.scores(chunk.histories), chunk.seen)
            for each, rows in zip(candidates, lists, strict=True):
                lines = slice(*np.searchsorted(each.queries, [start, start + CHUNK]))
                rows[lines] = top_k(scores[each.queries[lines] - start], k, candidates=each.mask)
        return lists
