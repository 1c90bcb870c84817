"""Image and text towers in fine-tuning: a trainable tower is run, a locked one has precomputed vectors."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recommender.catalog import ImageSource
from recommender.core.blocks import Float
from recommender.encoders.images import decode, quiet
from recommender.encoders.open_clip import OpenClipEncoder
from recommender.errors import DataError


class Tower(Protocol):
    """Maps indices of the examples to vectors of norm 1 in two steps, of which the second is trained.

    Attributes
    ----------
    trainable
        Whether its weights are trained.
    """

    trainable: bool

    def inputs(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the tower's inputs for b examples, first axis b."""
        ...

    def vectors(self, inputs: Tensor) -> Tensor:
        """Return the vectors, shape (b, d)."""
        ...


class LockedTower:
    """A tower that is not trained, with precomputed vectors, shape (p, d)."""

    trainable = False

    def __init__(self, vectors: Float) -> None:
        self._vectors = torch.from_numpy(vectors)

    def inputs(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the vectors."""
        return self._vectors[indices]

    def vectors(self, inputs: Tensor) -> Tensor:
        """Return the inputs."""
        return inputs


class TrainableTextTower:
    """The model's text tower over p texts, tokenized once."""

    trainable = True

    def __init__(self, encoder: OpenClipEncoder, texts: Sequence[str]) -> None:
        self._model, self._tokens = encoder.model, encoder.tokenizer(list(texts))

    def inputs(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the tokens, shape (b, length)."""
        tokens: Tensor = self._tokens[indices]
        return tokens

    def vectors(self, inputs: Tensor) -> Tensor:
        """Run the tower."""
        vectors: Tensor = self._model.encode_text(inputs, normalize=True)
        return vectors


class TrainableImageTower:
    """The model's image tower over p images, decoded for each batch, since all would not fit into memory."""

    trainable = True

    def __init__(self, encoder: OpenClipEncoder, images: ImageSource, refs: Sequence[str]) -> None:
        self._model, self._preprocess, self._images, self._refs = encoder.model, encoder.transform, images, refs
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="images")

    def inputs(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the pixels, shape (b, 3, side, side)."""
        with quiet():
            return torch.stack(list(self._pool.map(self._pixels, [self._refs[index] for index in indices])))

    def vectors(self, inputs: Tensor) -> Tensor:
        """Run the tower."""
        vectors: Tensor = self._model.encode_image(inputs, normalize=True)
        return vectors

    def _pixels(self, ref: str) -> Tensor:
        image = decode(self._images.read(ref))
        if image is None:
            raise DataError(f"image {ref!r} could be read when the fit began and cannot be now; fit again")
        pixels: Tensor = self._preprocess(image)
        return pixels
