"""Sentence vectors from a transformer: pooled last layer, batches of similar length, ONNX Runtime or GPU."""

from collections.abc import Sequence
from copy import copy
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recommender.core.blocks import unit
from recommender.encoders.base import Vectors
from recommender.encoders.support.gpu import OnGpu
from recommender.encoders.support.onnx_tower import OnnxTower, exported, quantize

Pooling = Literal["mean", "last", "first"]
_CPU_BATCH = 8  # on a CPU, see `OnnxTower`


class SentenceTower:
    """Unit sentence vectors (b, dim) of tokens.

    Parameters
    ----------
    model
        A transformer of the Hugging Face kind.
    pooling
        Of the tokens' vectors: their mean, the last (for a causal model), or the first (BERT's CLS).
    batch_size
        Texts per forward pass on a GPU.
    """

    def __init__(self, model: Any, pooling: Pooling, batch_size: int) -> None:
        self.dim = int(model.config.hidden_size)
        self._pooling = pooling
        self._on_gpu = torch.cuda.is_available()
        self._batch_size = batch_size if self._on_gpu else _CPU_BATCH
        self._model = _LastLayer(model.eval())
        self._layer = OnGpu(self._model) if self._on_gpu else OnnxTower(_exported(self._model))

    def quantized(self) -> "SentenceTower":
        """Return the tower with int8 weights, to run on a CPU; it takes some seconds."""
        tower = copy(self)
        tower._layer = OnnxTower(quantize(_exported(self._model.cpu())))
        tower._batch_size = 1  # activations are scaled by a batch's largest: a row would depend on its neighbours
        return tower

    def __call__(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        """Return the vectors of tokenized texts, none of them empty."""
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))  # less padding
        out = np.empty((len(tokens), self.dim), np.float32)
        ordered = [tokens[row] for row in order]
        if isinstance(self._layer, OnnxTower):
            vectors = self._layer.map(self._sentences, ordered, self._batch_size)
        else:
            starts = range(0, len(ordered), self._batch_size)
            vectors = [self._sentences(ordered[start : start + self._batch_size]) for start in starts]
        out[order] = np.concatenate([out[:0], *vectors])
        return out

    def _sentences(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        ids = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(tokens):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        return unit(self._pooled(self._hidden(ids, mask), mask))

    def _hidden(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        if isinstance(self._layer, OnnxTower):
            return self._layer(ids=ids, mask=mask)
        return self._layer(ids, mask).cpu().numpy()

    def _pooled(self, hidden: Vectors, mask: NDArray[np.int64]) -> Vectors:
        if self._pooling == "mean":
            return (hidden * mask[:, :, None]).sum(axis=1)
        token = mask.sum(axis=1) - 1 if self._pooling == "last" else np.zeros(len(mask), np.int64)
        return hidden[np.arange(len(mask)), token]


def _exported(model: nn.Module) -> bytes:
    tokens = torch.ones(2, 8, dtype=torch.long)
    return exported(model, {"ids": tokens, "mask": tokens}, {0: "b", 1: "length"})


class _LastLayer(nn.Module):
    """A transformer as a function of two tensors, which can be exported."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden: Tensor = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden
