"""Builds the neighbour table: each product's most similar products under the learned weights, with scores."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from os import cpu_count

import numpy as np

from recommender.core.blocks import NO_ROWS, Rows
from recommender.core.scoring import Scorer
from recommender.core.segment import Segment
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
    """
    width = min(NEIGHBOURS, segment.n)
    table = np.full((segment.n, width), -1, dtype=np.int32)
    scores = np.zeros((segment.n, width))
    exact = segment.n <= MAX_EXACT_ROWS or index is None or index.graph is None

    def selections() -> Iterator[tuple[int, Selection]]:
        for kind, rows in rows_by_kind(kinds or ["item"] * segment.n).items():
            scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights[kind])
            if exact:
                lists = by_all_pairs(segment, scorer, width, rows, NO_ROWS)
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


def by_all_pairs(segment: Segment, scorer: Scorer, width: int, rows: Rows, excluded: Rows) -> Iterator[Selection]:
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
    """

    def lists(start: int) -> list[Selection]:
        block, found = rows[start : start + BLOCK].tolist(), []
        queries = [segment.item_query(row) for row in block]
        for row, query, line in zip(block, queries, scorer.estimate(queries), strict=True):
            line[segment.variants(row)] = OUT
            line[excluded] = OUT
            near = nearest(line, width, scorer.slack(query)).astype(np.int32, copy=False)
            found.append(ranked(scorer, query, near, width))
        return found

    with ThreadPoolExecutor(cpu_count()) as pool:  # most of the work releases the GIL
        for found in pool.map(lists, range(0, len(rows), BLOCK)):
            yield from found


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
