"""From what a caller says (ids, a history, exclusions) to a question for the search."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, TypedDict

import numpy as np

from recommender.core.blocks import Rows
from recommender.core.segment import Segment
from recommender.errors import RequestError, UnknownItemError
from recommender.events import History, as_events, as_steps
from recommender.filters import Node
from recommender.items import Attributes
from recommender.retrieval.planner import RowQuery
from recommender.towers.user import UserTower, item_query, weighted_query

Filter = str | Mapping[str, Any] | Node


class Options(TypedDict, total=False):
    """What every question may say.

    Parameters
    ----------
    filter
        `price < 50 AND brand: ANY("Acme")`, or the tree form; only products that meet it are answered.
    weights
        Term name to weight; terms left out keep their learned share.
    exclude
        Ids that may not appear.
    explain
        Whether each product carries the parts of its score and reasons.
    variants
        'collapse' answers the best variant of a product only, 'all' every one.
    plan
        'auto', 'exact' (all eligible rows) or 'annoy'.
    stock
        'available' leaves out what is known to be out of stock, unless the filter asks for `availability`; 'all'
        answers the whole range.
    boost
        Each adds to the score of the products that meet a filter: ``{"when": filter, "add": 0.05}``.
    diversity
        Re-rankers and their settings: ``{"mmr": 0.3, "max_per": {"brand": 3}}``. The
        answer is then in their order, not in that of the score.
    pin
        Place from 1 to the id of the product that has it, if it may be answered at all.
    """

    filter: Filter | None
    weights: Mapping[str, float] | None
    exclude: Iterable[str]
    explain: bool
    variants: Literal["collapse", "all"]
    plan: Literal["auto", "exact", "annoy"]
    stock: Literal["available", "all"]
    boost: Sequence["Boost"]
    diversity: Mapping[str, Any]
    pin: Mapping[int, str]


class Boost(TypedDict):
    """What is added to the score of the products that meet a filter."""

    when: Filter
    add: float


@dataclass(frozen=True)
class Questions:
    """Makes questions over one bundle.

    Parameters
    ----------
    attributes
        Knows ids and rows.
    segment
        The products.
    users
        The user tower.
    """

    attributes: Attributes
    segment: Segment
    users: UserTower

    def of_item(self, row: int, k: int, options: Options) -> RowQuery:
        """Ask for what is like one product; its variants are excluded."""
        excluded = self.segment.variants(row)
        if options.get("exclude"):
            excluded = np.union1d(excluded, self.excluded(options)).astype(np.int32)
        table_row = None if options.get("weights") else row
        return RowQuery(item_query(self.segment, row), count(k), excluded, table_row)

    def of_history(
        self,
        history: History,
        k: int,
        exclude_history: bool,
        options: Options,
        strengths: Sequence[float] | None = None,
    ) -> tuple[RowQuery, list[str]]:
        """Ask for what suits a history; also return the ids in it that are unknown.

        `strengths` are what each event's weight is multiplied by, length t; with them every block is the seeds'
        weighted sum: a sequence model reads no strengths.
        """
        events = as_events(history)
        rows = [self.attributes.row_of(event.item_id) for event in events]
        unknown = [event.item_id for event, row in zip(events, rows, strict=True) if row < 0]
        steps = as_steps(events, rows)
        gone = {*self.excluded(options).tolist()}
        if exclude_history:
            gone.update(self._with_variants(rows, options))
        query = self.users.query(steps, self.segment)
        if strengths is not None:
            known = [
                (event.timestamp, s) for event, row, s in zip(events, rows, strengths, strict=True) if row >= 0
            ]
            in_order = [strength for _, strength in sorted(known, key=itemgetter(0))]
            attention = query.attention * np.array(in_order, dtype=np.float64)
            query = weighted_query(self.segment, steps.rows, attention / max(np.abs(attention).sum(), 1e-12))
        return RowQuery(query, count(k), _ascending(gone)), unknown

    def excluded(self, options: Options) -> Rows:
        """Return the rows of the ids to leave out, ascending; unknown ids have none."""
        return _ascending({self.attributes.row_of(item_id) for item_id in options.get("exclude", ())})

    def known_row(self, item_id: str) -> int:
        """Return the row of an id; raises `UnknownItemError` if it has none."""
        row = self.attributes.row_of(item_id)
        if row < 0:
            raise UnknownItemError(item_id)
        return row

    def _with_variants(self, rows: Iterable[int], options: Options) -> Iterable[int]:
        """Return rows and, where variants are one product, theirs; a shop without any looks none up."""
        segment = self.segment
        if options.get("variants") == "all" or segment.products == segment.n:
            return rows
        return [variant for row in rows if row >= 0 for variant in segment.variants(row).tolist()]


def _ascending(rows: set[int]) -> Rows:
    """Return rows in order; −1, which is the row of an unknown id, left out."""
    return np.array(sorted(rows - {-1}), dtype=np.int32)


def count(k: int) -> int:
    """Return k, checked; raises `RequestError` if it is no whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise RequestError(f"k is {k!r}; expected a whole number of at least 1", "/limit")
    return int(k)
