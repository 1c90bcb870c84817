"""The two towers as training sees them: one that learns is run, of one that is locked the vectors are known."""

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
    """From places among the examples to vectors of norm 1, in two steps, as only the second one is learned.

    Attributes
    ----------
    learns
        Whether it has weights that are trained.
    """

    learns: bool

    def inputs(self, places: NDArray[np.int64]) -> Tensor:
        """Return what the tower reads of b examples, first axis b."""
        ...

    def vectors(self, inputs: Tensor) -> Tensor:
        """Return the vectors (b, d)."""
        ...


class LockedTower:
    """Vectors (p, d) that were computed before."""

    learns = False

    def __init__(self, known: Float) -> None:
        self._known = torch.from_numpy(known)

    def inputs(self, places: NDArray[np.int64]) -> Tensor:
        """Return the vectors."""
        return self._known[places]

    def vectors(self, inputs: Tensor) -> Tensor:
        """Return the inputs."""
        return inputs


class TextTower:
    """The model's text tower over texts (p,), cut into tokens once."""

    learns = True

    def __init__(self, encoder: OpenClipEncoder, texts: Sequence[str]) -> None:
        self._model, self._tokens = encoder.model, encoder.tokenizer(list(texts))

    def inputs(self, places: NDArray[np.int64]) -> Tensor:
        """Return the tokens (b, length)."""
        tokens: Tensor = self._tokens[places]
        return tokens

    def vectors(self, inputs: Tensor) -> Tensor:
        """Run the tower."""
        vectors: Tensor = self._model.encode_text(inputs, normalize=True)
        return vectors


class ImageTower:
    """The model's image tower over photos (p,), read anew each time, since their pixels fill no small memory."""

    learns = True

    def __init__(self, encoder: OpenClipEncoder, images: ImageSource, refs: Sequence[str]) -> None:
        self._model, self._preprocess, self._images, self._refs = encoder.model, encoder.transform, images, refs
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="photos")

    def inputs(self, places: NDArray[np.int64]) -> Tensor:
        """Return the pixels (b, 3, side, side)."""
        with quiet():
            return torch.stack(list(self._pool.map(self._pixels, [self._refs[place] for place in places])))

    def vectors(self, inputs: Tensor) -> Tensor:
        """Run the tower."""
        vectors: Tensor = self._model.encode_image(inputs, normalize=True)
        return vectors

    def _pixels(self, ref: str) -> Tensor:
        photo = decode(self._images.read(ref))
        if photo is None:
            raise DataError(f"photo {ref!r} could be read when the fit began and cannot be now; fit again")
        pixels: Tensor = self._preprocess(photo)
        return pixels
