"""Predict the prior of products without events from their content."""

from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Float, Layout


@dataclass(frozen=True)
class PriorPredictor:
    """A linear prediction of popularity: prior(x) = bias + content(x) · weights, between 0 and a limit.

    Parameters
    ----------
    weights
        Shape (sum of the dimensions of the blocks other than behaviour,).
    bias
        Shape (1,).
    limit
        The largest prior of a product without events, at most 1, shape (1,).
    """

    weights: Float
    bias: Float
    limit: Float

    def predict(self, vectors: Float, layout: Layout) -> Float:
        """Return the prior of b products without events, shape (b,).

        Parameters
        ----------
        vectors
            Item vectors with imputed blocks, shape (b, d).
        layout
            Of the vectors.
        """
        # a product at a time: BLAS sums in an order of its own for each size of a batch
        content = content_blocks(vectors, layout).astype(np.float64)
        predicted = (content * self.weights).sum(axis=1) + self.bias
        return np.clip(predicted, 0.0, self.limit).astype(np.float32)


def content_blocks(vectors: Float, layout: Layout) -> Float:
    """Return all blocks but behaviour, side by side, shape (b, d_content)."""
    slices = [columns for name, columns in layout.slices.items() if name != "behaviour"]
    return np.concatenate([np.empty((len(vectors), 0), np.float32), *(vectors[:, s] for s in slices)], axis=1)
