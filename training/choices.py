"""What later happened: for each query, the products that were really chosen, and the features of all others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.blocks import Float, Mask, Rows
from recommender.catalog import Interactions
from recommender.history import Steps
from recommender.scoring import Query, Scorer
from recommender.segment import Segment
from recommender.towers.user import UserTower, item_query
from training.pairs import Pairs

QUERIES = 400
# Candidates times queries: what fits in memory and is ranked in seconds.
CELLS = 4_000_000
LEAST_CANDIDATES = 2_000


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
    """

    steps: Steps
    chosen: Rows
    struck: Rows


@dataclass(frozen=True)
class Choices:
    """The terms of the score for every query and candidate: what weights are learned on.

    Parameters
    ----------
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

    features: Float
    allowed: Mask
    stands_for: Float
    chosen: Mask
    terms: tuple[str, ...]


def user_cases(earlier: Interactions, later: Interactions, seed: int) -> list[Case]:
    """Return a sample of the users who chose something before and something new after."""
    chosen = {user: rows for user, rows in _positive(later).items() if len(rows)}
    cases = []
    for user, frame in earlier.histories():
        if user not in chosen:
            continue
        steps = steps_of(frame)
        known = np.unique(steps.rows)
        new = np.setdiff1d(chosen[user], known)
        if len(new):
            cases.append(Case(steps, new, known))
    return _sample(cases, seed)


def item_cases(segment: Segment, later: Pairs, seed: int) -> list[Case]:
    """Return a sample of products and what was chosen close to them by the same users."""
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
    return _sample(cases, seed)


def choices(segment: Segment, queries: Sequence[Query], cases: Sequence[Case], seed: int) -> Choices:
    """Compute every term of the score for every query over all products, or a sample of a large shop's."""
    rows = np.arange(segment.n, dtype=np.int32)
    stands_for = np.ones(segment.n, dtype=np.float32)
    kept = max(CELLS // max(len(queries), 1), LEAST_CANDIDATES)
    if segment.n > kept:
        drawn = np.random.default_rng(seed).choice(rows, kept, replace=False)
        chosen = np.unique(np.concatenate([case.chosen for case in cases]))
        rows = np.union1d(drawn, chosen).astype(np.int32)
        stands_for = np.where(np.isin(rows, chosen), 1.0, segment.n / kept).astype(np.float32)
    return Choices(
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
    terms = (*segment.layout.names, "cooccurrence", "prior")
    features = np.empty((len(queries), len(rows), len(terms)), dtype=np.float32)
    for place, term in enumerate(terms):
        only = {name: float(name == term) for name in terms}
        scorer = Scorer(segment.vectors, segment.prior, segment.layout, only)
        features[:, :, place] = scorer.estimate(list(queries), rows)
    return features


def _positive(interactions: Interactions) -> dict[str, Rows]:
    frame = interactions.frame[np.asarray(interactions.event_weights()) > 0]
    return {str(user): np.unique(rows) for user, rows in frame.groupby("user_id")["row"]}


def _sample(cases: list[Case], seed: int) -> list[Case]:
    if len(cases) <= QUERIES:
        return cases
    drawn = np.random.default_rng(seed).choice(len(cases), QUERIES, replace=False)
    return [cases[i] for i in np.sort(drawn)]
