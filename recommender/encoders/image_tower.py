"""A torch model of images to vectors, with photos fitted to it ahead; on the GPU if there is one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from recommender.encoders.base import Vectors
from recommender.encoders.gpu import OnGpu


class ImageTower:
    """Vectors (b, dim) of RGB images.

    Parameters
    ----------
    model
        From normalised pixels (b, 3, height, width) to vectors (b, dim).
    transform
        What open_clip and timm make for a model: steps from image to image, then to a tensor, then normalised.
    dim
        Length of the vectors.
    batch_size
        Images a forward pass.
    """

    def __init__(self, model: nn.Module, transform: Any, dim: int, batch_size: int) -> None:
        *self._steps, _, normalize = transform.transforms
        self._dim, self._batch_size = dim, batch_size
        self._model: Any = _OfPixels(model, normalize.mean, normalize.std).eval()
        if torch.cuda.is_available():
            self._model = OnGpu(self._model)

    def fitted(self, image: Image.Image) -> Image.Image:
        """See `recommender.encoders.base.Fits`."""
        for step in self._steps:
            image = step(image)
        return image

    def __call__(self, images: Sequence[Image.Image]) -> Vectors:
        """Return the vectors of RGB images of any size."""
        starts = range(0, len(images), self._batch_size)
        batches = [self._vectors(images[start : start + self._batch_size]) for start in starts]
        vectors = [batch.cpu().numpy() for batch in batches]  # only now is a GPU waited for
        return np.concatenate([np.empty((0, self._dim), np.float32), *vectors])

    def _vectors(self, images: Sequence[Image.Image]) -> Tensor:
        pixels = np.stack([np.asarray(self.fitted(image)) for image in images])
        if isinstance(self._model, OnGpu):
            return self._model(pixels)
        with torch.inference_mode():
            vectors: Tensor = self._model(torch.from_numpy(pixels))
        return vectors


class _OfPixels(nn.Module):
    """A model of pixels as they lie in memory, (b, height, width, 3), 0 to 255: a quarter of what floats take."""

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", 255 * torch.as_tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.as_tensor(std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.model((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return vectors
