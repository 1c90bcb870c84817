"""Builds the neighbour table: each product's most similar products under the learned weights, with scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import cpu_count

import numpy as np

from recommender.core.blocks import NO_ROWS, Rows
from recommender.core.scoring import Scorer
from recommender.core.segment import Segment
from recommender.evaluation.ranking_task import MapFunction
from recommender.progress import progress
from recommender.retrieval.candidates import Index
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Budget, Planner, RowQuery
from recommender.retrieval.selection import OUT, Selection, nearest, ranked

NEIGHBOURS = 64
BLOCK = 256
# Up to this many products all pairs are compared (100,000 x 512 take two CPU minutes; it grows with the square).
MAX_EXACT_ROWS = 200_000
WALK_WIDTH = 256  # of the walk over the graph that replaces it in a larger shop


def with_neighbours(
    segment: Segment,
    weights: Mapping[str, Mapping[str, float]],
    index: Index | None = None,
    kinds: Sequence[str] | None = None,
    run: MapFunction | None = None,
) -> Segment:
    """Return the segment with its neighbour table; a product's variants are no neighbours.

    Exact up to `MAX_EXACT_ROWS` products; beyond, the result of a wide walk over the graph.

    Parameters
    ----------
    segment
        n products.
    weights
        Kinds of request to learned weights.
    index
        Needed beyond `MAX_EXACT_ROWS`.
    kinds
        Names of the weights that apply to each product, length n; by default "item" for all.
    run
        See `by_all_pairs`. Walks are always made here: they need the index, whose files this machine has.
    """
    width = min(NEIGHBOURS, segment.n)
    table = np.full((segment.n, width), -1, dtype=np.int32)
    scores = np.zeros((segment.n, width))
    exact = segment.n <= MAX_EXACT_ROWS or index is None or index.graph is None

    def selections() -> Iterator[tuple[int, Selection]]:
        for kind, rows in rows_by_kind(kinds or ["item"] * segment.n).items():
            scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights[kind])
            if exact:
                lists = by_all_pairs(segment, scorer, width, rows, NO_ROWS, run)
            else:
                lists = _by_walks(segment, scorer, width, rows, index)
            yield from zip(rows.tolist(), lists, strict=True)

    for row, best in progress(selections(), "neighbour table", segment.n, "product"):
        table[row, : len(best.rows)], scores[row, : len(best.rows)] = best.rows, best.scores
    return replace(segment, neighbours=table, neighbour_scores=scores)


def rows_by_kind(kinds: Sequence[str]) -> dict[str, Rows]:
    """Return the rows of each kind, ascending."""
    names, inverse = np.unique(np.array(kinds, dtype=str), return_inverse=True)
    return {kind: np.flatnonzero(inverse == i).astype(np.int32) for i, kind in enumerate(names.tolist())}


def by_all_pairs(
    segment: Segment, scorer: Scorer, width: int, rows: Rows, excluded: Rows, run: MapFunction | None = None
) -> Iterator[Selection]:
    """Yield the `width` most similar products of each row, by blocked matrix products and exact scores.

    Parameters
    ----------
    segment, scorer
        All products, and their scores.
    width
        Number of neighbours.
    rows
        Shape (c,).
    excluded
        Rows that are no neighbours.
    run
        Maps a function over blocks of rows, in their order, as `map` does; by default in threads.
    """
    comparison = AllPairs(segment, scorer, width, rows, excluded)
    for found in (run or _in_threads)(comparison.block, range(0, len(rows), BLOCK)):
        yield from found


@dataclass(frozen=True)
class AllPairs:
    """Compares products with all others, block by block; see `by_all_pairs`."""

    segment: Segment
    scorer: Scorer
    width: int
    rows: Rows
    excluded: Rows

    def block(self, start: int) -> list[Selection]:
        """Return the neighbours of `BLOCK` rows from a position on."""
        rows, found = self.rows[start : start + BLOCK].tolist(), []
        queries = [self.segment.item_query(row) for row in rows]
        for row, query, line in zip(rows, queries, self.scorer.estimate(queries), strict=True):
            line[self.segment.variants(row)] = OUT
            line[self.excluded] = OUT
            near = nearest(line, self.width, self.scorer.slack(query)).astype(np.int32, copy=False)
            found.append(ranked(self.scorer, query, near, self.width))
        return found


def _in_threads(work: Callable[[int], list[Selection]], starts: Sequence[int]) -> Iterator[list[Selection]]:
    with ThreadPoolExecutor(cpu_count()) as pool:  # most of the work releases the GIL
        yield from pool.map(work, starts)


def _by_walks(
    segment: Segment, scorer: Scorer, width: int, rows: Rows, index: Index | None
) -> Iterator[Selection]:
    planner = Planner(segment, index)
    eligibility = Eligibility(segment, collapse=False)
    budget = Budget(WALK_WIDTH, 0, 0)

    def answer(row: int) -> Selection:
        query = RowQuery(segment.item_query(row), width, np.sort(segment.variants(row)))
        return ranked(scorer, query.query, planner.candidates(scorer, query, eligibility, budget), width)

    with ThreadPoolExecutor(cpu_count()) as pool:  # most of the work releases the GIL
        for start in range(0, len(rows), BLOCK):
            yield from pool.map(answer, rows[start : start + BLOCK].tolist())
