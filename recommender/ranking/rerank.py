"""From the best rows to the list that is shown: diversity, and products that have a fixed place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recommender.core.blocks import Rows
from recommender.core.scoring import Scorer
from recommender.items import Attributes
from recommender.ranking.rerankers import Pool, Reranker
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import RowQuery, RowResult
from recommender.retrieval.selection import Selection, ranked

# A re-ranker is offered so many times k products at first, and so many times more where it cannot keep k.
POOL, MIN_POOL, WIDER = 5, 50, 4
Ask = Callable[[RowQuery], RowResult]


@dataclass(frozen=True)
class Arrangement:
    """How the best are arranged.

    Parameters
    ----------
    rerankers
        Applied one after the other.
    pins
        Place from 1 to the row that has it.
    """

    rerankers: Sequence[Reranker] = ()
    pins: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Arranged:
    """A list to show, the rows in it that have a fixed place, and whether caps had to give way to fill it."""

    found: RowResult
    pinned: frozenset[int] = frozenset()
    relaxed: bool = False


def arrange(
    ask: Ask,
    scorer: Scorer,
    question: RowQuery,
    rules: Eligibility,
    arrangement: Arrangement,
    attributes: Attributes,
) -> Arranged:
    """Answer a question, arranged.

    Parameters
    ----------
    ask
        Answers a question in order of score.
    """
    pins = _allowed(arrangement.pins, question, rules)
    free = max(question.k - len(pins), 1)
    rest = replace(question, k=free, excluded=_without(question.excluded, pins, rules))
    found, relaxed = _reranked(ask, rest, arrangement.rerankers, scorer, attributes)
    if not pins:
        return Arranged(found, relaxed=relaxed)
    rows = np.array(sorted(pins.values()), dtype=np.int32)
    fixed = ranked(scorer, question.query, rows, len(rows))
    shown = _inserted(found.selection, fixed, pins, question.k)
    return Arranged(
        replace(found, selection=shown, eligible=found.eligible + len(pins)), frozenset(pins.values()), relaxed
    )


def _reranked(
    ask: Ask, question: RowQuery, rerankers: Sequence[Reranker], scorer: Scorer, attributes: Attributes
) -> tuple[RowResult, bool]:
    if not rerankers:
        return ask(question), False
    size = max(POOL * question.k, MIN_POOL)
    while True:
        found = ask(replace(question, k=size))
        best = found.selection
        positions, kept = list(range(len(best.rows))), len(best.rows)
        pool = Pool(best.rows, best.scores, scorer.vectors[best.rows], _values(attributes, best.rows))
        for reranker in rerankers:
            order = reranker.order(pool.take(positions), question.k)
            positions, kept = [positions[place] for place in order.positions], min(kept, order.kept)
        if kept >= question.k or len(best.rows) < size:
            break
        size *= WIDER
    shown = _at(best, positions[: question.k])
    return replace(found, selection=shown), kept < len(shown.rows)


def _values(attributes: Attributes, rows: Rows) -> Callable[[str], list[object]]:
    def values(name: str) -> list[object]:
        column = attributes.column(name, f"/diversity/max_per/{name}")
        return [column.value(row) for row in rows.tolist()]

    return values


def _allowed(pins: Mapping[int, int], question: RowQuery, rules: Eligibility) -> dict[int, int]:
    """Return the pins that may be answered: a fixed place is no way round a filter."""
    excluded = set(question.excluded.tolist())
    within = {place: row for place, row in sorted(pins.items()) if place <= question.k and row not in excluded}
    return {place: row for place, row in within.items() if rules.allows(row)}


def _without(excluded: Rows, pins: Mapping[int, int], rules: Eligibility) -> Rows:
    """Return the rows that may not be answered beside the pins: they themselves and their variants."""
    for row in pins.values():
        gone = rules.segment.variants(row) if rules.collapse else [row]
        excluded = np.union1d(excluded, gone).astype(np.int32)
    return excluded


def _inserted(best: Selection, fixed: Selection, pins: Mapping[int, int], k: int) -> Selection:
    place_of = {row: place for place, row in enumerate(fixed.rows.tolist(), start=len(best.rows))}
    both = Selection(*(np.concatenate(pair) for pair in zip(_parts(best), _parts(fixed), strict=True)))
    others = iter(range(len(best.rows)))
    positions: list[int] = []
    for place in range(1, k + 1):
        position = place_of[pins[place]] if place in pins else next(others, None)
        if position is not None:
            positions.append(position)
    return _at(both, positions)


def _parts(selection: Selection) -> tuple[np.ndarray, ...]:
    return selection.rows, selection.scores


def _at(selection: Selection, positions: Sequence[int]) -> Selection:
    places = list(positions)
    return Selection(*(part[places] for part in _parts(selection)))
