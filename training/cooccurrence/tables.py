"""The co-occurrence table C: counts of co-occurring products, smoothed by content similarity."""

from collections.abc import Sequence
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
from training.words import word_vectors

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
    def of(
        cls,
        segment: Segment,
        interactions: Interactions,
        similarity: Table | None = None,
        texts: Sequence[Sequence[str]] | None = None,
    ) -> Self:
        """Count the events, and compute the similarity of the products where it is not given.

        Parameters
        ----------
        segment
            The products.
        interactions
            The events.
        similarity
            See `content_similarity`.
        texts
            Tokens of the products' texts, see `ItemInputs.words`.
        """
        counts = count_pairs(interactions, segment.n)
        if similarity is None:
            similarity = content_similarity(segment.vectors, segment.layout, texts)
        return cls(counts, normalize_counts(counts, interactions), similarity)

    def smoothed(self, smoothing: float) -> Cooccurrence:
        """Return C = normalized counts + smoothing · similarity, scaled to a maximum of 1."""
        return to_cooccurrence(sparse.csr_array(self.normalized + smoothing * self.similarity))


def content_similarity(vectors: Float, layout: Layout, texts: Sequence[Sequence[str]] | None = None) -> Table:
    """Return the similarity of each product to its nearest by its content, shape (n, n), at most 1.

    similarity[i, j] = exp(sharpness · (cos(i, j) − 1)), the cosine over the image, text and category blocks and
    the TF-IDF of the words, side by side. Summed over a history it is a soft maximum: a product very similar
    to one item of the history comes before one that is a little similar to all. Words are exact where the vector
    of a text is not: a name that few products share.

    Parameters
    ----------
    vectors, layout
        The products' blocks, shape (n, d).
    texts
        Tokens of their texts; None where there are none.
    """
    n = len(vectors)
    slices = [columns for name, columns in layout.slices.items() if name in BLOCKS and name != "behaviour"]
    if not slices or not 1 < n <= MAX_SIMILARITY_ROWS:
        return sparse.csr_array((n, n))
    content = np.concatenate([vectors[:, columns] for columns in slices], axis=1)
    words = None if texts is None else word_vectors(texts)
    if words is None:
        content = unit(content)
    else:
        norms = np.sqrt(np.square(content).sum(axis=1) + words.multiply(words).sum(axis=1))
        scales = (1 / np.maximum(norms, 1e-12)).astype(np.float32)
        content = content * scales[:, None]
        words.data *= np.repeat(scales, np.diff(words.indptr))
    table = top_inner_products(content, content, SIMILAR_PRODUCTS, "content similarity", words)
    table.data = np.exp(SHARPNESS * (table.data - 1.0))
    return table
