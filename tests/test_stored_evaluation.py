"""Results of an evaluation by query: stored with a generation, without user ids, and paired between two."""

import shutil
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recommender
from recommender.bundle import Staging, open_bundle, prune
from recommender.errors import RequestError
from recommender.evaluation import EvaluationReport, StoredEvaluation, bootstrap, paired
from recommender.evaluation.report import RankerMetrics
from recommender.evaluation.stored import KEY_FILE, PART, evaluation_key

KEY = b"k" * 32


def report(users, values, name="hybrid"):
    """A report of one ranker whose recall is `values`."""
    columns = np.column_stack([values] * 4).astype(float).reshape(len(users), 4)
    ranker = RankerMetrics(name, "recommender", {"all": columns, "cold": columns * np.nan}, 0, 0, 0, 0, 0)
    return EvaluationReport(12, np.array(users, dtype=object), (ranker,), 9, len(users), 0)


recalls = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(recalls)
def test_stored_queries_have_the_means_of_the_report(values):
    users = [f"shopper-{position}" for position in range(len(values))]
    stored = StoredEvaluation.of(report(users, values), KEY)
    assert stored.of_ranker().mean() == pytest.approx(np.mean(values), abs=1e-15)
    assert sorted(stored.of_ranker().tolist()) == sorted(values)
    assert np.isnan(stored.of_ranker(candidates="cold")).all()


by_user = st.dictionaries(st.integers(0, 30), st.floats(0, 1), min_size=1)


@given(by_user, by_user)
def test_the_queries_of_one_user_are_paired_whatever_their_order(first, second):
    reports = [report([f"u{user}" for user in each], [*each.values()]) for each in (first, second)]
    stored = [StoredEvaluation.of(each, KEY) for each in reports]
    shared = sorted(first.keys() & second.keys())
    if not shared:
        with pytest.raises(RequestError, match="share no query"):
            paired(*stored)
        return
    found = paired(*stored)
    differences = np.array([second[user] - first[user] for user in shared])
    assert found.queries == len(shared)
    assert found.difference.mean == pytest.approx(differences.mean(), abs=1e-12)
    assert found.second - found.first == pytest.approx(differences.mean(), abs=1e-12)


def test_the_interval_is_that_of_the_bootstrap_and_finds_a_planted_difference():
    draw = np.random.default_rng(0)
    users, hard = [f"u{user}" for user in range(300)], draw.random(300)
    first = StoredEvaluation.of(report(users, hard), KEY)
    better = StoredEvaluation.of(report(users, hard + 0.01 + draw.normal(0, 0.02, 300)), KEY)
    found = paired(first, better)
    assert found.difference.positive
    assert found.difference.low < 0.01 < found.difference.high
    # users who differ much from each other would hide it in two unpaired intervals
    assert bootstrap(first.of_ranker()[:, None], np.arange(300).astype(object))[0].high > found.second
    assert not paired(first, first).difference.positive


def test_other_names_and_lengths_are_refused():
    stored = StoredEvaluation.of(report(["a"], [1.0]), KEY)
    with pytest.raises(RequestError, match="no ranker 'hybird'"):
        stored.of_ranker("hybird")
    with pytest.raises(RequestError, match="no metric"):
        stored.of_ranker(metric="precision")
    longer = EvaluationReport(20, np.array(["a"], object), report(["a"], [1.0]).rankers, 9, 1, 0)
    with pytest.raises(RequestError, match="12 and 20"):
        paired(stored, StoredEvaluation.of(longer, KEY))


def test_the_key_is_made_once_and_is_its_owners(tmp_path):
    key = evaluation_key(tmp_path)
    assert evaluation_key(tmp_path) == key
    assert len(key) == 32
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_generation_has_its_queries_and_no_user_id(bundles, demo_shop):
    rec = recommender.load(bundles)
    stored, published = rec.evaluation_queries(), rec.manifest.metrics["evaluation"]
    assert len(stored) == published["queries"]
    assert set(stored.rankers) == set(published["rankers"])
    for name, ranker in published["rankers"].items():
        for metric in ("recall", "ndcg"):
            mean = float(np.nanmean(stored.of_ranker(name, metric)))
            assert round(mean, 6) == ranker["all"][metric]["mean"]
    frame = stored.to_frame("ndcg")
    assert list(frame.columns) == list(stored.rankers)
    with np.load(rec.bundle.path(PART, "queries.npz"), allow_pickle=False) as arrays:
        content = b"".join(arrays[name].tobytes() for name in arrays.files)
    assert len(demo_shop.tastes) > 50
    for user in demo_shop.tastes:
        assert user.encode() not in content
        assert f'"{user}"'.encode() not in rec.manifest.to_json()


def test_an_update_keeps_them_and_pruning_removes_them_with_their_generation(bundles):
    first = open_bundle(bundles)
    path = first.path(PART, "queries.npz")
    with Staging(bundles) as staging:
        fields = first.manifest.to_dict()
        shared = [part for part in first.manifest.parts if part != PART]
        staging.publish(fields, parent=first, reuse=shared)
    assert recommender.load(bundles).evaluation_queries() is None  # as of an older version
    first.close()
    assert path.exists()
    prune(bundles, keep=1)
    assert not path.exists()
    assert (bundles / KEY_FILE).exists()


def test_a_copy_without_the_key_is_not_paired(bundles, tmp_path):
    copy = shutil.copytree(bundles, tmp_path / "copy", ignore=shutil.ignore_patterns(KEY_FILE))
    assert evaluation_key(copy) != evaluation_key(bundles)
    stored = [
        StoredEvaluation.of(report(["a", "b"], [0.5, 1.0]), evaluation_key(root)) for root in (bundles, copy)
    ]
    with pytest.raises(RequestError, match=KEY_FILE):
        paired(*stored)
