"""An open_clip model's text tower: texts of like length together, each read up to its end where that is exact."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recommender.blocks import unit
from recommender.encoders.base import Vectors
from recommender.encoders.gpu import OnGpu


class ClipTexts:
    """Unit vectors (b, dim) of texts.

    Parameters
    ----------
    model
        An open_clip model.
    tokenizer
        The tokenizer that belongs to it.
    dim
        Length of the vectors.
    batch_size
        Texts a forward pass.
    """

    def __init__(self, model: Any, tokenizer: Any, dim: int, batch_size: int) -> None:
        self._tokenizer, self._dim, self._batch_size = tokenizer, dim, batch_size
        causal = _Causal.of(model)
        self._ends = causal.ends if causal else _all_of_it
        self._model: Any = (causal or _Whole(model)).eval()
        if torch.cuda.is_available():
            self._model = OnGpu(self._model)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts, none of them empty."""
        out = np.empty((len(texts), self._dim), np.float32)
        if not texts:
            return out
        tokens: Tensor = self._tokenizer(list(texts))
        ends = self._ends(tokens).numpy()
        order = np.argsort(ends, kind="stable")
        batches = np.split(order, range(self._batch_size, len(order), self._batch_size))
        found = [self._vectors(tokens.numpy()[rows, : ends[rows].max() + 1]) for rows in batches]
        out[order] = np.concatenate([vectors.cpu().numpy() for vectors in found])
        return unit(out)

    def _vectors(self, tokens: NDArray[np.int64]) -> Tensor:
        if isinstance(self._model, OnGpu):
            return self._model(tokens)
        with torch.inference_mode():
            vectors: Tensor = self._model(torch.from_numpy(tokens))
        return vectors


class _Causal(nn.Module):
    """A tower that reads from left to right and takes the vector of a text's end: what follows changes nothing.

    Parameters
    ----------
    tower
        Where the layers are.
    end
        The token that ends a text; None where it is the highest one.
    """

    def __init__(self, tower: Any, end: int | None) -> None:
        super().__init__()
        self.tower, self._end = tower, end

    @classmethod
    def of(cls, model: Any) -> "_Causal | None":
        """Return a model's tower, None if it is another kind."""
        from open_clip.model import CLIP
        from open_clip.transformer import TextTransformer

        tower = model if isinstance(model, CLIP) else getattr(model, "text", None)
        if not isinstance(tower, CLIP | TextTransformer) or tower.attn_mask is None:
            return None
        if getattr(tower, "cls_emb", None) is not None:
            return None
        prefix = "text_" if isinstance(tower, CLIP) else ""
        pooling = getattr(tower, f"{prefix}pool_type")
        if pooling not in ("argmax", "eos"):
            return None
        return cls(tower, getattr(tower, f"{prefix}eos_id") if pooling == "eos" else None)

    def ends(self, tokens: Tensor) -> Tensor:
        """Return where texts end (b,) in their tokens (b, length)."""
        return (tokens if self._end is None else (tokens == self._end).int()).argmax(dim=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the vectors of texts that are cut after the longest one's end."""
        tower, length = self.tower, tokens.shape[1]
        hidden = tower.token_embedding(tokens) + tower.positional_embedding[:length]
        hidden = tower.transformer(hidden, attn_mask=tower.attn_mask[:length, :length])
        found = tower.ln_final(hidden[torch.arange(len(tokens), device=tokens.device), self.ends(tokens)])
        if isinstance(tower.text_projection, nn.Linear):
            found = tower.text_projection(found)
        elif tower.text_projection is not None:
            found = found @ tower.text_projection
        return found


class _Whole(nn.Module):
    """Any other tower, such as SigLIP's: it looks at what a text is filled up with, too."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        vectors: Tensor = self.model.encode_text(tokens)
        return vectors


def _all_of_it(tokens: Tensor) -> Tensor:
    return torch.full((len(tokens),), tokens.shape[1] - 1)
