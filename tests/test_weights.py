"""The weights of the score: what a request may say, and what training finds."""

import numpy as np
import pytest

from recommender.core.weights import resolve
from recommender.errors import RequestError
from training.tuning.held_out import HeldOutTerms
from training.tuning.weights import (
    HALF_RANK,
    MAX_TARGETS,
    default_weights,
    random_search,
    soft_recall,
    soft_recalls,
    tune_weights,
)

LEARNED = {"image": 0.5, "text": 0.3, "category": 0.2, "cooccurrence": 0.4, "prior": 0.1}


def test_unnamed_weights_stay_learned_and_blocks_sum_to_one() -> None:
    weights = resolve(LEARNED, {"image": 1.0})
    assert weights["text"] / weights["category"] == pytest.approx(1.5)
    assert weights["image"] + weights["text"] + weights["category"] == pytest.approx(1.0)
    assert weights["cooccurrence"] == 0.4


def test_no_override_changes_nothing() -> None:
    assert resolve(LEARNED, None) == resolve(LEARNED, {}) == LEARNED


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"imgae": 1.0}, "did you mean 'image'"),
        ({"behaviour": 1.0}, "this bundle has no behaviour"),
        ({"image": -1.0}, "expected a number of at least 0"),
        ({"image": float("nan")}, "expected a number"),
        ({"image": "1"}, "expected a number"),
        (dict.fromkeys(LEARNED, 0.0), "all 0"),
    ],
)
def test_invalid_weights_are_named(override: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        resolve(LEARNED, override)


def named(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return features, shape (b, c, 4), by the names of the terms."""
    return dict(zip(("image", "text", "cooccurrence", "prior"), np.moveaxis(features, 2, 0), strict=True))


def test_the_informative_term_gets_the_weight() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 80, 4)).astype(np.float32) * 0.3
    decided = features[:, :, 0] + 0.5 * features[:, :, 1] + generator.gumbel(size=(200, 80)) * 0.1
    targets = decided == decided.max(axis=1, keepdims=True)
    tuned = tune_weights(
        HeldOutTerms(
            np.arange(80, dtype=np.int32),
            named(features),
            np.ones((200, 80), bool),
            np.ones(80, np.float32),
            targets,
        ),
        seed=0,
    )
    assert tuned.weights["image"] > 1.5 * tuned.weights["text"] > 0.3
    assert tuned.weights["prior"] < 0.1
    assert tuned.weights["image"] + tuned.weights["text"] == pytest.approx(1.0)


def test_excluded_candidates_do_not_count() -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(100, 50, 4)).astype(np.float32) * 0.3
    targets = features[:, :, 0] == features[:, 1:, 0].max(axis=1, keepdims=True)
    eligible = np.ones((100, 50), bool)
    eligible[:, 0] = False
    features[:, 0, 0] = 9.0  # the history itself: nearest of all, and never to be answered
    tuned = tune_weights(
        HeldOutTerms(
            np.arange(50, dtype=np.int32),
            named(features),
            eligible,
            np.ones(50, np.float32),
            targets,
        ),
        seed=0,
    )
    assert tuned.weights["image"] > 0.8


def chance(queries: int, seed: int) -> HeldOutTerms:
    """Targets that no term predicts."""
    generator = np.random.default_rng(seed)
    targets = np.zeros((queries, 60), bool)
    targets[np.arange(queries), generator.integers(0, 60, queries)] = True
    features = generator.normal(size=(queries, 60, 4)).astype(np.float32)
    rows, multiplicity = np.arange(60, dtype=np.int32), np.ones(60, np.float32)
    return HeldOutTerms(rows, named(features), np.ones((queries, 60), bool), multiplicity, targets)


def test_insignificant_gains_leave_the_default_weights() -> None:
    kept = 0
    for seed in range(6):
        held_out = chance(80, seed)
        default = default_weights(held_out.terms, events=True)
        tuned = tune_weights(held_out, seed=0, errors=2.0)
        kept += tuned.weights == default
        found = random_search(held_out, seed=0)
        by_default = soft_recalls(held_out, np.array([[*default.values()]]))
        assert soft_recalls(held_out, found[None]).mean() > by_default.mean(), "others overfit these"
    assert kept >= 5


def scores_of(held_out: HeldOutTerms, query: int, weights: np.ndarray) -> np.ndarray:
    """Return the scores of one query under one weighting in float64, shape (c,)."""
    return sum(
        weight * values[query].astype(float)
        for weight, values in zip(weights, held_out.terms.values(), strict=True)
    )


@pytest.mark.parametrize("compiled", [True, False])
def test_soft_recalls_are_those_of_ranks_by_definition(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled:
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr("training.tuning.weights.kernels", lambda: None)
    generator = np.random.default_rng(3)
    b, c = 30, 700
    terms = named(generator.integers(-3, 4, (b, c, 4)).astype(np.float32))  # integers: exact, and many ties
    eligible, targets = generator.random((b, c)) < 0.9, generator.random((b, c)) < 0.01
    targets[:, 5] = eligible[:, 5] = True
    multiplicity = np.where(generator.random(c) < 0.3, 1.0, 2.5).astype(np.float32)
    held_out = HeldOutTerms(np.arange(c, dtype=np.int32), terms, eligible, multiplicity, targets)
    weights = generator.integers(0, 4, (9, 4)).astype(float)
    found = soft_recalls(held_out, weights)
    for query, weighting in np.ndindex(b, len(weights)):
        scores = scores_of(held_out, query, weights[weighting])
        ranked = np.flatnonzero(targets[query] & eligible[query])
        ranked = ranked[:: -(-len(ranked) // MAX_TARGETS)]
        difference = np.where(eligible[query], scores[:, None].T - scores[ranked, None], -np.inf)
        ranks = ((difference > 0) + 0.5 * (difference == 0)) @ multiplicity - multiplicity[ranked] / 2
        assert found[query, weighting] == pytest.approx((1 / (1 + ranks / HALF_RANK)).mean(), abs=1e-6)


def test_the_soft_recall_of_one_list_is_that_of_many() -> None:
    generator = np.random.default_rng(5)
    for _ in range(50):
        scores = generator.integers(0, 9, 40).astype(np.float32)
        scores[generator.random(40) < 0.2] = -np.inf
        targets = np.flatnonzero(np.isfinite(scores))[:MAX_TARGETS]
        is_target = np.isin(np.arange(40), targets)[None]
        terms = {"behaviour": np.where(np.isfinite(scores), scores, 0.0)[None].astype(np.float32)}
        every = HeldOutTerms(
            np.arange(40, dtype=np.int32), terms, np.isfinite(scores)[None], np.ones(40, np.float32), is_target
        )
        assert soft_recall(scores, targets) == pytest.approx(soft_recalls(every, np.ones((1, 1)))[0, 0])
