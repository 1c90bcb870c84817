"""The sequence model: item vectors and a causal transformer over a user's events (SASRec)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recommender.core.blocks import Float, Rows
from recommender.towers.category import Bags
from recommender.towers.sequence import GAPS, WINDOW
from training.behaviour.loss import SampledSoftmax
from training.behaviour.sequences import Batch
from training.checkpoint import Weights, trainable_state

DIM = 64
DROPOUT = 0.4
MAX_VALUES = 96  # column values and words of a product that are used
NEGATIVES = 1_024
MAX_DENSE_ROWS = 50_000  # products; with more, most of a step would go into rows that it does not use
ITEM_WEIGHTS = ("ids.", "dense.", "values.")
ID_DROPOUT = 0.1  # share of products without their id embedding in a step, so that content learns to stand alone


@dataclass(frozen=True)
class ItemContent:
    """Features of the products from which behaviour vectors are predicted.

    Parameters
    ----------
    dense
        Image and text blocks side by side, imputed where missing, shape (n, d_c); d_c may be 0.
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
    def of(cls, dense: Float, bags: Bags | None, size: int) -> "ItemContent":
        """Pad the column values of all products to one length."""
        n = len(dense)
        if bags is None:
            return cls(dense, np.zeros((n, 1), np.int32), np.zeros((n, 1), np.float32), max(size, 1))
        lengths = np.diff(np.append(bags.starts, len(bags.entries)))
        item = np.repeat(np.arange(n), lengths)
        position = np.arange(len(item)) - bags.starts[item]
        used = position < MAX_VALUES
        shape = (n, min(int(lengths.max()), MAX_VALUES))
        values, weights = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        values[item[used], position[used]] = bags.entries[used]
        weights[item[used], position[used]] = bags.weights[used]
        return cls(dense, values, weights, size)


class Dropout(nn.Module):
    """Dropout from the model's own generator, so that models train side by side and each is reproducible.

    A random byte decides on an entry: many times as fast on a CPU as `torch.nn.Dropout`, whose generator draws
    one number after the other.

    Parameters
    ----------
    share
        Of the entries that become 0, rounded to 1/256; the others are scaled up.
    generator
        Of the random bytes.
    """

    def __init__(self, share: float, generator: np.random.Generator) -> None:
        super().__init__()
        self.dropped = round(share * 256)
        self.generator = generator

    def forward(self, values: Tensor) -> Tensor:
        """Return the values with some set to 0, in training; unchanged otherwise."""
        if not self.training:
            return values
        words = self.generator.integers(2**64, size=-(-values.numel() // 8), dtype=np.uint64)
        random = torch.from_numpy(words.view(np.uint8)[: values.numel()]).view(values.shape)
        scale = 256 / (256 - self.dropped)
        return values * (random.to(values.device) >= self.dropped).to(values.dtype).mul_(scale)


class Attention(nn.Module):
    """One head of causal self-attention over normalised steps; plain, so that it exports for any length."""

    def __init__(self, dropout: Dropout) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm = nn.LayerNorm(DIM)
        self.into = nn.Linear(DIM, 3 * DIM)
        self.out = nn.Linear(DIM, DIM)

    def forward(self, steps: Tensor, positions: Tensor) -> Tensor:
        """Return the attention of each step to itself and those before, shape (b, t, DIM)."""
        queries, keys, values = self.into(self.norm(steps)).chunk(3, dim=-1)
        causal = positions[:, None] >= positions[None, :]
        scores = (queries * DIM**-0.5 @ keys.transpose(1, 2)).masked_fill(~causal, float("-inf"))
        output: Tensor = self.out(self.dropout(scores.softmax(dim=-1)) @ values)
        return output


class SequenceModel(nn.Module):
    """SASRec over items whose vectors are the sum of an id embedding and a projection of their content.

    It scores by inner products, not cosines: a vector's length says how much is known of a product and how often
    it is chosen. Measured on one public shop's next purchases, cosines with a learned temperature lost a tenth of
    NDCG@10.

    Parameters
    ----------
    n
        Number of products.
    kinds
        Number of event names.
    content
        Of the n products.
    generator
        Of dropout.
    """

    content_dense: Tensor
    content_values: Tensor
    content_weights: Tensor

    def __init__(self, n: int, kinds: int, content: ItemContent, generator: np.random.Generator) -> None:
        super().__init__()
        self.ids = nn.Embedding(n, DIM, sparse=n > MAX_DENSE_ROWS)
        self.dense = nn.Linear(content.dense.shape[1], DIM, bias=False) if content.dense.shape[1] else None
        self.values = nn.EmbeddingBag(content.size, DIM, mode="sum")
        self.position = nn.Embedding(WINDOW, DIM)
        self.kind = nn.Embedding(kinds + 1, DIM)
        self.gap = nn.Embedding(GAPS, DIM)
        self.generator, self.dropout = generator, Dropout(DROPOUT, generator)
        self.attention = Attention(self.dropout)
        self.feed = nn.Sequential(
            nn.LayerNorm(DIM), nn.Linear(DIM, 4 * DIM), nn.GELU(), self.dropout, nn.Linear(4 * DIM, DIM)
        )
        self.norm = nn.LayerNorm(DIM)
        for table in (self.ids, self.values, self.position):
            nn.init.normal_(table.weight, std=0.02)
        for table in (self.kind, self.gap):  # neutral for classes that training never sees
            nn.init.zeros_(table.weight)
        for name in ("dense", "values", "weights"):
            array = np.ascontiguousarray(getattr(content, name))
            self.register_buffer(f"content_{name}", torch.from_numpy(array), persistent=False)

    def item_vectors(self, rows: Tensor) -> Tensor:
        """Return the vectors of products, shape (u, DIM); in training some without their id embedding."""
        ids = self.ids(rows)
        if self.training:
            with_id = self.generator.random((len(rows), 1), dtype=np.float32) >= ID_DROPOUT
            ids = ids * torch.from_numpy(with_id).to(rows.device)
        return ids + self.content_vectors(rows)

    def content_vectors(self, rows: Tensor) -> Tensor:
        """Return the content part of product vectors, shape (u, DIM)."""
        columns: Tensor = self.values(self.content_values[rows], per_sample_weights=self.content_weights[rows])
        return columns if self.dense is None else columns + self.dense(self.content_dense[rows])

    def transformer_state(self) -> Weights:
        """Return copies, on the CPU, of the weights that are not of items."""
        return {name: w for name, w in trainable_state(self).items() if not name.startswith(ITEM_WEIGHTS)}

    def forward(self, vectors: Tensor, kinds: Tensor, gaps: Tensor) -> Tensor:
        """Return the query after each event, shape (b, t, DIM).

        Parameters
        ----------
        vectors
            Of the products, shape (b, t, DIM).
        kinds, gaps
            Shape (b, t).
        """
        positions = torch.arange(vectors.shape[1], device=vectors.device)
        steps = self.dropout(vectors * DIM**0.5 + self.position(positions) + self.kind(kinds) + self.gap(gaps))
        steps = steps + self.dropout(self.attention(steps, positions))
        steps = steps + self.dropout(self.feed(steps))
        queries: Tensor = self.norm(steps)
        return queries

    def loss(self, batch: Batch, negatives: Tensor, mixed: bool = False) -> Tensor:
        """Return the sampled softmax loss of the next product (eSASRec: Tikhonovich et al., RecSys 2025).

        Parameters
        ----------
        batch
            b windows.
        negatives
            Different rows sampled at random, ascending, shape (negatives,).
        mixed
            Whether the matrix products of the transformer are taken in bfloat16; the softmax never is.
        """
        inputs, targets = batch.rows[:, :-1], batch.rows[:, 1:]
        valid = targets >= 0
        positives = targets[valid]
        rows, inverse = torch.unique(
            torch.cat([inputs.clamp(min=0).flatten(), positives, negatives]), return_inverse=True
        )
        of_inputs, of_positives, of_negatives = inverse.split([inputs.numel(), len(positives), len(negatives)])
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=mixed):
            items = self.item_vectors(rows).float()
            vectors = items[of_inputs].view(*inputs.shape, DIM)
            queries = self(vectors, batch.kinds[:, :-1], batch.gaps[:, :-1])[valid].float()
        same = torch.searchsorted(negatives, positives).clamp(max=len(negatives) - 1)
        same = torch.where(negatives[same] == positives, same, -1)
        # drawn with replacement, so many would have each of a small shop's items several times
        draws = NEGATIVES / len(negatives)
        loss: Tensor = SampledSoftmax.apply(queries, items[of_positives], items[of_negatives], same, draws)
        return loss
