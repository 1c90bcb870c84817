"""The text tower of an open_clip model: batches of similar length, padding left out where that is exact."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recommender.core.blocks import unit
from recommender.encoders.base import Vectors
from recommender.encoders.support.forward import Forward, Int8Forward


class ClipTexts:
    """Unit vectors (b, dim) of texts.

    Parameters
    ----------
    model
        An open_clip model.
    tokenizer
        Its tokenizer.
    dim
        Dimension of the vectors.
    batch_size
        Texts per forward pass.
    """

    def __init__(self, model: Any, tokenizer: Any, dim: int, batch_size: int) -> None:
        self._tokenizer, self._dim = tokenizer, dim
        causal = _Causal.of(model)
        self._ends = causal.ends if causal else _last_positions
        self._module = causal or _Whole(model)
        self._forward: Forward | Int8Forward = Forward(self._module, batch_size)

    def quantized(self) -> "ClipTexts":
        """Return the tower with int8 weights, to run on a CPU."""
        tower = copy(self)
        tower._forward = Int8Forward(self._module, self._tokenizer(["a", "b"]), {0: "b", 1: "length"})
        return tower

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts, none of them empty."""
        out = np.empty((len(texts), self._dim), np.float32)
        if not texts:
            return out
        tokens: Tensor = self._tokenizer(list(texts))
        ends = self._ends(tokens).numpy()
        order = np.argsort(ends, kind="stable")
        batches = np.split(order, range(self._forward.batch_size, len(order), self._forward.batch_size))
        out[order] = np.concatenate(
            self._forward(tokens.numpy()[rows, : ends[rows].max() + 1] for rows in batches)
        )
        return unit(out)


class _Causal(nn.Module):
    """A causal tower pooled at the end-of-text token: padding after it changes nothing.

    Parameters
    ----------
    tower
        With the layers.
    end
        The end-of-text token; None where it is the highest one.
    """

    def __init__(self, tower: Any, end: int | None) -> None:
        super().__init__()
        self.tower, self._end = tower, end

    @classmethod
    def of(cls, model: Any) -> "_Causal | None":
        """Return a model's tower, or None if it is of another kind."""
        from open_clip.model import CLIP
        from open_clip.transformer import ResidualAttentionBlock, TextTransformer

        tower = model if isinstance(model, CLIP) else getattr(model, "text", None)
        if not isinstance(tower, CLIP | TextTransformer) or tower.attn_mask is None:
            return None
        prefix = "text_" if isinstance(tower, CLIP) else ""
        pooling = getattr(tower, f"{prefix}pool_type")
        plain = all(isinstance(block, ResidualAttentionBlock) for block in tower.transformer.resblocks)
        if pooling not in ("argmax", "eos") or getattr(tower, "cls_emb", None) is not None or not plain:
            return None
        return cls(tower, getattr(tower, f"{prefix}eos_id") if pooling == "eos" else None)

    def ends(self, tokens: Tensor) -> Tensor:
        """Return the positions (b,) of the end-of-text token in tokens (b, length)."""
        return (tokens if self._end is None else (tokens == self._end).int()).argmax(dim=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the vectors of texts whose tokens are cut after the longest one's end."""
        tower = self.tower
        hidden = tower.token_embedding(tokens) + tower.positional_embedding[: tokens.shape[1]]
        for block in tower.transformer.resblocks:
            hidden = hidden + block.ls_1(_causal_attention(block.attn, block.ln_1(hidden)))
            hidden = hidden + block.ls_2(block.mlp(block.ln_2(hidden)))
        pooled = tower.ln_final(hidden[torch.arange(tokens.shape[0], device=tokens.device), self.ends(tokens)])
        if isinstance(tower.text_projection, nn.Linear):
            pooled = tower.text_projection(pooled)
        elif tower.text_projection is not None:
            pooled = pooled @ tower.text_projection
        return pooled


def _causal_attention(attention: nn.MultiheadAttention, hidden: Tensor) -> Tensor:
    """Apply causal self-attention; torch's own exports to ONNX for one length alone."""
    b, length, width = hidden.shape
    joined = F.linear(hidden, attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = joined.view(b, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    heads = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    output: Tensor = attention.out_proj(heads.transpose(1, 2).reshape(b, length, width))
    return output


class _Whole(nn.Module):
    """Any other tower, such as SigLIP's: it attends to padding, too."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        vectors: Tensor = self.model.encode_text(tokens)
        return vectors


def _last_positions(tokens: Tensor) -> Tensor:
    return torch.full((len(tokens),), tokens.shape[1] - 1)
