"""What later happened: for each query, the products that were really chosen, and the features of all others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd

from recommender.catalog import Interactions
from recommender.core.blocks import Double, Float, Mask, Rows
from recommender.core.scoring import Query
from recommender.core.segment import Segment
from recommender.events import Steps
from recommender.towers.user import UserTower, item_query
from training.cooccurrence.pairs import Pairs

# Users' choices are many and each says little: fewer, and what is found depends on which were drawn.
USER_QUERIES, ITEM_QUERIES = 2_000, 600
# Candidates times queries: what is ranked in seconds; but never fewer candidates than these.
CELLS, LEAST_CANDIDATES = 2_500_000, 4_000
# The later part is foretold from so many moments in turn, each time from all that was known by then.
MOMENTS = 3


@dataclass(frozen=True)
class Case:
    """One query of the earlier part and what the later part answered.

    Parameters
    ----------
    steps
        The user's history; or one product, for the similar-items question.
    chosen
        Rows chosen later, not in the history, ascending.
    struck
        Rows that could not be answered, ascending.
    moment
        When it was asked: all before is known. None: the whole earlier part.
    """

    steps: Steps
    chosen: Rows
    struck: Rows
    moment: datetime | None = None


@dataclass(frozen=True)
class Choices:
    """The terms of the score for every query and candidate: what weights are learned on.

    Parameters
    ----------
    rows
        The candidates, ascending, shape (c,).
    features
        Unweighted terms, shape (b, c, P).
    allowed
        Candidates that could be answered, shape (b, c).
    stands_for
        How many products each candidate stands for: more than 1 where a large shop's were sampled, shape (c,).
    chosen
        Candidates that were, shape (b, c).
    terms
        Names of the P features.
    """

    rows: Rows
    features: Float
    allowed: Mask
    stands_for: Float
    chosen: Mask
    terms: tuple[str, ...]

    def of(self, queries: Mask) -> "Choices":
        """Return the choices of some of the queries, shape (b,)."""
        return replace(
            self, features=self.features[queries], allowed=self.allowed[queries], chosen=self.chosen[queries]
        )

    def with_term(self, term: str, values: Float) -> "Choices":
        """Return the same choices with other values of one term, shape (b, c) or (c,)."""
        features = self.features.copy()
        features[:, :, self.terms.index(term)] = values
        return replace(self, features=features)


def user_cases(earlier: Interactions, later: Interactions, seed: int) -> list[Case]:
    """Return a sample of the users who chose something before and something new after.

    The later part is cut into spans of as many events, and each is foretold from all events before it.
    """
    if not len(later):
        return []
    times = np.sort(later.frame["timestamp"].to_numpy())
    starts = np.unique(times[len(times) * np.arange(MOMENTS) // MOMENTS])
    moments = [pd.Timestamp(start).to_pydatetime() for start in starts]
    cases = []
    for start, end in zip(moments, [*moments[1:], None], strict=True):
        span = later.since(start)
        cases += _foretold(earlier.joined(later.before(start)), span if end is None else span.before(end), start)
    return sample(cases, USER_QUERIES, seed)


def _foretold(earlier: Interactions, later: Interactions, moment: datetime) -> list[Case]:
    chosen = {user: rows for user, rows in _positive(later).items() if len(rows)}
    cases = []
    for user, frame in earlier.histories():
        if user not in chosen:
            continue
        steps = steps_of(frame)
        known = np.unique(steps.rows)
        new = np.setdiff1d(chosen[user], known)
        if len(new):
            cases.append(Case(steps, new, known, moment))
    return cases


def item_cases(segment: Segment, later: Pairs) -> list[Case]:
    """Return products and what was chosen close to them by the same users."""
    if not len(later):
        return []
    first = np.concatenate([later.first, later.second])
    second = np.concatenate([later.second, later.first])
    order = np.argsort(first, kind="stable")
    first, second = first[order], second[order]
    rows, starts = np.unique(first, return_index=True)
    cases = []
    for row, chosen in zip(rows, np.split(second, starts[1:]), strict=True):
        own = np.sort(segment.variants(int(row)))
        others = np.setdiff1d(chosen, own)
        if len(others):
            steps = Steps(np.array([row], np.int32), ["view_item"], np.zeros(1), np.full(1, np.nan))
            cases.append(Case(steps, others, own))
    return cases


def choices(segment: Segment, queries: Sequence[Query], cases: Sequence[Case], seed: int) -> Choices:
    """Compute every term of the score for every query over all products, or a sample of a large shop's."""
    rows = np.arange(segment.n, dtype=np.int32)
    stands_for = np.ones(segment.n, dtype=np.float32)
    kept = max(CELLS // len(cases), LEAST_CANDIDATES)
    if segment.n > kept:
        drawn = np.random.default_rng(seed).choice(rows, kept, replace=False)
        chosen = np.unique(np.concatenate([case.chosen for case in cases]))
        rows = np.union1d(drawn, chosen).astype(np.int32)
        stands_for = np.where(np.isin(rows, chosen), 1.0, segment.n / kept).astype(np.float32)
    return Choices(
        rows=rows,
        features=_features(segment, queries, rows),
        allowed=~np.stack([np.isin(rows, case.struck) for case in cases]),
        stands_for=stands_for,
        chosen=np.stack([np.isin(rows, case.chosen) for case in cases]),
        terms=(*segment.layout.names, "cooccurrence", "prior"),
    )


def user_queries(segment: Segment, tower: UserTower, cases: Sequence[Case]) -> list[Query]:
    """Return the user tower's query of each case."""
    return [tower.query(case.steps, segment) for case in cases]


def item_queries(segment: Segment, cases: Sequence[Case]) -> list[Query]:
    """Return the query of each case's one product."""
    return [item_query(segment, int(case.steps.rows[0])) for case in cases]


def steps_of(frame: "object") -> Steps:
    """Read one user's slice of an interactions frame."""
    return Steps(
        rows=frame["row"].to_numpy(dtype=np.int32),  # type: ignore[index]
        names=frame["event_name"].tolist(),  # type: ignore[index]
        times=frame["timestamp"].to_numpy().astype("datetime64[s]").astype(np.float64),  # type: ignore[index]
        values=frame["value"].to_numpy(dtype=np.float64),  # type: ignore[index]
    )


def _features(segment: Segment, queries: Sequence[Query], rows: Rows) -> Float:
    vectors, asked = segment.vectors[rows], np.stack([query.vector for query in queries])
    blocks = [asked[:, place] @ vectors[:, place].T for place in segment.layout.slices.values()]
    prior = np.broadcast_to(segment.prior[rows], (len(queries), len(rows)))
    together = together_term([(query.together_rows, query.together) for query in queries], rows, segment.n)
    return np.stack([*blocks, together, prior], axis=2).astype(np.float32, copy=False)


def together_term(sums: Sequence[tuple[Rows, Double]], rows: Rows, n: int) -> Float:
    """Look candidates up in sparse vectors, see `Cooccurrence.combine`, shape (b, c)."""
    found = np.empty((len(sums), len(rows)), dtype=np.float32)
    for line, (columns, values) in zip(found, sums, strict=True):
        dense = np.zeros(n, dtype=np.float32)
        dense[columns] = values
        line[:] = dense[rows]
    return found


def _positive(interactions: Interactions) -> dict[str, Rows]:
    frame = interactions.frame[np.asarray(interactions.event_weights()) > 0]
    return {str(user): np.unique(rows) for user, rows in frame.groupby("user_id")["row"]}


def sample(cases: list[Case], most: int, seed: int) -> list[Case]:
    """Return so many of the cases at most, in their order."""
    if len(cases) <= most:
        return cases
    drawn = np.random.default_rng(seed).choice(len(cases), most, replace=False)
    return [cases[i] for i in np.sort(drawn)]
