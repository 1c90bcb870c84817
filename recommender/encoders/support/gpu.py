"""Run a torch model on a GPU: half precision, channels-last layout, asynchronous copies."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


class OnGpu:
    """A model on the GPU that takes arrays; it is synchronized when the caller fetches the output.

    Parameters
    ----------
    model
        A torch module in evaluation mode, with one output. It is moved to the GPU.
    """

    def __init__(self, model: Any) -> None:
        self._model = model.to("cuda", memory_format=torch.channels_last)

    def __call__(self, *inputs: NDArray[Any]) -> Tensor:
        """Return the output for one batch, float32, on the GPU."""
        tensors = [self._to_gpu(torch.from_numpy(array)) for array in inputs]
        with torch.inference_mode(), torch.autocast("cuda"):
            output: Tensor = self._model(*tensors)
        return output.float()

    def _to_gpu(self, array: Tensor) -> Tensor:
        return array.pin_memory().to("cuda", non_blocking=True)
