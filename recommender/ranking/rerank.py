"""Re-ranking: diversity, and items that are pinned to a position."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.core.blocks import Rows
from recommender.core.scoring import Scorer
from recommender.items import Attributes
from recommender.ranking.request import Fill
from recommender.ranking.rerankers import Pool, Reranker
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import RowQuery, RowResult
from recommender.retrieval.selection import Selection, ranked

# A re-ranker gets so many times k items at first, and so many times more where fewer than k satisfy it.
POOL_FACTOR, MIN_POOL, POOL_GROWTH = 5, 50, 4
# It gets no more items than so many, or POOL_FACTOR times k: caps that nothing satisfies would cost a sort of all.
MAX_POOL = 2_000
Search = Callable[[RowQuery], RowResult]


@dataclass(frozen=True)
class Ranked:
    """The rows of a result, and what rules made of it.

    Parameters
    ----------
    pinned
        Rows that are pinned.
    relaxed
        Whether caps were relaxed to fill it.
    new
        Rows that take the places of the floor of new products.
    explored
        Rows that were drawn at random.
    propensities
        Probability with which each position shows its row; None where nothing is explored.
    warnings
        What a rule could not do.
    """

    result: RowResult
    pinned: frozenset[int] = frozenset()
    relaxed: bool = False
    new: frozenset[int] = frozenset()
    explored: frozenset[int] = frozenset()
    propensities: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()


def rerank(
    search: Search,
    scorer: Scorer,
    row_query: RowQuery,
    eligibility: Eligibility,
    rerankers: Sequence[Reranker],
    pins: Mapping[int, int],
    attributes: Attributes,
) -> Ranked:
    """Return the result of a query in the order of the re-rankers, with pinned items at their positions.

    Parameters
    ----------
    search
        Returns rows in order of score.
    rerankers
        Applied one after the other.
    pins
        Position from 1 to the row that is shown there; rows that are not eligible are left out.
    """
    pins = eligible_pins(pins, row_query, eligibility)
    free = max(row_query.k - len(pins), 1)
    rest = replace(row_query, k=free, excluded=_without_pins(row_query.excluded, pins, eligibility))
    result, relaxed = _diversified(search, rest, rerankers, scorer, attributes)
    if not pins:
        return Ranked(result, relaxed=relaxed)
    rows = np.array(sorted(pins.values()), dtype=np.int32)
    pinned = ranked(scorer, row_query.query, rows, len(rows))
    selection = _inserted(result.selection, pinned, pins, row_query.k)
    result = replace(result, selection=selection, eligible=result.eligible + len(pins))
    return Ranked(result, frozenset(pins.values()), relaxed)


def free_positions(fill: Fill, pins: Mapping[int, int], k: int) -> list[int]:
    """Return the positions that a fill has and no pin has."""
    positions = range(fill.position, min(fill.position + fill.count - 1, k) + 1)
    return [position for position in positions if position not in pins]


def filled(
    fill: Fill,
    candidates: Callable[[RowQuery], Rows],
    pins: Mapping[int, int],
    row_query: RowQuery,
    matching: Eligibility,
) -> dict[int, int]:
    """Return pins together with those of products that fill positions; variants of one product fill one.

    Parameters
    ----------
    fill
        Which positions.
    candidates
        Returns rows to take in order, for a query that excludes the pins.
    pins
        Position from 1 to row.
    matching
        What is eligible and matches the fill.
    """
    free = free_positions(fill, pins, row_query.k)
    result = dict(pins)
    excluded = set(_without_pins(row_query.excluded, pins, matching).tolist())
    rest = replace(row_query, k=len(free), excluded=np.array(sorted(excluded), np.int32))
    for row in candidates(rest).tolist():
        if not free:
            break
        if row not in excluded and matching.allows(row):
            result[free.pop(0)] = row
            excluded.update(matching.segment.variants(row).tolist() if matching.collapse else [row])
    return result


def _diversified(
    search: Search, row_query: RowQuery, rerankers: Sequence[Reranker], scorer: Scorer, attributes: Attributes
) -> tuple[RowResult, bool]:
    if not rerankers:
        return search(row_query), False
    size = max(POOL_FACTOR * row_query.k, MIN_POOL)
    largest = max(size, MAX_POOL)
    while True:
        result = search(replace(row_query, k=size))
        best = result.selection
        positions, satisfied = list(range(len(best.rows))), len(best.rows)
        pool = Pool(best.rows, best.scores, scorer.vectors[best.rows], _values(attributes, best.rows))
        for reranker in rerankers:
            order = reranker.order(pool.take(positions), row_query.k)
            positions = [positions[position] for position in order.positions]
            satisfied = min(satisfied, order.satisfied)
        if satisfied >= row_query.k or len(best.rows) < size or size == largest:
            break
        size = min(size * POOL_GROWTH, largest)
    shown = _at(best, positions[: row_query.k])
    return replace(result, selection=shown), satisfied < len(shown.rows)


def _values(attributes: Attributes, rows: Rows) -> Callable[[str], list[object]]:
    def values(name: str) -> list[object]:
        column = attributes.column(name, f"/diversity/max_per/{name}")
        return [column.value(row) for row in rows.tolist()]

    return values


def eligible_pins(pins: Mapping[int, int], row_query: RowQuery, eligibility: Eligibility) -> dict[int, int]:
    """Return the pins that are eligible: a pin does not bypass a filter."""
    excluded = set(row_query.excluded.tolist())
    within = {position: row for position, row in sorted(pins.items()) if position <= row_query.k}
    return {pos: row for pos, row in within.items() if row not in excluded and eligibility.allows(row)}


def _without_pins(excluded: Rows, pins: Mapping[int, int], eligibility: Eligibility) -> Rows:
    """Return the rows excluded beside the pins: the pinned rows too, and their variants."""
    if not pins:
        return excluded
    segment, rows = eligibility.segment, [*pins.values()]
    variants = np.concatenate([segment.variants(row) for row in rows]) if eligibility.collapse else rows
    return np.union1d(excluded, variants).astype(np.int32)


def _inserted(best: Selection, pinned: Selection, pins: Mapping[int, int], k: int) -> Selection:
    position_of = {row: position for position, row in enumerate(pinned.rows.tolist(), start=len(best.rows))}
    both = Selection(*(np.concatenate(pair) for pair in zip(_parts(best), _parts(pinned), strict=True)))
    others = iter(range(len(best.rows)))
    positions: list[int] = []
    for rank in range(1, k + 1):
        position = position_of[pins[rank]] if rank in pins else next(others, None)
        if position is not None:
            positions.append(position)
    return _at(both, positions)


def _parts(selection: Selection) -> tuple[np.ndarray, ...]:
    return selection.rows, selection.scores


def _at(selection: Selection, positions: Sequence[int]) -> Selection:
    return Selection(*(part[list(positions)] for part in _parts(selection)))
