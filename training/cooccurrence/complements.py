"""Learns complementary products: pairs bought together, and pairs predicted from the content of both."""

import numpy as np

from recommender.core.blocks import BLOCKS, Float, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.evaluation.ranking_task import MapFunction
from training.cooccurrence.pairs import MAX_PARTNERS
from training.cooccurrence.sparse import InnerProducts, Table, to_cooccurrence, top_k

RIDGE_PENALTY = 20.0  # λ of the regression: the higher, the less is concluded from few pairs
INTERCEPT = 0.3  # the value of a feature that all products share
SATURATION = 1.0  # of a pair's count: twice bought together is hardly more of a pair than once


def complements(segment: Segment, counts: Table, normalized: Table, run: MapFunction = map) -> Cooccurrence:
    """Return observed and predicted complementary pairs, each scaled to a maximum of 1 before they are added.

    A lamp complements a table where such lamps were bought with such tables, so that new and rare products have
    complements too. Unlike in C, similarity counts for nothing: more of the same is no complement.

    Parameters
    ----------
    segment
        The products.
    counts
        See `training.cooccurrence.pairs.count_pairs`.
    normalized
        See `training.cooccurrence.pairs.normalize_counts`.
    run
        See `InnerProducts.table`.
    """
    if not normalized.nnz:
        return to_cooccurrence(normalized)
    pairs = counts.astype(np.float32)
    pairs.data = pairs.data / (pairs.data + SATURATION)
    x = pair_features(segment, pairs)
    products = InnerProducts(x @ bilinear_form(x, pairs, RIDGE_PENALTY), x, MAX_PARTNERS)
    predicted = products.table("complementary products", run)
    predicted.data = predicted.data.clip(min=0.0)  # a negative prediction is no complement, however high it ranks
    observed = normalized / normalized.max()
    strongest = top_k(observed + predicted / (predicted.max() or 1.0), MAX_PARTNERS)
    return to_cooccurrence(strongest / strongest.max())


def pair_features(segment: Segment, pairs: Table) -> Float:
    """Return the features of each product, shape (n, f): unit content, behaviour and number of partners.

    The number of partners counts as much as all content: some products are bought together with any others.
    """
    slices = {name: columns for name, columns in segment.layout.slices.items() if name in BLOCKS}
    content = [segment.vectors[:, columns] for name, columns in slices.items() if name != "behaviour"]
    behaviour = [segment.vectors[:, columns] for name, columns in slices.items() if name == "behaviour"]
    partners = np.log1p(np.asarray(pairs.sum(axis=0)))[:, None]
    parts = [np.full_like(partners, INTERCEPT), partners / partners.max(), *behaviour]
    parts += [unit(np.concatenate(content, axis=1))] if content else []
    return np.concatenate(parts, axis=1).astype(np.float32)


def bilinear_form(x: Float, pairs: Table, penalty: float) -> Float:
    """Return W, shape (f, f), by which the strength of a pair is predicted as x_i W x_j.

    W = (XᵀX + λI)⁻¹ XᵀPX (XᵀX + λI)⁻¹: a ridge regression over the first product of a pair, then one over the
    second (two-step kernel ridge regression, Stock et al., Neural Computation 2018; linear kernels close it).

    Parameters
    ----------
    x
        Features, shape (n, f).
    pairs
        P, the observed strength of each pair, shape (n, n).
    penalty
        λ.
    """
    gram = (x.T @ x).astype(np.float64) + penalty * np.eye(x.shape[1])
    cross = (x.T @ (pairs @ x)).astype(np.float64)
    form: Float = np.linalg.solve(gram, np.linalg.solve(gram, cross).T).T.astype(np.float32)
    return form
