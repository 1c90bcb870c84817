"""A torch model on a GPU: half precision, pixels as they lie in memory, and copies that nobody waits for."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


class OnGpu:
    """A model that takes arrays and is not waited for: the caller does when it fetches the output.

    Parameters
    ----------
    model
        A torch module in evaluation mode, with one output. It is moved to the GPU.
    """

    def __init__(self, model: Any) -> None:
        self._model = model.to("cuda", memory_format=torch.channels_last)

    def __call__(self, *inputs: NDArray[Any]) -> Tensor:
        """Return the output for one batch, float32, on the GPU."""
        sent = [self._sent(torch.from_numpy(array)) for array in inputs]
        with torch.inference_mode(), torch.autocast("cuda"):
            output: Tensor = self._model(*sent)
        return output.float()

    def _sent(self, array: Tensor) -> Tensor:
        return array.pin_memory().to("cuda", non_blocking=True)
