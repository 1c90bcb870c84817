"""Encode images with a torch model; preprocessing can run apart."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from recommender.encoders.base import Vectors
from recommender.encoders.support.forward import Forward, Int8Forward


class ImageTower:
    """Vectors (b, dim) of RGB images.

    Parameters
    ----------
    model
        From normalized pixels (b, 3, height, width) to vectors (b, dim).
    transform
        As open_clip and timm make it: steps from image to image, then to a tensor, then normalized.
    dim
        Dimension of the vectors.
    batch_size
        Images per forward pass.
    """

    def __init__(self, model: nn.Module, transform: Any, dim: int, batch_size: int) -> None:
        *self._steps, _, normalize = transform.transforms
        self._dim, self._module = dim, _OfPixels(model, normalize.mean, normalize.std)
        self._forward: Forward | Int8Forward = Forward(self._module, batch_size)

    def quantized(self) -> "ImageTower":
        """Return the tower with int8 weights, to run on a CPU."""
        tower, image = copy(self), np.array(self.preprocess(Image.new("RGB", (64, 64))))
        tower._forward = Int8Forward(self._module, torch.from_numpy(np.stack([image, image])), {0: "b"})
        return tower

    def preprocess(self, image: Image.Image) -> Image.Image:
        """See `recommender.encoders.base.Preprocesses`."""
        for step in self._steps:
            image = step(image)
        return image

    def __call__(self, images: Sequence[Image.Image]) -> Vectors:
        """Return the vectors of RGB images of any size."""
        size = self._forward.batch_size
        parts = (images[start : start + size] for start in range(0, len(images), size))
        batches = (np.stack([np.asarray(self.preprocess(image)) for image in part]) for part in parts)
        return np.concatenate([np.empty((0, self._dim), np.float32), *self._forward(batches)])


class _OfPixels(nn.Module):
    """A model with uint8 pixels (b, height, width, 3) as input: a quarter of the memory of floats."""

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.mean = nn.Buffer(255 * torch.as_tensor(mean)[:, None, None], persistent=False)
        self.std = nn.Buffer(255 * torch.as_tensor(std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.model((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return vectors
