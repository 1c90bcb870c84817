"""Customers asked part by part: what one part says depends on no other, so parts may be asked anywhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from recommender.core.blocks import Rows
from recommender.evaluation.queries import Mask, Queries
from recommender.evaluation.rankers import Ranker
from recommender.progress import progress

PARTITION_SIZE = 512  # customers; baselines take 256 at once

Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Ranked:
    """What a ranker answered.

    Attributes
    ----------
    lists
        Among each kind of candidates, (b, k).
    seconds
        That they took.
    """

    lists: Mapping[str, Rows]
    seconds: float


@dataclass(frozen=True)
class RankingTask:
    """What every customer is asked of every ranker. It is all that a worker needs to know.

    Attributes
    ----------
    rankers
        Who ranks.
    kinds
        Candidates by name, each a mask (n,) or None for all; only customers with something right among them are
        asked.
    k
        Length of the lists.
    """

    rankers: Sequence[Ranker]
    kinds: Mapping[str, Mask | None]
    k: int

    def of(self, queries: Queries, run: Map = map, label: str = "evaluation") -> list[Ranked]:
        """Ask all customers, part by part, `run` being what `map` is; one `Ranked` for each ranker."""
        parts = [queries[some] for some in _parts(len(queries))]
        told = progress(run(self.rank, parts), label, len(parts), "part")
        return [_joined(found) for found in zip(*told, strict=True)]

    def rank(self, queries: Queries) -> list[Ranked]:
        """Ask some customers; one `Ranked` a ranker."""
        relevant = {kind: queries.relevant_among(candidates) for kind, candidates in self.kinds.items()}
        asked = {kind: np.flatnonzero(np.diff(right.indptr)) for kind, right in relevant.items()}
        return [self._ranked(ranker, queries, asked) for ranker in self.rankers]

    def _ranked(self, ranker: Ranker, queries: Queries, asked: Mapping[str, np.ndarray]) -> Ranked:
        started = perf_counter()
        lists = {}
        for kind, candidates in self.kinds.items():
            lists[kind] = np.full((len(queries), self.k), -1, np.int32)
            if len(asked[kind]):
                lists[kind][asked[kind]] = ranker.rank(queries[asked[kind]], self.k, candidates)
        return Ranked(lists, perf_counter() - started)


def _parts(queries: int) -> list[np.ndarray]:
    """Return the positions of each part; no customers are one empty part."""
    return np.split(np.arange(queries), range(PARTITION_SIZE, queries, PARTITION_SIZE))


def _joined(parts: Sequence[Ranked]) -> Ranked:
    lists = {kind: np.concatenate([part.lists[kind] for part in parts]) for kind in parts[0].lists}
    return Ranked(lists, sum(part.seconds for part in parts))
