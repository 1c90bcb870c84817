"""Labels of the map's regions: k-means clusters of the layout, named by the words that tell them from the rest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Double, Float

LEVELS = (8, 32, 128)  # clusters at each level of detail: four times as many where the zoom is doubled
_MIN_PRODUCTS = 20  # a cluster has on average
_MAX_WORDS = 2
_ITERATIONS = 20
_PRIOR = 0.01  # pseudo-counts of all words together, per counted word
_MIN_Z = 2.0  # a word that is not clearly more frequent here than elsewhere names nothing


def region_labels(coordinates: Float, words: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Return a label for each region of a map, coarse and fine: its words, where it is, how many products it has.

    Parameters
    ----------
    coordinates
        Shape (n, 2), in an order in which neighbours stand close, such as along a space-filling curve: evenly
        spaced ones are the first centres.
    words
        Of each product, length n.
    """
    most = max(1, len(coordinates) // _MIN_PRODUCTS)
    counts = [k for k in LEVELS if k <= most] or [most]
    vocabulary = {word: code for code, word in enumerate(dict.fromkeys(word for some in words for word in some))}
    names = list(vocabulary)
    products = np.repeat(np.arange(len(words)), [len(some) for some in words])
    codes = np.array([vocabulary[word] for some in words for word in some], np.int64)
    labels = []
    for level, k in enumerate(counts):
        clusters = k_means(coordinates, k)
        frequencies = np.bincount(clusters[products] * len(names) + codes, minlength=k * len(names))
        z = log_odds(frequencies.reshape(k, len(names)).astype(np.float64))
        for cluster in range(k):
            best = np.argsort(-z[cluster], kind="stable")[:8]
            text = _text([names[word] for word in best if z[cluster, word] > _MIN_Z])
            members = coordinates[clusters == cluster]
            if text:
                away = np.linalg.norm(members - np.median(members, axis=0), axis=1)
                x, y = members[away.argmin()].tolist()  # on a product, not in a gap between some
                labels.append({"text": text, "x": x, "y": y, "level": level, "n": len(members)})
    return labels


def k_means(points: Float, k: int) -> NDArray[np.intp]:
    """Return the cluster of each point, shape (n,), by Lloyd's algorithm from k evenly spaced points."""
    centres = points[np.linspace(0, len(points) - 1, k).astype(int)].astype(np.float64)
    clusters = np.zeros(len(points), np.intp)
    for _ in range(_ITERATIONS):
        # |p - c|^2 without |p|^2, which is the same for all centres
        nearest = np.argmin((centres**2).sum(axis=1) - 2 * points @ centres.T, axis=1)
        if np.array_equal(nearest, clusters):
            break
        clusters = nearest
        sizes = np.bincount(clusters, minlength=k)
        sums = np.stack([np.bincount(clusters, points[:, axis], minlength=k) for axis in range(2)], axis=1)
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
    return clusters


def log_odds(counts: Double) -> Double:
    """Return how surely each word is more frequent in a cluster than in the others, as z-scores of log-odds.

    The weighted log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi and Quinn, "Fightin' Words",
    Political Analysis 16(4), 2008). Words that are as frequent everywhere, such as "with", are near 0 without a
    list of stop words, and so are words that are seen once; c-TF-IDF (Grootendorst, arXiv:2203.05794) merely
    lowers the first.

    Parameters
    ----------
    counts
        Shape (clusters, words): how often each word is in each cluster.
    """
    total = counts.sum(axis=0)
    prior = np.maximum(total * _PRIOR, 1e-9)
    here, elsewhere = counts + prior, total - counts + prior
    odds = np.log(here / np.maximum(here.sum(axis=1, keepdims=True) - here, 1e-9))
    odds -= np.log(elsewhere / np.maximum(elsewhere.sum(axis=1, keepdims=True) - elsewhere, 1e-9))
    return np.asarray(odds / np.sqrt(1 / here + 1 / elsewhere))


def _text(words: Sequence[str]) -> str:
    """Join the first words that do not contain one another, so that "Dresses" and "dress" are one."""
    chosen: list[str] = []
    for word in words:
        stem = word.lower().rstrip("s")
        if not any(stem in other.lower() or other.lower().rstrip("s") in stem for other in chosen):
            chosen.append(word)
    text = " · ".join(chosen[:_MAX_WORDS])
    return text[:1].upper() + text[1:]
