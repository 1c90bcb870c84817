"""Predict the behaviour block of products without events from their content and columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.core.blocks import Float, Layout
from recommender.towers.category import ColumnVocabulary, bag

CONTENT = ("image", "text")


@dataclass(frozen=True)
class BehaviourPredictor:
    """The content part of behaviour vectors, trained with dropout of the part that is learned per product.

    behaviour(x) = [image(x) ‖ text(x)] matrix + Σ_v weight_v table_v over the values of its columns, as in LightFM
    (Kula, 2015); the dropout is that of DropoutNet (Volkovs et al., NeurIPS 2017). Its norm, relative to that of
    products with many events, is the confidence.

    Parameters
    ----------
    matrix
        Shape (d_image + d_text, d_b).
    table
        One row for each row of the category embedding, shape (rows, d_b).
    """

    matrix: Float
    table: Float

    def predict(
        self,
        vectors: Float,
        layout: Layout,
        vocabularies: Sequence[ColumnVocabulary],
        columns: Mapping[str, Sequence[Any]],
    ) -> Float:
        """Return the predicted behaviour block of b items, norm at most 1, shape (b, d_b).

        Parameters
        ----------
        vectors
            Item vectors whose image and text are filled, shape (b, d).
        vocabularies, columns
            The cells of the items, and the vocabularies of their columns.
        """
        predicted = content_of(vectors, layout) @ self.matrix
        if vocabularies:
            bags = bag(vocabularies, columns)
            predicted = predicted + np.add.reduceat(
                self.table[bags.entries] * bags.weights[:, None], bags.starts, axis=0
            )
        norm = np.linalg.norm(predicted, axis=1, keepdims=True)
        return (predicted / np.maximum(norm, 1.0)).astype(np.float32)


def content_of(vectors: Float, layout: Layout) -> Float:
    """Return the image and text blocks that the layout has, concatenated, shape (b, d_image + d_text)."""
    slices = [layout.slices[name] for name in CONTENT if name in layout.slices]
    return np.concatenate([np.empty((len(vectors), 0), np.float32), *(vectors[:, s] for s in slices)], axis=1)
