"""The co-occurrence table C: a mixture of neighbours by co-occurrence, content similarity and an autoencoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import sparse

from recommender.catalog import Interactions
from recommender.core.blocks import BLOCKS, Float, Layout, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.evaluation.ranking_task import MapFunction
from training.cooccurrence.autoencoder import autoencoder_table
from training.cooccurrence.pairs import count_pairs, normalize_counts
from training.cooccurrence.sparse import InnerProducts, Table, to_cooccurrence
from training.words import word_vectors

SIMILAR_PRODUCTS = 128  # entries of a row of C from content similarity
# Of the similarity, the default first. At 8 it is e times lower for a cosine lower by an eighth: a product very
# similar to one item of a history comes before one a little similar to all; at 2 that one comes first.
SHARPNESSES = (2.0, 8.0)


@dataclass(frozen=True)
class Mixture:
    """The share of each table in C; they sum to 1.

    Parameters
    ----------
    cooccurrence
        Of the normalized counts: neighbours by co-occurrence.
    similarity, autoencoder
        Of the tables of the same name, see `CooccurrenceTables`.
    sharpness
        Of the similarity, see `sharpened`.
    """

    cooccurrence: float = 0.92
    similarity: float = 0.08
    autoencoder: float = 0.0
    sharpness: float = SHARPNESSES[0]

    @classmethod
    def of(cls, weights: Mapping[str, float], sharpness: float) -> "tuple[Mixture, float]":
        """Return the shares of weighted tables, and the sum of their weights: the weight of C."""
        total = sum(weights.values())
        if total <= 0:
            return cls(), 0.0
        shares = {name: weight / total for name, weight in weights.items()}
        return cls(**shares, sharpness=sharpness), total


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
    autoencoder
        See `autoencoder_table`, shape (n, n); None where C has no use for it.
    """

    counts: Table
    normalized: Table
    similarity: Table
    autoencoder: Table | None = None

    @classmethod
    def of(
        cls,
        segment: Segment,
        interactions: Interactions,
        texts: Sequence[Sequence[str]] | None = None,
        mixture: Mixture | None = None,
        run: MapFunction = map,
    ) -> Self:
        """Count the events, and compute similarities of content and an autoencoder.

        Parameters
        ----------
        segment
            The products.
        interactions
            The events.
        texts
            Tokens of the products' texts, see `ItemInputs.words`.
        mixture
            Without a share of the autoencoder none is computed; None: it is not known yet.
        run
            Maps a function over partitions of the users and blocks of rows, in their order, as `map` does.
        """
        counts = count_pairs(interactions, segment.n, run)
        similarity = content_similarity(segment.vectors, segment.layout, texts, run)
        table = autoencoder_table(interactions, segment.n) if mixture is None or mixture.autoencoder else None
        return cls(counts, normalize_counts(counts, interactions), similarity, table)

    def refit(self, interactions: Interactions, mixture: Mixture, run: MapFunction = map) -> "CooccurrenceTables":
        """Return the tables of other events; similarities are those of content, and unchanged."""
        n = self.similarity.shape[0]
        counts = count_pairs(interactions, n, run)
        table = autoencoder_table(interactions, n) if mixture.autoencoder else None
        return replace(self, counts=counts, normalized=normalize_counts(counts, interactions), autoencoder=table)

    @property
    def by_name(self) -> dict[str, Table]:
        """The tables that C may be mixed of, by the names in a `Mixture`; the similarity as cosines."""
        tables = {"cooccurrence": self.normalized, "similarity": self.similarity}
        return tables if self.autoencoder is None else tables | {"autoencoder": self.autoencoder}

    def mixed(self, mixture: Mixture) -> Cooccurrence:
        """Return C, the sum of the tables by their shares."""
        total = sparse.csr_array(self.normalized.shape)
        for name, table in self.by_name.items():
            if share := getattr(mixture, name):
                strengths = sharpened(table, mixture.sharpness) if name == "similarity" else table
                total = sparse.csr_array(total + share * strengths)
        return to_cooccurrence(total)


def sharpened(cosines: Table, sharpness: float) -> Table:
    """Return the similarity of each cosine that a table has, exp(sharpness · (cos − 1)), shape (n, n) as well."""
    similarities = np.exp(sharpness * (cosines.data - 1.0))
    return sparse.csr_array((similarities, cosines.indices, cosines.indptr), shape=cosines.shape)


def content_similarity(
    vectors: Float, layout: Layout, texts: Sequence[Sequence[str]] | None = None, run: MapFunction = map
) -> Table:
    """Return the cosine of each product and those nearest to it by content, shape (n, n).

    It is taken over the image, text and category blocks and the TF-IDF of the words, side by side. Words are exact
    where the vector of a text is not: a name that few products share.

    Parameters
    ----------
    vectors, layout
        The products' blocks, shape (n, d).
    texts
        Tokens of their texts; None where there are none.
    run
        See `InnerProducts.table`.
    """
    n = len(vectors)
    slices = [columns for name, columns in layout.slices.items() if name in BLOCKS and name != "behaviour"]
    if not slices or n < 2:
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
    return InnerProducts(content, content, SIMILAR_PRODUCTS, words).table("content similarity", run)
