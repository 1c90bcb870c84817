"""Metrics agree with trec_eval's implementation."""

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recommender.evaluation import beyond_accuracy, metrics
from recommender.evaluation.top_k import top_k

N, K = 12, 5
TREC = {
    metrics.hit_rate: f"success_{K}",
    metrics.precision: f"P_{K}",
    metrics.recall: f"recall_{K}",
    metrics.ndcg: f"ndcg_cut_{K}",
    metrics.reciprocal_rank: "recip_rank",
    metrics.average_precision: f"map_cut_{K}",
}


def matrix(sets):
    dense = np.zeros((len(sets), N), bool)
    for query, rows in enumerate(sets):
        dense[query, list(rows)] = True
    return csr_array(dense)


answers = st.lists(st.integers(0, N - 1), unique=True, max_size=K)
right = st.sets(st.integers(0, N - 1), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(answers, right), min_size=1, max_size=6))
def test_as_trec_eval(cases):
    lists = np.array([answer + [-1] * (K - len(answer)) for answer, _ in cases], np.int32)
    relevant = matrix([rows for _, rows in cases])
    hit, count = metrics.hits(lists, relevant), metrics.counts(relevant)
    run = {str(q): {str(row): float(K - rank) for rank, row in enumerate(a)} for q, (a, _) in enumerate(cases)}
    qrels = {str(q): {str(row): 1 for row in rows} for q, (_, rows) in enumerate(cases)}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"success", "P", "recall", "ndcg_cut", "recip_rank", "map_cut"})
    # trec_eval leaves out queries without an answer; ours count as 0
    result = theirs.evaluate({q: rows for q, rows in run.items() if rows})
    for metric, name in TREC.items():
        expected = [result[str(q)][name] if answer else 0.0 for q, (answer, _) in enumerate(cases)]
        np.testing.assert_allclose(metric(hit, count), expected, atol=1e-12, err_msg=name)


def test_a_query_without_relevant_items_has_no_value():
    relevant = matrix([{0}, set()])
    values = metrics.measure(np.array([[0, 1], [0, 1]], np.int32), relevant)
    assert values[0].tolist() == [1, 1, 1, 1]
    assert np.isnan(values[1]).all()


def test_coverage_counts_distinct_items():
    assert beyond_accuracy.coverage(np.array([[0, 1], [1, -1]], np.int32), 8) == 0.25


def test_novelty_is_self_information_in_bits():
    popularity = np.array([6.0, 0.0])  # p = 7/8 and 1/8
    assert beyond_accuracy.novelty(np.array([[1, -1]], np.int32), popularity) == pytest.approx(3)
    assert beyond_accuracy.novelty(np.array([[0, 1]], np.int32), popularity) == pytest.approx(
        (3 + math.log2(8 / 7)) / 2
    )
    assert math.isnan(beyond_accuracy.novelty(np.full((1, 2), -1, np.int32), popularity))


scored = st.lists(st.lists(st.integers(-2, 2), min_size=N, max_size=N), min_size=1, max_size=4)
masks = st.lists(st.booleans(), min_size=N, max_size=N)


@settings(max_examples=100, deadline=None)
@given(scored, masks, masks, st.integers(1, N + 3))
def test_ranking_is_a_plain_sort(scores, seen, allowed, k):
    excluded = csr_array(np.tile(np.array(seen), (len(scores), 1)))
    rows = top_k(np.array(scores, float), k, excluded, np.array(allowed))
    for line, given_scores in zip(rows, scores, strict=True):
        may = [row for row in range(N) if allowed[row] and not seen[row]]
        expected = sorted(may, key=lambda row: (-given_scores[row], row))[:k]
        assert line.tolist() == expected + [-1] * (k - len(expected))
