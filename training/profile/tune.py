"""Tunes the profile term on held-out interactions: whether and how much users' attributes count in the score."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from recommender.core.blocks import NO_ROWS, Double, Float
from recommender.core.segment import Segment
from recommender.events import Steps
from recommender.progress import notice
from recommender.towers.profile import ProfileTower
from training.profile.fit import ProfileFit, ProfileShape
from training.profile.values import contexts_of
from training.tuning.held_out import HeldOutCase, HeldOutTerms, held_out_terms, sample, user_queries
from training.tuning.search import Hyperparameters, TuningData
from training.tuning.weights import MIN_CASES, best_by_standard_error, soft_recalls

MAX_CASES = 1_000
# Options: see `ProfileShape`; and the weight, as a share of the standard deviation of the other terms' sum.
RIDGES = (3.0, 0.3, 30.0)
EVENTS = (float("inf"), 10.0, 3.0, 1.0)
WEIGHTS = (0.06, 0.12, 0.25, 0.5, 1.0, 2.0)
ERRORS = 2.0  # standard errors by which the profile must be better than none: many options are compared
Known = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]  # attributes and context
NO_STEPS = Steps(NO_ROWS, [], np.empty(0), np.empty(0))


def tune_profile(
    data: TuningData, present: Hyperparameters, cases: Sequence[HeldOutCase], seed: int
) -> Hyperparameters:
    """Add the profile term where held-out interactions are clearly better predicted with it than without.

    Every case counts twice, with its history and without, as if the user were new; with it, the term may not lose.
    """
    if data.earlier.users is None and not data.earlier.context:
        return present
    tuned = _tuned(data, present, cases, seed) if len(cases) >= MIN_CASES else present
    if tuned.profile is None:
        notice(f"attributes and context of users are not used: {len(cases)} held-out users show no gain by them")
    return tuned


def _tuned(data: TuningData, present: Hyperparameters, cases: Sequence[HeldOutCase], seed: int) -> Hyperparameters:
    fitted = ProfileFit.of(data.segment, data.earlier)
    shapes = [ProfileShape(*options) for options in product(RIDGES, EVENTS)]
    towers = {shape: tower for shape in shapes if (tower := fitted.tower(shape)) is not None}
    if not towers:
        return present
    cases = sample([*cases], MAX_CASES, seed)
    cases += [replace(case, steps=NO_STEPS) for case in cases]
    known = _known_of(data, cases)
    base = _base(data, present, cases, seed)
    weights = np.array(WEIGHTS) * float(base.terms["score"].std(axis=1).mean())
    scores = [soft_recalls(base, np.array([[1.0, 0.0]]))[:, 0]]
    for tower in towers.values():
        values = _profile_term(tower, data.segment, base, known, cases)
        scores += [*_scores(base.with_term("profile", values), weights)]
    options = [*product(towers, weights.tolist())]
    best = best_by_standard_error(_without_losses(np.array(scores)), ERRORS)
    return present if best == 0 else present.with_profile(*options[best - 1])


def _known_of(data: TuningData, cases: Sequence[HeldOutCase]) -> list[Known]:
    """Return the attributes of each case's user, and the context of the first choice to be predicted."""
    users = data.earlier.users
    attributes = [None] * len(cases) if users is None else users.attributes_of(case.user_id for case in cases)
    positive = data.later.event_weights() > 0
    contexts, later = contexts_of(data.later)[positive], data.later.frame[positive]
    if not len(contexts.columns):
        return [(user, None) for user in attributes]
    records: Any = contexts.to_dict("records")
    times = later["timestamp"].to_numpy()
    starts = dict(zip(*np.unique(later["user_id"].to_numpy(object), return_index=True), strict=True))
    firsts = []
    for case in cases:  # events are in order of user and time, and each case has a later one
        position = starts[case.user_id]
        while case.as_of is not None and times[position] < np.datetime64(case.as_of):
            position += 1
        firsts.append(records[position])
    return [*zip(attributes, firsts, strict=True)]


def _base(data: TuningData, present: Hyperparameters, cases: list[HeldOutCase], seed: int) -> HeldOutTerms:
    """Return two terms of each case: the score without a profile, and the profile, still 0."""
    segment = data.segment_with(present.prior, present.mixture)
    terms = held_out_terms(segment, user_queries(segment, present.user_tower, cases), cases, seed)
    priors = data.priors(present.prior, cases)
    terms = terms.with_term("prior", np.stack([priors[case.as_of][terms.rows] for case in cases]))
    weights = present.weights["user"].weights
    score = np.zeros(terms.targets.shape, dtype=np.float32)
    for term, values in terms.terms.items():
        score += np.float32(weights[term]) * values
    return replace(terms, terms={"score": score, "profile": np.zeros_like(score)})


def _profile_term(
    tower: ProfileTower,
    segment: Segment,
    base: HeldOutTerms,
    known: Sequence[Known],
    cases: Sequence[HeldOutCase],
) -> Float:
    """Return the unweighted term of each case and candidate, shape (b, c)."""
    profiles = np.zeros((len(cases), segment.layout.d), dtype=np.float32)
    for line, (user, context), case in zip(profiles, known, cases, strict=True):
        profile = tower.vector(user, context, len(case.steps.rows))
        line[:] = 0.0 if profile is None else profile
    term: Float = profiles @ segment.vectors[base.rows].T
    return term


def _scores(terms: HeldOutTerms, weights: Double) -> Double:
    """Return the soft recall under each weight of the profile, shape (w, b)."""
    return soft_recalls(terms, np.stack([np.ones(len(weights)), weights], axis=1)).T


def _without_losses(scores: Double) -> Double:
    """Return the scores, those of options that lose on cases with a history set to −1, shape (s, b)."""
    known = scores[:, : scores.shape[1] // 2].mean(axis=1)
    return np.where((known < known[0])[:, None], -1.0, scores)
