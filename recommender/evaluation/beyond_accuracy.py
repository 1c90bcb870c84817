"""What lists are like beside being right: how different their products are, how much the popular fill them."""

import numpy as np

from recommender.core.blocks import Float
from recommender.evaluation.metrics import Floats, Rows

HEAD = 0.1  # share of products that count as the most popular
_LISTS = 512  # looked at at once


def diversity(rows: Rows, vectors: Float) -> float:
    """Return one minus the mean cosine of two products of a list, averaged over lists (intra-list diversity).

    Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005.

    Parameters
    ----------
    rows
        (b, k), padded with -1; lists of fewer than two have no value.
    vectors
        (n, d) of norm 1, or 0.
    """
    found = []
    for start in range(0, len(rows), _LISTS):
        part = rows[start : start + _LISTS]
        filled = part >= 0
        listed = vectors[np.maximum(part, 0)] * filled[:, :, None]
        count = filled.sum(axis=1)
        # the sum of all cosines is the squared norm of the sum; those of a product with itself are taken off
        cosines = np.square(listed.sum(axis=1)).sum(axis=1) - np.square(listed).sum(axis=(1, 2))
        some = count > 1
        found.append(1 - cosines[some] / (count * (count - 1))[some])
    values = np.concatenate(found) if found else np.empty(0)
    return float(values.mean()) if len(values) else float("nan")


def popular_share(rows: Rows, popularity: Floats) -> float:
    """Return the share of all places that go to the most popular tenth of products, `popularity` being (n,)."""
    head = np.zeros(len(popularity), bool)
    head[np.argsort(-popularity, kind="stable")[: max(1, round(HEAD * len(popularity)))]] = True
    listed = rows[rows >= 0]
    return float(head[listed].mean()) if len(listed) else float("nan")
