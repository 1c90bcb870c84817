"""Small made-up segments with everything that makes exactness hard: duplicates, ties, variants, weak blocks."""

from pathlib import Path

import numpy as np

from recommender.core.blocks import Layout, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.retrieval.planner import Budget, Budgets, Planner
from training.retrieval.index import make_index
from training.retrieval.neighbours import with_neighbours

LAYOUT = Layout({"image": 6, "text": 5, "category": 3, "behaviour": 4})
TERMS = (*LAYOUT.names, "cooccurrence", "prior")


def make_segment(seed: int, n: int, layout: Layout = LAYOUT) -> Segment:
    """Return n products of which many are copies of others, with some blocks weaker than 1 or missing."""
    generator = np.random.default_rng(seed)
    vectors = np.zeros((n, layout.d), dtype=np.float32)
    for place in layout.slices.values():
        block = unit(generator.normal(size=(n, place.stop - place.start)))
        vectors[:, place] = block * generator.choice([1.0, 1.0, 0.4, 0.0], (n, 1))
    copies = generator.integers(0, n, n // 2)
    vectors[copies] = vectors[generator.integers(0, n, n // 2)]
    prior = generator.choice([0.0, 0.0, 0.25, 1.0], n).astype(np.float32)
    return Segment(
        vectors=vectors,
        present=generator.random((n, len(layout.names))) < 0.8,
        prior=prior,
        groups=np.unique(generator.integers(0, max(2 * n // 3, 1), n), return_inverse=True)[1].astype(np.int32),
        neighbours=None,
        cooccurrence=make_cooccurrence(generator, n),
        complements=make_cooccurrence(generator, n),
        layout=layout,
    )


def make_cooccurrence(generator: np.random.Generator, n: int) -> Cooccurrence:
    """Return a table with a few partners a product, of strengths that often tie."""
    dense = np.where(generator.random((n, n)) < 3 / max(n, 3), generator.choice([0.25, 0.5, 1.0], (n, n)), 0.0)
    np.fill_diagonal(dense, 0.0)
    i, j = np.nonzero(dense)
    indptr = np.searchsorted(i, np.arange(n + 1)).astype(np.int64)
    return Cooccurrence(indptr, j.astype(np.int32), dense[i, j].astype(np.float32))


def indexed(folder: Path, segment: Segment, weights: dict[str, float], budget: Budget | None) -> Planner:
    """Build the neighbour table, the trees and the graph for a segment, and return the search over them."""
    index = make_index(folder, segment, weights, trees=5, seed=0)
    segment = with_neighbours(segment, {"item": weights})
    return Planner(segment, index, Budgets(budget, budget, budget, budget), (weights,))
