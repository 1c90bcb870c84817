"""Recall of held-out pairs of products by similar and by complementary items: each is to find its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from recommender.evaluation.similar_items import complementary_items, pair_recall

if TYPE_CHECKING:
    from recommender.recommender import Recommender

K = 10
MAX_QUERIES = 500


def item_pairs(recommender: "Recommender", pairs: Mapping[str, csr_array]) -> dict[str, Any]:
    """Return the recall of pairs, such as those bought together, by the lists that a page of a product shows.

    Parameters
    ----------
    recommender
        Trained on earlier events.
    pairs
        Kind to the products paired with each product, (n, n).

    Returns
    -------
    dict
        Kind to figures, see `pair_recall`; kinds without pairs are left out.
    """
    figures = {}
    for kind, relevant in pairs.items():
        rows = np.flatnonzero(np.diff(relevant.indptr))
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:MAX_QUERIES])
        if len(rows):
            ids = recommender.attributes.ids.ids_of(rows)
            lists = {
                "similar": recommender.similar_many(ids, K, variants="all", plan="exact").rows,
                "complementary": complementary_items(recommender, rows, K),
            }
            figures[kind] = pair_recall(lists, relevant[rows])
    return figures
