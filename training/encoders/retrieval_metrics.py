"""Text–image retrieval metrics: how often a text retrieves its own image, and an image its own text."""

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Float, Mask

CUTS = (1, 5, 10)
_BATCH = 1024


def hold_out(groups: NDArray[np.integer], share: float, rng: np.random.Generator) -> Mask:
    """Return the mask, shape (p,), of a random share of the groups, each held out whole."""
    names, group = np.unique(groups, return_inverse=True)
    held_out = np.zeros(len(names), dtype=bool)
    held_out[rng.permutation(len(names))[: round(share * len(names))]] = True
    return held_out[group]


def recall(queries: Float, answers: Float) -> dict[str, float]:
    """Return recall@1, @5 and @10: the share of queries whose own answer ranks so high; ties count against it.

    Parameters
    ----------
    queries, answers
        Vectors of norm 1, rows paired, shape (p, d).
    """
    ranks = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(queries), _BATCH):
        scores = queries[start : start + _BATCH] @ answers.T
        correct = scores[np.arange(len(scores)), start + np.arange(len(scores))]
        ranks.append((~(scores < correct[:, None])).sum(axis=1))  # NaN counts against it too
    rank = np.concatenate(ranks)
    return {f"recall@{k}": round(float((rank <= k).mean()), 4) if len(rank) else 0.0 for k in CUTS}


def mean_recall(image: Float, text: Float) -> dict[str, float]:
    """Return the recall of images by their text, and the mean recall of both directions at the three cuts.

    Models of image–text retrieval are selected by this mean (the "rsum" of Faghri et al., VSE++, BMVC 2018);
    one cut alone is 0 or 1 on a small catalogue.
    """
    by_text = recall(text, image)
    both = [*by_text.values(), *recall(image, text).values()]
    return {**by_text, "mean_recall": round(float(np.mean(both)), 4)}
