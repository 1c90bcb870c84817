"""Projections of the text and image vectors of an unaligned encoder to one space."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Float, unit

_PARTS = ("mean", "scale", "w1", "b1", "w2", "b2")


@dataclass(frozen=True)
class Head:
    """One modality's network: unit( relu( (x − mean) / scale · w1 + b1 ) · w2 + b2 ).

    Parameters
    ----------
    mean, scale
        Of the encoder's vectors, shape (d_e,).
    w1, b1
        Into the hidden layer, shapes (d_e, h) and (h,).
    w2, b2
        Into the shared space, shapes (h, d_a) and (d_a,).
    """

    mean: Float
    scale: Float
    w1: Float
    b1: Float
    w2: Float
    b2: Float

    def __call__(self, x: Float) -> Float:
        """Project encoder vectors (b, d_e) to the shared space (b, d_a), norm 1."""
        hidden = np.maximum((x - self.mean) / self.scale @ self.w1 + self.b1, 0)
        return unit(hidden @ self.w2 + self.b2)


@dataclass(frozen=True)
class AlignedProjection:
    """The projections of both modalities, trained contrastively by `training.item_tower.alignment`."""

    image: Head
    text: Head

    @property
    def dim(self) -> int:
        """The dimension d_a of the shared space."""
        return len(self.image.b2)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the exported arrays, with names such as ``image_w1``."""
        heads = {"image": self.image, "text": self.text}
        return {f"{name}_{part}": getattr(head, part) for name, head in heads.items() for part in _PARTS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "AlignedProjection":
        """Return the projections of exported arrays."""
        image, text = (Head(*(arrays[f"{name}_{part}"] for part in _PARTS)) for name in ("image", "text"))
        return cls(image, text)
