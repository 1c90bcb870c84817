"""Rank all queries of an evaluation in partitions, in this process or on a cluster."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from recommender.core.blocks import Mask, Rows
from recommender.evaluation.queries import Queries
from recommender.evaluation.rankers import Candidates, Ranker
from recommender.progress import progress

PARTITION_SIZE = 512  # queries; a multiple of the baselines' chunk of 256

MapFunction = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class RankedLists:
    """The lists of one ranker.

    Attributes
    ----------
    lists
        Candidate set to rows (b, k).
    seconds
        To rank them.
    """

    lists: Mapping[str, Rows]
    seconds: float


@dataclass(frozen=True)
class RankingTask:
    """The rankers, candidate sets and cutoff of an evaluation: all that a worker needs beside its queries.

    A partition's result does not depend on the others, so partitions may run anywhere.

    Attributes
    ----------
    rankers
        To be compared.
    candidates
        Candidate set to a mask (n,), or None for all items; only queries with a relevant item among them are
        ranked.
    k
        Length of the lists.
    """

    rankers: Sequence[Ranker]
    candidates: Mapping[str, Mask | None]
    k: int

    def run(self, queries: Queries, run: MapFunction = map, label: str = "evaluation") -> list[RankedLists]:
        """Rank all queries, partition by partition, and return the lists of each ranker.

        Parameters
        ----------
        queries
            To rank.
        run
            Maps a function over partitions in their order, as `map` does.
        label
            Of the progress bar.
        """
        partitions = [queries[positions] for positions in _partitions(len(queries))]
        results = progress(run(self.rank, partitions), label, len(partitions), "partition")
        return [_concatenated(parts) for parts in zip(*results, strict=True)]

    def rank(self, queries: Queries) -> list[RankedLists]:
        """Rank the queries of one partition, and return the lists of each ranker."""
        queries = replace(queries)  # what rankers remember of them is forgotten with the copy
        candidates = {name: _candidates(queries, mask) for name, mask in self.candidates.items()}
        return [self._ranked(ranker, queries, candidates) for ranker in self.rankers]

    def _ranked(self, ranker: Ranker, queries: Queries, candidates: Mapping[str, Candidates]) -> RankedLists:
        """Rank each candidate set once: without cold items, "warm" is "all"."""
        started = perf_counter()
        different = {id(each.mask): each for each in candidates.values() if len(each.queries)}
        ranked = dict(zip(different, ranker.rank(queries, self.k, [*different.values()]), strict=True))
        lists = {}
        for name, each in candidates.items():
            lists[name] = np.full((len(queries), self.k), -1, np.int32)
            if len(each.queries):
                lists[name][each.queries] = ranked[id(each.mask)]
        return RankedLists(lists, perf_counter() - started)


def _candidates(queries: Queries, mask: Mask | None) -> Candidates:
    """Return a candidate set with the queries that have a relevant item among it."""
    if mask is not None and mask.all():
        mask = None
    return Candidates(mask, np.flatnonzero(np.diff(queries.relevant_among(mask).indptr)))


def _partitions(queries: int) -> list[np.ndarray]:
    """Return the positions of each partition; no queries are one empty partition."""
    return np.split(np.arange(queries), range(PARTITION_SIZE, queries, PARTITION_SIZE))


def _concatenated(parts: Sequence[RankedLists]) -> RankedLists:
    lists = {name: np.concatenate([part.lists[name] for part in parts]) for name in parts[0].lists}
    return RankedLists(lists, sum(part.seconds for part in parts))
