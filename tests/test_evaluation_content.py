"""Untrained content against small cases worked by hand."""

import numpy as np
import pandas as pd
from evaluation_events import events

from recommender.evaluation.content_baselines import ContentCentroid, centred, one_hot, untrained_baselines
from recommender.evaluation.queries import with_weights


def history(*rows):
    return with_weights(events([("a", row, day) for row, day in rows]))


def test_centring_leaves_missing_vectors_zero():
    block = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(centred(block), np.array([[1, -1], [-1, 1], [0, 0]]) / np.sqrt(2), atol=1e-6)
    assert not centred(np.zeros((2, 3))).any()


def test_rare_values_weigh_more():
    hot = one_hot([pd.Series(["red", "red", "blue", ""]), pd.Series([["x", "y"], [], ["x"], []])])
    np.testing.assert_allclose(hot.max(axis=0), np.log([4, 2, 2, 4]), rtol=1e-6)  # blue, red, x, y
    assert hot[3].tolist() == [0, 0, 0, 0]
    assert (hot[0] > 0).tolist() == [False, True, True, True]


def test_similar_items_rank_first_and_recent_events_weigh_more():
    eye = np.repeat(np.eye(3), 2, axis=0)  # three pairs of twins
    (line,) = ContentCentroid("twins", [eye]).scores([history((0, 0), (2, 180))])
    assert line[3] == line.max()
    assert line[1] > line[5]
    weights = np.array([0.25, 0, 1, 0, 0, 0])  # two half-lives; none of the scores is 0, which rounding may miss
    np.testing.assert_allclose(line, 5 * weights @ centred(eye) @ centred(eye).T, rtol=1e-5)


def test_fusion_is_the_sum_of_its_blocks():
    rng = np.random.default_rng(0)
    blocks = {"image": rng.normal(size=(5, 3)), "text": rng.normal(size=(5, 4))}
    image, text, fused = (each.scores([history((0, 0), (3, 5))]) for each in untrained_baselines(blocks))
    np.testing.assert_allclose(fused, image + text, atol=1e-5)
    assert [each.name for each in untrained_baselines(blocks)] == [
        "untrained image",
        "untrained text",
        "untrained fusion",
    ]
    assert len(untrained_baselines({"text": blocks["text"]})) == 1
