"""Beyond-accuracy metrics of recommendation lists: coverage, novelty, diversity and popularity bias."""

import numpy as np

from recommender.core.blocks import Float, Mask, Rows
from recommender.evaluation.metrics import Floats

HEAD = 0.1  # share of products that count as the most popular
_LISTS = 512  # processed at once


def coverage(rows: Rows, n: int) -> float:
    """Return the share of the n items that are in at least one list (catalogue coverage)."""
    return np.unique(rows[rows >= 0]).size / n


def novelty(rows: Rows, popularity: Floats) -> float:
    """Return the mean self-information -log2 p of the recommended items, in bits, p = (count + 1) / (total + n).

    Zhou et al., "Solving the apparent diversity-accuracy dilemma", PNAS 2010; one event is added to each item so
    that a new one is finite.
    """
    bits = -np.log2((popularity + 1) / (popularity.sum() + popularity.size))
    return float(bits[rows[rows >= 0]].mean()) if (rows >= 0).any() else float("nan")


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
    chunks = []
    for start in range(0, len(rows), _LISTS):
        chunk = rows[start : start + _LISTS]
        filled = chunk >= 0
        listed = vectors[np.maximum(chunk, 0)] * filled[:, :, None]
        count = filled.sum(axis=1)
        # the sum of all cosines is the squared norm of the sum; those of a product with itself are subtracted
        cosines = np.square(listed.sum(axis=1)).sum(axis=1) - np.square(listed).sum(axis=(1, 2))
        pairs = count > 1
        chunks.append(1 - cosines[pairs] / (count * (count - 1))[pairs])
    values = np.concatenate(chunks) if chunks else np.empty(0)
    return float(values.mean()) if len(values) else float("nan")


def popular_share(rows: Rows, popularity: Floats) -> float:
    """Return the share of recommendations that are among the most popular tenth of products (popularity bias).

    Parameters
    ----------
    rows
        (b, k), padded with -1.
    popularity
        Events of each product, (n,).
    """
    head = np.zeros(len(popularity), bool)
    head[np.argsort(-popularity, kind="stable")[: max(1, round(HEAD * len(popularity)))]] = True
    listed = rows[rows >= 0]
    return float(head[listed].mean()) if len(listed) else float("nan")


def cold_share(rows: Rows, cold: Mask) -> Floats:
    """Return the share of each list's places that new products have, (b,); NaN for an empty list.

    Parameters
    ----------
    rows
        (b, k), padded with -1.
    cold
        Products without events before the split, (n,).
    """
    listed = rows >= 0
    count = listed.sum(axis=1)
    shares = (cold[rows] & listed).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, shares, np.nan)
