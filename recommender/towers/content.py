"""The image and text blocks: centred, rotated encoder vectors beside their aligned projection."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Float, unit


@dataclass(frozen=True)
class ContentBlock:
    """Computes the block of one modality: the encoder's vector beside its projection to the shared space.

    block = unit( √(1 − share) · unit((x − mean) axes)  ‖  √share · unit(projected − aligned_mean) )

    The second part exists where a contrastive projection was trained. Both are centred: otherwise the two
    modalities lie in separate cones (Liang et al., Mind the Gap, NeurIPS 2022).

    Parameters
    ----------
    mean
        Mean of the encoder's vectors, shape (d_e,).
    axes
        Principal axes, most important first, shape (d_e, p).
    aligned_mean
        Mean of the projected vectors, shape (d_a,); empty without a projection.
    share
        Share of the block's energy in its aligned part, 0 without a projection.
    """

    mean: Float
    axes: Float
    aligned_mean: Float
    share: float

    @property
    def dim(self) -> int:
        """The dimension d_m of the block."""
        return self.axes.shape[1] + len(self.aligned_mean)

    def vectors(self, encoded: Float, projected: Float | None) -> Float:
        """Return the block of each item, shape (b, d_m), norm 1.

        Parameters
        ----------
        encoded
            The encoder's vectors, shape (b, d_e).
        projected
            Their aligned projection, shape (b, d_a), if this block has one.
        """
        raw = unit((encoded - self.mean) @ self.axes)
        if projected is None or not len(self.aligned_mean):
            return raw
        aligned = unit(projected - self.aligned_mean)
        return np.concatenate([(1 - self.share) ** 0.5 * raw, self.share**0.5 * aligned], axis=1)

    def from_other(self, encoded: Float | None, projected: Float | None, other_mean: Float) -> Float:
        """Return this block of queries of the *other* modality, shape (b, d_m), norm 1.

        With a projection only the aligned part is set; with an aligned encoder the vector is centred by its own
        modality's mean and rotated as this modality's.

        Parameters
        ----------
        encoded
            The other modality's encoder vectors, shape (b, d_e), if the encoder is aligned.
        projected
            Their projection, shape (b, d_a), if there is one.
        other_mean
            The other modality's mean, of `projected` if given, else of `encoded`.
        """
        if projected is not None and len(self.aligned_mean):
            empty = np.zeros((len(projected), self.axes.shape[1]), dtype=np.float32)
            return np.concatenate([empty, unit(projected - other_mean)], axis=1)
        assert encoded is not None
        return unit((encoded - other_mean) @ self.axes)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the exported arrays."""
        return {
            "mean": self.mean,
            "axes": self.axes,
            "aligned_mean": self.aligned_mean,
            "share": np.array(self.share),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "ContentBlock":
        """Return the block of exported arrays."""
        return cls(arrays["mean"], arrays["axes"], arrays["aligned_mean"], float(arrays["share"]))
