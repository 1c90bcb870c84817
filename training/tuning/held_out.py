"""Held-out interactions as ranking problems: histories, target products, and the terms of every score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import numpy as np
import pandas as pd

from recommender.catalog import Interactions
from recommender.core.blocks import NO_ROWS, Double, Float, Mask, Rows
from recommender.core.scoring import Query
from recommender.core.segment import Segment
from recommender.events import Steps
from recommender.towers.user import UserTower
from training.cooccurrence.pairs import Pairs

# Cases per tuning. Users' targets are many and each carries little information, so that fewer users would make
# the result depend on the sample.
MAX_USER_CASES, MAX_ITEM_CASES = 2_000, 600
# Queries times candidates that are ranked in seconds; and the least number of candidates even so.
MAX_CELLS, MIN_CANDIDATES = 2_500_000, 4_000
# The held-out period is cut into this many spans; each is predicted from all events before it.
SPANS = 3

T = TypeVar("T")


@dataclass(frozen=True)
class HeldOutCase:
    """One query and its targets.

    Parameters
    ----------
    steps
        The user's history; or one product, for the similar-items request.
    targets
        Rows of the held-out interactions that are not in the history, ascending.
    excluded
        Rows that may not be recommended, ascending.
    as_of
        The moment of the query, before which all events are known. None: the end of the training period.
    user_id
        Of the user; "" for a product.
    """

    steps: Steps
    targets: Rows
    excluded: Rows
    as_of: datetime | None = None
    user_id: str = ""


@dataclass(frozen=True)
class HeldOutTerms:
    """The unweighted terms of the score for each of b queries and c candidates: the data of weight tuning.

    Parameters
    ----------
    rows
        The candidates, ascending, shape (c,).
    terms
        Name to the unweighted term, shape (b, c) each.
    eligible
        Candidates that may be recommended, shape (b, c).
    multiplicity
        How many products each candidate represents: more than 1 where a large shop's were sampled, shape (c,).
    targets
        Candidates that are targets, shape (b, c).
    """

    rows: Rows
    terms: Mapping[str, Float]
    eligible: Mask
    multiplicity: Float
    targets: Mask

    def __post_init__(self) -> None:
        if not all(np.isfinite(values).all() for values in self.terms.values()):
            raise FloatingPointError("a term of the score is not a finite number")

    def subset(self, queries: Mask) -> "HeldOutTerms":
        """Return some of the queries, shape (b,)."""
        terms = {name: values[queries] for name, values in self.terms.items()}
        return replace(self, terms=terms, eligible=self.eligible[queries], targets=self.targets[queries])

    def with_term(self, term: str, values: Float) -> "HeldOutTerms":
        """Return the same queries with other values of one term, shape (b, c)."""
        return replace(self, terms={**self.terms, term: values})


def user_cases(
    earlier: Interactions, later: Interactions, seed: int, *, repeats: bool = False
) -> list[HeldOutCase]:
    """Return a sample of the users with a history and a new positive event after it.

    The later part is cut into spans with equal numbers of events; each is predicted from all events before it.
    With `repeats`, products of the history are targets too, and none is excluded.
    """
    if not len(later):
        return []
    times = np.sort(later.frame["timestamp"].to_numpy())
    starts = np.unique(times[len(times) * np.arange(SPANS) // SPANS])
    moments = [pd.Timestamp(start).to_pydatetime() for start in starts]
    spans = [
        _Span.of(earlier, later, start, end, repeats)
        for start, end in zip(moments, [*moments[1:], None], strict=True)
    ]
    drawn = sample([(span, user) for span in spans for user in span.users], MAX_USER_CASES, seed)
    return [span.case(user) for span, user in drawn]


@dataclass(frozen=True, eq=False)
class _Span:
    """A part of the held-out period, predicted from all events before it.

    Parameters
    ----------
    known
        All events before it, in order of users.
    chosen
        Its positive events of new products, or of any with `repeats`, in order of users.
    start
        Its first moment.
    repeats
        See `user_cases`.
    names
        The users, ascending.
    known_users, chosen_users
        Number of each event's user.
    """

    known: pd.DataFrame
    chosen: pd.DataFrame
    start: datetime
    repeats: bool
    names: np.ndarray
    known_users: np.ndarray
    chosen_users: np.ndarray

    @classmethod
    def of(
        cls, earlier: Interactions, later: Interactions, start: datetime, end: datetime | None, repeats: bool
    ) -> "_Span":
        known, events = earlier.joined(later.before(start)).frame, later.since(start)
        events = events if end is None else events.before(end)
        chosen = events.frame[np.asarray(events.event_weights()) > 0]
        users = np.concatenate([each["user_id"].to_numpy(object) for each in (known, chosen)])
        numbers, names = pd.factorize(users, sort=True)
        before, after = np.split(numbers, [len(known)])
        if not repeats and len(chosen):
            width = 1 + max(known["row"].max(), chosen["row"].max())
            new = ~np.isin(after * width + chosen["row"].to_numpy(), before * width + known["row"].to_numpy())
            chosen, after = chosen[new], after[new]
        return cls(known, chosen, start, repeats, names, before, after)

    @property
    def users(self) -> list[int]:
        """Numbers of the users with a history and a target, ascending."""
        numbers: list[int] = np.intersect1d(self.known_users, self.chosen_users).tolist()
        return numbers

    def case(self, user: int) -> HeldOutCase:
        """Return the history and the targets of one user."""
        steps = _steps(self.known.iloc[slice(*np.searchsorted(self.known_users, [user, user + 1]))])
        excluded = NO_ROWS if self.repeats else np.unique(steps.rows)
        chosen = self.chosen.iloc[slice(*np.searchsorted(self.chosen_users, [user, user + 1]))]
        targets = np.unique(chosen["row"].to_numpy(dtype=np.int32))
        return HeldOutCase(steps, targets, excluded, self.start, str(self.names[user]))


def item_cases(segment: Segment, later: Pairs) -> list[HeldOutCase]:
    """Return products, each with the products that the same users chose close to it."""
    if not len(later):
        return []
    first = np.concatenate([later.first, later.second])
    second = np.concatenate([later.second, later.first])
    order = np.argsort(first, kind="stable")
    first, second = first[order], second[order]
    rows, starts = np.unique(first, return_index=True)
    cases = []
    for row, partners in zip(rows, np.split(second, starts[1:]), strict=True):
        variants = np.sort(segment.variants(int(row)))
        targets = np.setdiff1d(partners, variants)
        if len(targets):
            steps = Steps(np.array([row], np.int32), ["view_item"], np.zeros(1), np.full(1, np.nan))
            cases.append(HeldOutCase(steps, targets, variants))
    return cases


def held_out_terms(
    segment: Segment, queries: Sequence[Query], cases: Sequence[HeldOutCase], seed: int
) -> HeldOutTerms:
    """Compute every term of the score for every query, over all products or a sample of a large shop's."""
    rows = np.arange(segment.n, dtype=np.int32)
    multiplicity = np.ones(segment.n, dtype=np.float32)
    size = max(MAX_CELLS // len(cases), MIN_CANDIDATES)
    if segment.n > size:
        sampled = np.random.default_rng(seed).choice(rows, size, replace=False)
        targets = np.unique(np.concatenate([case.targets for case in cases]))
        rows = np.union1d(sampled, targets).astype(np.int32)
        multiplicity = np.where(np.isin(rows, targets), 1.0, segment.n / size).astype(np.float32)
    return HeldOutTerms(
        rows=rows,
        terms=_terms(segment, queries, rows),
        eligible=~np.stack([np.isin(rows, case.excluded) for case in cases]),
        multiplicity=multiplicity,
        targets=np.stack([np.isin(rows, case.targets) for case in cases]),
    )


def user_queries(segment: Segment, tower: UserTower, cases: Sequence[HeldOutCase]) -> list[Query]:
    """Return the user tower's query of each case."""
    return [tower.query(case.steps, segment) for case in cases]


def item_queries(segment: Segment, cases: Sequence[HeldOutCase]) -> list[Query]:
    """Return the query of each case's one product."""
    return [segment.item_query(int(case.steps.rows[0])) for case in cases]


def _steps(frame: pd.DataFrame) -> Steps:
    """Convert one user's slice of an interactions frame to a history."""
    return Steps(
        rows=frame["row"].to_numpy(dtype=np.int32),
        names=frame["event_name"].tolist(),
        times=frame["timestamp"].to_numpy().astype("datetime64[s]").astype(np.float64),
        values=frame["value"].to_numpy(dtype=np.float64),
    )


def _terms(segment: Segment, queries: Sequence[Query], rows: Rows) -> dict[str, Float]:
    sparse = [(query.cooccurrence_rows, query.cooccurrence) for query in queries]
    cooccurrence = cooccurrence_term(sparse, rows, segment.n)
    prior = np.broadcast_to(segment.prior[rows], cooccurrence.shape)
    vectors = np.stack([query.vector for query in queries])
    return {**block_terms(segment, vectors, rows), "cooccurrence": cooccurrence, "prior": prior}


def block_terms(segment: Segment, queries: Float, rows: Rows) -> dict[str, Float]:
    """Return the inner product of each block of b queries and c candidates, by name, shape (b, c) each."""
    vectors = segment.vectors[rows]
    return {name: queries[:, columns] @ vectors[:, columns].T for name, columns in segment.layout.slices.items()}


def cooccurrence_term(sparse: Sequence[tuple[Rows, Double]], rows: Rows, n: int) -> Float:
    """Return the candidates' entries of sparse vectors, see `Cooccurrence.combine`, shape (b, c)."""
    term = np.empty((len(sparse), len(rows)), dtype=np.float32)
    for line, (columns, values) in zip(term, sparse, strict=True):
        dense = np.zeros(n, dtype=np.float32)
        dense[columns] = values
        line[:] = dense[rows]
    return term


def sample(cases: list[T], size: int, seed: int) -> list[T]:
    """Return at most `size` of the cases, in their order."""
    if len(cases) <= size:
        return cases
    sampled = np.random.default_rng(seed).choice(len(cases), size, replace=False)
    return [cases[i] for i in np.sort(sampled)]
