"""CLIP's objective over two frozen towers: projections that align a catalogue's own texts and photos.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021, with both towers
locked (Zhai et al., LiT, CVPR 2022) and a small network on each. On two cores: half a minute for 25,000 products.
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
from training.loss_curve import Curve

_HIDDEN = 512
_BATCH = 512
_EPOCHS = 8
_DROPOUT = 0.05
_RATE = 2e-3
_DECAY = 1e-2
_SHARPEST = 100.0  # the most that similarities are multiplied by, as in CLIP
_MOST_STEPS = 1200


def train_projection(
    image: Float,
    text: Float,
    groups: NDArray[np.integer],
    seed: int,
    dim: int = 256,
    validation_share: float = 0.1,
) -> tuple[AlignedProjection, dict[str, Any]]:
    """Learn to project a product's photo and its text to near points.

    Parameters
    ----------
    image, text
        The encoder's vectors of the products that have both, shapes (p, d_image) and (p, d_text).
    groups
        Item group (p,): variants are no negatives of each other, and are held out together.
    seed
        Of the split, the initial weights and the batches.
    dim
        d_a, the dimension of the shared space.
    validation_share
        Share of the groups that is held out for the figures.

    Returns
    -------
    tuple
        The projection, and figures: ``recall@1``, ``@5`` and ``@10`` of a held-out product's own photo among
        all ``held_out`` photos, asked with its text; ``pairs``, ``epochs``, ``seconds`` and ``loss`` of training.
    """
    started = time.monotonic()
    torch.manual_seed(seed)
    held = hold_out(groups, validation_share, np.random.default_rng(seed))
    towers = {"image": _Head(image[~held], dim), "text": _Head(text[~held], dim)}
    own = torch.from_numpy(np.unique(groups, return_inverse=True)[1])
    pairs = _Pairs(torch.from_numpy(image), torch.from_numpy(text), own)
    epochs, curve = _train(towers["image"], towers["text"], pairs, torch.from_numpy(np.flatnonzero(~held)))
    projection = AlignedProjection(towers["image"].exported(), towers["text"].exported())
    figures: dict[str, Any] = recall(projection.text(text[held]), projection.image(image[held]))
    figures |= {
        "held_out": int(held.sum()),
        "pairs": int((~held).sum()),
        "epochs": epochs,
        "seconds": round(time.monotonic() - started, 1),
        "loss": curve.stated(),
    }
    return projection, figures


class _Head(nn.Module):
    """One modality's network over standardised encoder vectors; see `Head`."""

    def __init__(self, x: Float, dim: int) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.from_numpy(x.mean(0)))
        self.scale = nn.Buffer(torch.from_numpy(x.std(0) + 1e-6))
        self.inner, self.outer = nn.Linear(x.shape[1], _HIDDEN), nn.Linear(_HIDDEN, dim)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.inner(self.dropout((x - self.mean) / self.scale)).relu()
        return normalize(self.outer(self.dropout(hidden)), dim=1)

    def exported(self) -> Head:
        parts = (self.mean, self.scale, self.inner.weight.T, self.inner.bias, self.outer.weight.T, self.outer.bias)
        return Head(*(part.detach().numpy().copy() for part in parts))


@dataclass(frozen=True)
class _Pairs:
    image: Tensor
    text: Tensor
    group: Tensor


def _train(image: _Head, text: _Head, pairs: _Pairs, rows: Tensor) -> tuple[int, Curve]:
    """Train both heads and the temperature; return the epochs and the loss."""
    temperature = nn.Parameter(torch.tensor(1 / 0.07).log())
    parameters = [*image.parameters(), *text.parameters(), temperature]
    size = min(_BATCH, len(rows))
    a_epoch = len(rows) // size
    epochs = max(1, min(_EPOCHS, _MOST_STEPS // a_epoch))
    optimizer = torch.optim.AdamW(parameters, _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=epochs * a_epoch, pct_start=0.1)
    curve = Curve(epochs * a_epoch)
    for batch in progress(_batches(rows, size, epochs), "aligning texts and photos", epochs * a_epoch, "batch"):
        similarity = image(pairs.image[batch]) @ text(pairs.text[batch]).T
        loss = _contrast(similarity * temperature.exp().clamp(max=_SHARPEST), pairs.group[batch])
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


def _contrast(logits: Tensor, group: Tensor) -> Tensor:
    """Return InfoNCE both ways; a variant of the same product is neither positive nor negative."""
    b = len(group)
    variants = (group[:, None] == group) & ~torch.eye(b, dtype=torch.bool)
    logits = logits.masked_fill(variants, -torch.inf)
    own = torch.arange(b)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
