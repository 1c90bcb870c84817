"""The item→neighbours table: each product's best others under the learned weights, and their scores."""

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
from recommender.towers.user import item_query

NEIGHBOURS = 64
BLOCK = 256
# Up to so many products all pairs are compared (100,000 x 512 take two CPU minutes; it grows with the square).
EXACT_ROWS = 200_000
WIDTH = 256  # of the walk that finds the neighbours in a larger shop


def with_neighbours(
    segment: Segment,
    weights: Mapping[str, Mapping[str, float]],
    index: Index | None = None,
    kinds: Sequence[str] | None = None,
) -> Segment:
    """Return the segment with its neighbour table, own variants left out.

    Exact up to `EXACT_ROWS` products; beyond, what a wide walk over the graph finds.

    Parameters
    ----------
    weights
        Kinds of question to learned weights.
    index
        Needed beyond `EXACT_ROWS`.
    kinds
        Whose weights count for each product, length n; by default "item" for all.
    """
    width = min(NEIGHBOURS, segment.n)
    table = np.full((segment.n, width), -1, dtype=np.int32)
    scores = np.zeros((segment.n, width))
    exact = segment.n <= EXACT_ROWS or index is None or index.graph is None

    def found() -> Iterator[tuple[int, Selection]]:
        for kind, rows in rows_by_kind(kinds or ["item"] * segment.n).items():
            scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights[kind])
            if exact:
                lists = by_all_pairs(segment, scorer, width, rows, NO_ROWS)
            else:
                lists = _by_walks(segment, scorer, width, rows, index)
            yield from zip(rows.tolist(), lists, strict=True)

    for row, best in progress(found(), "neighbour table", segment.n, "product"):
        table[row, : len(best.rows)], scores[row, : len(best.rows)] = best.rows, best.scores
    return replace(segment, neighbours=table, neighbour_scores=scores)


def rows_by_kind(kinds: Sequence[str]) -> dict[str, Rows]:
    """Return the places of each kind, ascending."""
    found, place = np.unique(np.array(kinds, dtype=str), return_inverse=True)
    return {kind: np.flatnonzero(place == i).astype(np.int32) for i, kind in enumerate(found.tolist())}


def by_all_pairs(segment: Segment, scorer: Scorer, width: int, rows: Rows, out: Rows) -> Iterator[Selection]:
    """Yield the best `width` others of each of `rows`, by blocked matrix products and exact scores.

    Parameters
    ----------
    rows
        Shape (c,).
    out
        Rows that are no neighbours.
    """
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK].tolist()
        queries = [item_query(segment, row) for row in block]
        for row, query, line in zip(block, queries, scorer.estimate(queries), strict=True):
            line[segment.variants(row)] = OUT
            line[out] = OUT
            near = nearest(line, width, scorer.slack(query)).astype(np.int32, copy=False)
            yield ranked(scorer, query, near, width)


def _by_walks(
    segment: Segment, scorer: Scorer, width: int, rows: Rows, index: Index | None
) -> Iterator[Selection]:
    search = Planner(segment, index)
    rules = Eligibility(segment, collapse=False)
    budget = Budget(WIDTH, 0, 0)

    def answer(row: int) -> Selection:
        question = RowQuery(item_query(segment, row), width, np.sort(segment.variants(row)))
        near = rules.filter(search.candidates(scorer, question, rules, budget), question.excluded)
        return ranked(scorer, question.query, near, width)

    with ThreadPoolExecutor(cpu_count()) as pool:  # most of the work releases the GIL
        for start in range(0, len(rows), BLOCK):
            yield from pool.map(answer, rows[start : start + BLOCK].tolist())
