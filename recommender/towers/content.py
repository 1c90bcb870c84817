"""The image and text blocks: centred, rotated encoder vectors beside their aligned projection and colours."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from recommender.core.blocks import Float, unit


@dataclass(frozen=True)
class ContentBlock:
    """Computes the block of one modality: the encoder's vector, its projection to the shared space, and colours.

    block = √(1 − share − color_share) · unit((x − mean) axes)  ‖  √share · unit(projected − aligned_mean)
            ‖  √color_share · unit(colors − color_mean)

    The second part exists where a contrastive projection was trained, the third for photos. All are centred:
    otherwise the two modalities lie in separate cones (Liang et al., Mind the Gap, NeurIPS 2022).

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
    color_mean
        Mean of the colour histograms, shape (d_c,); empty without colours.
    color_share
        Share of the block's energy in its colours, 0 without colours.
    """

    mean: Float
    axes: Float
    aligned_mean: Float
    share: float
    color_mean: Float = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    color_share: float = 0.0

    @property
    def dim(self) -> int:
        """The dimension d_m of the block."""
        return self.axes.shape[1] + len(self.aligned_mean) + len(self.color_mean)

    def vectors(self, encoded: Float, projected: Float | None, colors: Float | None = None) -> Float:
        """Return the block of each item, shape (b, d_m), norm 1.

        Parameters
        ----------
        encoded
            The encoder's vectors, shape (b, d_e).
        projected
            Their aligned projection, shape (b, d_a), if this block has one.
        colors
            Their colour histograms, shape (b, d_c), if this block has colours.
        """
        parts = [(1 - self.share - self.color_share) ** 0.5 * unit((encoded - self.mean) @ self.axes)]
        if len(self.aligned_mean):
            assert projected is not None
            parts.append(self.share**0.5 * unit(projected - self.aligned_mean))
        if len(self.color_mean):
            assert colors is not None
            parts.append(self.color_share**0.5 * unit(colors - self.color_mean))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

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
            parts = [empty, unit(projected - other_mean)]
        else:
            assert encoded is not None
            parts = [unit((encoded - other_mean) @ self.axes)]
        colors = np.zeros((len(parts[0]), len(self.color_mean)), dtype=np.float32)
        return np.concatenate([*parts, colors], axis=1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the exported arrays."""
        arrays = {
            "mean": self.mean,
            "axes": self.axes,
            "aligned_mean": self.aligned_mean,
            "share": np.array(self.share),
        }
        if len(self.color_mean):
            arrays |= {"color_mean": self.color_mean, "color_share": np.array(self.color_share)}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "ContentBlock":
        """Return the block of exported arrays; those of old bundles have no colours."""
        block = cls(arrays["mean"], arrays["axes"], arrays["aligned_mean"], float(arrays["share"]))
        if "color_mean" not in arrays:
            return block
        return replace(block, color_mean=arrays["color_mean"], color_share=float(arrays["color_share"]))
