"""Labels of the map's regions: planted clusters get their words, by scores that equal the published formula."""

import math

import numpy as np
import pytest

from recommender.pages.region_labels import k_means, log_odds, region_labels


def test_regions_are_named_by_their_words() -> None:
    generator = np.random.default_rng(0)
    centres = np.array([[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]])
    blobs = [centre + generator.normal(0, 0.01, (40, 2)) for centre in centres]
    coordinates = np.concatenate(blobs).astype(np.float32)
    words = [["with", "with", word, f"rare{i}"] for word in ("lamp", "sock", "plate") for i in range(40)]
    labels = region_labels(coordinates, words)
    assert sorted({label["text"] for label in labels}) == ["Lamp", "Plate", "Sock"]
    assert sum(label["n"] for label in labels) == 120
    for label in labels:
        centre = centres[["Lamp", "Sock", "Plate"].index(label["text"])]
        assert math.dist(centre, (label["x"], label["y"])) < 0.05


def test_k_means_finds_planted_clusters() -> None:
    generator = np.random.default_rng(1)
    truth = np.repeat(np.arange(4), 30)
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[truth] + generator.normal(0, 0.05, (120, 2))
    clusters = k_means(points, 4)
    assert len({tuple(pair) for pair in zip(truth.tolist(), clusters.tolist(), strict=True)}) == 4


def test_log_odds_are_those_of_the_paper() -> None:
    counts = np.array([[30.0, 5.0, 1.0], [10.0, 50.0, 0.0], [10.0, 45.0, 0.0]])
    z = log_odds(counts)
    total, size = counts.sum(axis=0), counts.sum()
    for cluster, word in np.ndindex(3, 3):
        prior, all_prior = 0.01 * total[word], 0.01 * size
        here, n_here = counts[cluster, word], counts[cluster].sum()
        there, n_there = total[word] - here, size - n_here
        difference = math.log((here + prior) / (n_here + all_prior - here - prior))
        difference -= math.log((there + prior) / (n_there + all_prior - there - prior))
        assert z[cluster, word] == pytest.approx(difference / math.sqrt(1 / (here + prior) + 1 / (there + prior)))
