"""The co-occurrence table C: counts of co-occurring products, smoothed by content similarity."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from recommender.catalog import Interactions
from recommender.core.blocks import BLOCKS, Float, Layout, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from training.cooccurrence.pairs import count_pairs, normalize_counts
from training.cooccurrence.sparse import Table, to_cooccurrence, top_inner_products

SIMILAR_PRODUCTS = 64  # entries of a row of C from content similarity
SHARPNESS = 8.0  # of the similarity: it is e times lower for a cosine lower by an eighth
# Above this many products the similarities of all pairs would take too long (it grows with the square).
MAX_SIMILARITY_ROWS = 60_000


@dataclass(frozen=True)
class CooccurrenceTables:
    """What C is made of.

    Parameters
    ----------
    counts
        See `count_pairs`, shape (n, n).
    normalized
        See `normalize_counts`, shape (n, n).
    similarity
        See `content_similarity`, shape (n, n): stands in for co-occurrence where a product has few or no events.
    """

    counts: Table
    normalized: Table
    similarity: Table

    @classmethod
    def of(cls, segment: Segment, interactions: Interactions, similarity: Table | None = None) -> Self:
        """Count the events, and compute the similarity of the products where it is not given."""
        counts = count_pairs(interactions, segment.n)
        if similarity is None:
            similarity = content_similarity(segment.vectors, segment.layout)
        return cls(counts, normalize_counts(counts, interactions), similarity)

    def smoothed(self, smoothing: float) -> Cooccurrence:
        """Return C = normalized counts + smoothing · similarity, scaled to a maximum of 1."""
        return to_cooccurrence(sparse.csr_array(self.normalized + smoothing * self.similarity))


def content_similarity(vectors: Float, layout: Layout) -> Table:
    """Return the similarity of each product to its nearest by image, text and category, shape (n, n), at most 1.

    similarity[i, j] = exp(sharpness · (cos(i, j) − 1)), the cosine over the three blocks side by side. Summed over
    a history it is a soft maximum: a product very similar to one item of the history comes before one that is a
    little similar to all.
    """
    n = len(vectors)
    slices = [columns for name, columns in layout.slices.items() if name in BLOCKS and name != "behaviour"]
    if not slices or not 1 < n <= MAX_SIMILARITY_ROWS:
        return sparse.csr_array((n, n))
    content = unit(np.concatenate([vectors[:, columns] for columns in slices], axis=1))
    table = top_inner_products(content, content, SIMILAR_PRODUCTS, "content similarity")
    table.data = np.exp(SHARPNESS * (table.data - 1.0))
    return table
