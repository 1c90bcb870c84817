"""Colours of photos: what encoders that were trained to tell things apart leave out."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from recommender.core.blocks import Float
from recommender.encoders.base import Vectors

_SIDE = 32
_LEVELS = 16  # of each channel: photos are looked up by such cells
_LIGHTNESS = (12.0, 40.0, 67.0, 95.0)  # of the colours that a photo's are compared with
_STEP, _RINGS = 28.0, 2  # between their a* and b*, and how many steps from grey they go
_LIGHTNESS_SHARE = 0.5  # how much a difference in lightness counts, beside one in a* or b*
_WIDTH = 12.0  # CIELAB units within which colours count as similar
_BORDER = 2  # pixels at each side that show the background
_BACKGROUND_WIDTH = 12.0  # CIELAB units within which a pixel counts as background
_CENTRE_WIDTH = 0.5  # of half a side: a photo shows its product in the middle
_MIN_FOREGROUND = 0.02  # weight of a pixel like the background: a white product on white has a colour, too


class ColorHistograms:
    """Histograms of the colours of a photo's foreground, as an encoder of images.

    Pixels count the more, the nearer to the centre and the less like the border they are. Each counts for the
    colours of a grid over CIELAB, in which equal distances look equal; the square root lets small parts of a photo
    count (Hellinger distance).
    """

    name = "colors"
    fingerprint = "colors-1"  # change it with any constant above: it names the folder of cached vectors
    aligned = False
    text_dim = 0

    def __init__(self) -> None:
        self.image_dim = len(_colors())

    def preprocess(self, image: Image.Image) -> Image.Image:
        """See `Preprocesses`."""
        return image.resize((_SIDE, _SIDE), Image.Resampling.BOX)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return the histograms (b, image_dim) of RGB images, norm 1."""
        if not images:
            return np.empty((0, self.image_dim), np.float32)
        pixels = np.stack([np.asarray(self.preprocess(image), np.uint8) for image in images])
        cells = (pixels // (256 // _LEVELS)).astype(np.int64) @ np.array([_LEVELS**2, _LEVELS, 1])
        cells = cells.reshape(len(images), -1)
        counts = np.zeros((len(images), _LEVELS**3), np.float32)
        for line, (cell, weight) in enumerate(zip(cells, self._weights(cells), strict=True)):
            counts[line] = np.bincount(cell, weight, minlength=_LEVELS**3)
        return np.sqrt(counts @ self._memberships)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return no dimensions: texts have no colours."""
        return np.empty((len(texts), 0), np.float32)

    def _weights(self, cells: np.ndarray) -> Float:
        """Return how much each pixel counts, shape (b, pixels), sum 1."""
        lab, border = self._lab[cells], _border().ravel()
        background = np.median(lab[:, border], axis=1)
        distance = np.linalg.norm(lab - background[:, None], axis=2)
        foreground = 1 - np.exp(-((distance / _BACKGROUND_WIDTH) ** 2))
        weights = _centre().ravel() * (foreground + _MIN_FOREGROUND)
        normalized: Float = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        return normalized

    @cached_property
    def _lab(self) -> Float:
        """The colour of each cell in CIELAB, shape (cells, 3)."""
        levels = (np.arange(_LEVELS) + 0.5) / _LEVELS
        red, green, blue = np.meshgrid(levels, levels, levels, indexing="ij")
        return to_lab(np.stack([red, green, blue], axis=-1).reshape(-1, 3))

    @cached_property
    def _memberships(self) -> Float:
        """How much each cell counts for each colour of the grid, shape (cells, image_dim), sum 1 each."""
        scale = np.array([_LIGHTNESS_SHARE, 1.0, 1.0])
        squared = (((self._lab[:, None] - _colors()[None]) * scale) ** 2).sum(axis=2)
        nearness = np.exp(-(squared - squared.min(axis=1, keepdims=True)) / (2 * _WIDTH**2))
        shares: Float = (nearness / nearness.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares


def to_lab(rgb: np.ndarray) -> Float:
    """Convert sRGB from 0 to 1 to CIELAB (D65), shape (..., 3)."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ matrix.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def _colors() -> np.ndarray:
    """Return the colours of the grid in CIELAB, shape (image_dim, 3)."""
    steps = range(-_RINGS, _RINGS + 1)
    inside = [(a, b) for a in steps for b in steps if a * a + b * b <= _RINGS**2]
    return np.array([(light, a * _STEP, b * _STEP) for light in _LIGHTNESS for a, b in inside])


def _border() -> np.ndarray:
    mask = np.ones((_SIDE, _SIDE), bool)
    mask[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return mask


def _centre() -> np.ndarray:
    place = (np.arange(_SIDE) - (_SIDE - 1) / 2) / (_SIDE / 2)
    return np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * _CENTRE_WIDTH**2))
