"""Aligns text and image vectors: CLIP's contrastive objective over two frozen encoders.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021, with both towers
locked (Zhai et al., LiT, CVPR 2022) and a small network on each. 25,000 products take half a minute on two cores.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from recommender.core.blocks import Float
from recommender.progress import progress
from recommender.towers.projection import AlignedProjection, Head
from training.encoders.retrieval_metrics import hold_out, recall
from training.monitor import LossCurve

_HIDDEN = 512
_BATCH = 512
_EPOCHS = 8
_DROPOUT = 0.05
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-2
_MAX_SCALE = 100.0  # of the similarities, as in CLIP
_MAX_STEPS = 1200


def train_alignment(
    image: Float,
    text: Float,
    groups: NDArray[np.integer],
    seed: int,
    dim: int = 256,
    validation_share: float = 0.1,
) -> tuple[AlignedProjection, dict[str, Any]]:
    """Learn projections under which a product's image and text vectors are near each other.

    Parameters
    ----------
    image, text
        The encoder's vectors of the products that have both, shapes (p, d_image) and (p, d_text).
    groups
        Item group, shape (p,): variants are no negatives of each other, and are held out together.
    seed
        Of the split, the initial weights and the batches.
    dim
        d_a, the dimension of the shared space.
    validation_share
        Share of the groups that is held out for the metrics.

    Returns
    -------
    tuple
        The projection; and metrics: ``recall@1``, ``@5`` and ``@10`` of a held-out product's own image among
        all ``held_out`` images, with its text as the query; ``pairs``, ``epochs``, ``seconds`` and ``loss`` of the
        training.
    """
    started = time.monotonic()
    torch.manual_seed(seed)
    held_out = hold_out(groups, validation_share, np.random.default_rng(seed))
    towers = {"image": _Head(image[~held_out], dim), "text": _Head(text[~held_out], dim)}
    group = torch.from_numpy(np.unique(groups, return_inverse=True)[1])
    pairs = _Pairs(torch.from_numpy(image), torch.from_numpy(text), group)
    epochs, curve = _train(towers["image"], towers["text"], pairs, torch.from_numpy(np.flatnonzero(~held_out)))
    projection = AlignedProjection(towers["image"].export(), towers["text"].export())
    metrics: dict[str, Any] = recall(projection.text(text[held_out]), projection.image(image[held_out]))
    metrics |= {
        "held_out": int(held_out.sum()),
        "pairs": int((~held_out).sum()),
        "epochs": epochs,
        "seconds": round(time.monotonic() - started, 1),
        "loss": curve.means(),
    }
    return projection, metrics


class _Head(nn.Module):
    """The trainable form of `Head`: one modality's network over standardised encoder vectors."""

    def __init__(self, x: Float, dim: int) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.from_numpy(x.mean(0)))
        self.scale = nn.Buffer(torch.from_numpy(x.std(0) + 1e-6))
        self.inner, self.outer = nn.Linear(x.shape[1], _HIDDEN), nn.Linear(_HIDDEN, dim)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.inner(self.dropout((x - self.mean) / self.scale)).relu()
        return normalize(self.outer(self.dropout(hidden)), dim=1)

    def export(self) -> Head:
        parts = (self.mean, self.scale, self.inner.weight.T, self.inner.bias, self.outer.weight.T, self.outer.bias)
        return Head(*(part.detach().numpy().copy() for part in parts))


@dataclass(frozen=True)
class _Pairs:
    image: Tensor
    text: Tensor
    group: Tensor


def _train(image: _Head, text: _Head, pairs: _Pairs, rows: Tensor) -> tuple[int, LossCurve]:
    """Train both heads and the temperature; return the number of epochs and the loss curve."""
    temperature = nn.Parameter(torch.tensor(1 / 0.07).log())
    parameters = [*image.parameters(), *text.parameters(), temperature]
    size = min(_BATCH, len(rows))
    batches_per_epoch = len(rows) // size
    epochs = max(1, min(_EPOCHS, _MAX_STEPS // batches_per_epoch))
    optimizer = torch.optim.AdamW(parameters, _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _LEARNING_RATE, total_steps=epochs * batches_per_epoch, pct_start=0.1
    )
    curve = LossCurve(epochs * batches_per_epoch)
    for batch in progress(
        _batches(rows, size, epochs), "aligning texts and images", epochs * batches_per_epoch, "batch"
    ):
        similarity = image(pairs.image[batch]) @ text(pairs.text[batch]).T
        loss = _contrastive_loss(similarity * temperature.exp().clamp(max=_MAX_SCALE), pairs.group[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        curve.add(loss)
    for tower in (image, text):
        tower.eval()
    return epochs, curve


def _batches(rows: Tensor, size: int, epochs: int) -> Iterator[Tensor]:
    for _ in range(epochs):
        shuffled = rows[torch.randperm(len(rows))]
        yield from shuffled[: len(rows) // size * size].split(size)


def _contrastive_loss(logits: Tensor, group: Tensor) -> Tensor:
    """Return InfoNCE in both directions; a variant of the same product is neither positive nor negative."""
    b = len(group)
    variants = (group[:, None] == group) & ~torch.eye(b, dtype=torch.bool)
    logits = logits.masked_fill(variants, -torch.inf)
    diagonal = torch.arange(b)
    return (cross_entropy(logits, diagonal) + cross_entropy(logits.T, diagonal)) / 2
