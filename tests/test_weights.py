"""The weights of the score: what a request may say, and what training finds."""

import numpy as np
import pytest

from recommender.core.weights import resolve
from recommender.errors import RequestError
from training.tuning.held_out import HeldOutTerms
from training.tuning.weights import default_weights, random_search, soft_recalls, tune_weights

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


def test_the_informative_term_gets_the_weight() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 80, 4)).astype(np.float32) * 0.3
    decided = features[:, :, 0] + 0.5 * features[:, :, 1] + generator.gumbel(size=(200, 80)) * 0.1
    targets = decided == decided.max(axis=1, keepdims=True)
    tuned = tune_weights(
        HeldOutTerms(
            np.arange(80, dtype=np.int32),
            features,
            np.ones((200, 80), bool),
            np.ones(80, np.float32),
            targets,
            ("image", "text", "cooccurrence", "prior"),
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
            features,
            eligible,
            np.ones(50, np.float32),
            targets,
            ("image", "text", "cooccurrence", "prior"),
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
    terms = ("image", "text", "cooccurrence", "prior")
    rows, multiplicity = np.arange(60, dtype=np.int32), np.ones(60, np.float32)
    return HeldOutTerms(rows, features, np.ones((queries, 60), bool), multiplicity, targets, terms)


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
