"""Learns what goes with a product: what was chosen with it, and what pairs that nobody chose yet look like."""

import numpy as np

from recommender.core.blocks import BLOCKS, Float, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from training.cooccurrence.learn import KEPT, MOST_LIKENED, Table, exported, strongest, strongest_products

PENALTY = 20.0  # λ of the regression: the more, the less is made of few pairs
CONSTANT = 0.3  # a feature that all products share
SATURATION = 1.0  # of a pair's count: what was chosen together twice is hardly more of a pair


def complements(segment: Segment, counts: Table, counted: Table) -> Cooccurrence:
    """Return pairs that were chosen and pairs that are foretold, each scaled to a largest value of 1.

    A lamp goes with a table where such lamps were chosen with such tables, so that what is new or rare goes with
    something too. Unlike in C, likeness alone counts for nothing: more of the same is no complement.

    Parameters
    ----------
    segment
        The products.
    counts
        See `training.cooccurrence.learn.counts_of`.
    counted
        See `training.cooccurrence.learn.count_pairs`.
    """
    if not counted.nnz or segment.n > MOST_LIKENED:
        return exported(counted)
    pairs = counts.astype(np.float32)
    pairs.data = pairs.data / (pairs.data + SATURATION)
    x = features(segment, pairs)
    foretold = strongest_products(x @ form(x, pairs, PENALTY), x, KEPT, "what goes together")
    foretold.data = foretold.data.clip(min=0.0)  # what goes badly together is no partner, whatever the largest is
    return exported(strongest(counted / counted.max() + foretold / (foretold.max() or 1.0), KEPT))


def features(segment: Segment, pairs: Table) -> Float:
    """Return what a product is, shape (n, f): its content, length 1, its behaviour, and how much it goes with.

    The latter counts as much as all content: some products go with many, whatever those are.
    """
    places = {name: place for name, place in segment.layout.slices.items() if name in BLOCKS}
    content = [segment.vectors[:, place] for name, place in places.items() if name != "behaviour"]
    behaviour = [segment.vectors[:, place] for name, place in places.items() if name == "behaviour"]
    partners = np.log1p(np.asarray(pairs.sum(axis=0)))[:, None]
    parts = [np.full_like(partners, CONSTANT), partners / partners.max(), *behaviour]
    parts += [unit(np.concatenate(content, axis=1))] if content else []
    return np.concatenate(parts, axis=1).astype(np.float32)


def form(x: Float, pairs: Table, penalty: float) -> Float:
    """Return the bilinear form that foretells pairs, shape (f, f): i goes with j as far as x_i W x_j is large.

    W = (XᵀX + λI)⁻¹ XᵀPX (XᵀX + λI)⁻¹: a ridge regression over the first product of a pair, then one over the
    second (two-step kernel ridge regression, Stock et al., Neural Computation 2018; linear kernels close it).

    Parameters
    ----------
    x
        Features, shape (n, f).
    pairs
        P, what was chosen together, shape (n, n).
    penalty
        λ.
    """
    gram = (x.T @ x).astype(np.float64) + penalty * np.eye(x.shape[1])
    together = (x.T @ (pairs @ x)).astype(np.float64)
    found: Float = np.linalg.solve(gram, np.linalg.solve(gram, together).T).T.astype(np.float32)
    return found
