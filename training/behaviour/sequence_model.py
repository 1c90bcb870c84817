"""The model of how products are shopped for: item vectors and the transformer that reads them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recommender.core.blocks import Float, Rows
from recommender.towers.category import Bags
from recommender.towers.sequence import GAPS, WINDOW
from training.behaviour.sequences import Batch

DIM = 64
DROPOUT = 0.4
MOST_VALUES = 64  # column values of a product that are read
OWN_DROPPED = 0.1  # share of products whose own part is hidden in a step, so that content learns to stand alone


@dataclass(frozen=True)
class Content:
    """What a product's behaviour vector can be learned from beside its events.

    Parameters
    ----------
    dense
        Image and text blocks side by side, filled, shape (n, d_c); d_c may be 0.
    values
        The rows of a table of column values that each product looks up, shape (n, l), padded with 0.
    weights
        The weight of each, 0 where padded, shape (n, l).
    size
        Rows of the table, at least 1.
    """

    dense: Float
    values: Rows
    weights: Float
    size: int

    @classmethod
    def of(cls, dense: Float, bags: Bags | None, size: int) -> "Content":
        """Pad the bags of all products to one length."""
        n = len(dense)
        if bags is None:
            return cls(dense, np.zeros((n, 1), np.int32), np.zeros((n, 1), np.float32), max(size, 1))
        lengths = np.diff(np.append(bags.starts, len(bags.entries)))
        item = np.repeat(np.arange(n), lengths)
        place = np.arange(len(item)) - bags.starts[item]
        kept = place < MOST_VALUES
        shape = (n, min(int(lengths.max()), MOST_VALUES))
        values, weights = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        values[item[kept], place[kept]] = bags.entries[kept]
        weights[item[kept], place[kept]] = bags.weights[kept]
        return cls(dense, values, weights, size)


class Attention(nn.Module):
    """One head of causal self-attention over normalised steps; plain, so that it exports for any length."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(DIM)
        self.into = nn.Linear(DIM, 3 * DIM)
        self.out = nn.Linear(DIM, DIM)

    def forward(self, steps: Tensor, places: Tensor) -> Tensor:
        """Return what each step takes from itself and those before, shape (b, t, DIM)."""
        asked, keys, values = self.into(self.norm(steps)).chunk(3, dim=-1)
        past = places[:, None] >= places[None, :]
        dropped = DROPOUT if self.training else 0.0
        found = F.scaled_dot_product_attention(asked, keys, values, attn_mask=past, dropout_p=dropped)
        taken: Tensor = self.out(found)
        return taken


class SequenceModel(nn.Module):
    """SASRec over items that are the sum of a part of their own and of what their content says.

    Raw inner products, not cosines: a vector's length is how much is known and chosen of it. Measured on one
    public shop's next purchases, cosines with a learned temperature lost a tenth of NDCG@10.

    Parameters
    ----------
    n
        Number of products.
    kinds
        Number of event names.
    content
        Of the n products.
    """

    content_dense: Tensor
    content_values: Tensor
    content_weights: Tensor

    def __init__(self, n: int, kinds: int, content: Content) -> None:
        super().__init__()
        self.own = nn.Embedding(n, DIM)
        self.dense = nn.Linear(content.dense.shape[1], DIM, bias=False) if content.dense.shape[1] else None
        self.values = nn.EmbeddingBag(content.size, DIM, mode="sum")
        self.place = nn.Embedding(WINDOW, DIM)
        self.kind = nn.Embedding(kinds + 1, DIM)
        self.gap = nn.Embedding(GAPS, DIM)
        self.attention = Attention()
        self.feed = nn.Sequential(
            nn.LayerNorm(DIM), nn.Linear(DIM, 4 * DIM), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(4 * DIM, DIM)
        )
        self.norm = nn.LayerNorm(DIM)
        self.dropout = nn.Dropout(DROPOUT)
        for table in (self.own, self.values, self.place):
            nn.init.normal_(table.weight, std=0.02)
        for table in (self.kind, self.gap):  # neutral where training has nothing to tell
            nn.init.zeros_(table.weight)
        for name in ("dense", "values", "weights"):
            array = np.ascontiguousarray(getattr(content, name))
            self.register_buffer(f"content_{name}", torch.from_numpy(array), persistent=False)

    def items(self, rows: Tensor) -> Tensor:
        """Return the vectors of products, shape (u, DIM); in training some without their own part."""
        own = self.own(rows)
        if self.training:
            own = own * (torch.rand(len(rows), 1, device=rows.device) >= OWN_DROPPED)
        return own + self.said(rows)

    def said(self, rows: Tensor) -> Tensor:
        """Return what the content says of products, shape (u, DIM)."""
        said: Tensor = self.values(self.content_values[rows], per_sample_weights=self.content_weights[rows])
        return said if self.dense is None else said + self.dense(self.content_dense[rows])

    def forward(self, vectors: Tensor, kinds: Tensor, gaps: Tensor) -> Tensor:
        """Return the query after each event, shape (b, t, DIM).

        Parameters
        ----------
        vectors
            Of the products, shape (b, t, DIM).
        kinds, gaps
            Shape (b, t).
        """
        places = torch.arange(vectors.shape[1], device=vectors.device)
        steps = self.dropout(vectors * DIM**0.5 + self.place(places) + self.kind(kinds) + self.gap(gaps))
        steps = steps + self.dropout(self.attention(steps, places))
        steps = steps + self.dropout(self.feed(steps))
        answered: Tensor = self.norm(steps)
        return answered

    def loss(self, batch: Batch, negatives: Tensor) -> Tensor:
        """Return the sampled softmax of the next product (eSASRec: Tikhonovich et al., RecSys 2025).

        Parameters
        ----------
        batch
            b windows.
        negatives
            Rows drawn at random, shape (negatives,).
        """
        read, wanted = batch.rows[:, :-1], batch.rows[:, 1:]
        asked = wanted >= 0
        right = wanted[asked]
        rows, place = torch.unique(torch.cat([read.clamp(min=0).flatten(), right, negatives]), return_inverse=True)
        items = self.items(rows)
        of_read, of_right, of_others = place.split([read.numel(), len(right), len(negatives)])
        vectors = items[of_read].view(*read.shape, DIM)
        queries = self(vectors, batch.kinds[:, :-1], batch.gaps[:, :-1])[asked]
        hit = (queries * items[of_right]).sum(dim=1, keepdim=True)
        missed = (queries @ items[of_others].T).masked_fill(negatives == right[:, None], float("-inf"))
        target = torch.zeros(len(right), dtype=torch.long, device=right.device)
        return F.cross_entropy(torch.cat([hit, missed], dim=1), target)
