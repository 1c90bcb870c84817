"""Forward passes of a torch module over batches: on a GPU, on the CPU, or int8 on the CPU."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recommender.encoders.base import Vectors
from recommender.encoders.support.gpu import OnGpu
from recommender.encoders.support.onnx_tower import OnnxTower, exported, quantize


class Forward:
    """A module run by torch, on the GPU if there is one.

    Parameters
    ----------
    module
        With one input and one output.
    batch_size
        Rows of a batch.
    """

    def __init__(self, module: nn.Module, batch_size: int) -> None:
        self.batch_size = batch_size
        self.module: Any = OnGpu(module.eval()) if torch.cuda.is_available() else module.eval()

    def __call__(self, batches: Iterable[NDArray[Any]]) -> list[Vectors]:
        """Return the output for every batch; a GPU is synchronized only when all of them are queued."""
        return [output.cpu().numpy() for output in [self._output(batch) for batch in batches]]

    def _output(self, batch: NDArray[Any]) -> Tensor:
        if isinstance(self.module, OnGpu):
            return self.module(batch)
        with torch.inference_mode():
            output: Tensor = self.module(torch.from_numpy(batch))
        return output


class Int8Forward:
    """A module run on the CPU with int8 weights of its matrix products; quantized on first use.

    Parameters
    ----------
    module
        With one input and one output.
    example
        An input of two rows.
    axes
        See `exported`.
    """

    batch_size = 1  # activations are scaled by a batch's largest: a row would depend on its neighbours

    def __init__(self, module: nn.Module, example: Tensor, axes: Mapping[int, str]) -> None:
        self._module, self._example, self._axes = module, example, axes

    def __call__(self, batches: Iterable[NDArray[Any]]) -> list[Vectors]:
        """Return the output for every batch."""
        return self._tower.map(lambda batch: self._tower(x=batch[0]), list(batches), 1)

    @cached_property
    def _tower(self) -> OnnxTower:
        return OnnxTower(quantize(exported(self._module, {"x": self._example}, self._axes)))
