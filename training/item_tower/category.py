"""Trains the category embeddings: masked columns, agreement with the content, and what is bought together."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recommender.catalog import Catalog
from recommender.core.blocks import Float, Rows
from recommender.progress import progress
from recommender.towers.category import Bags, CategoryEmbedding, ColumnVocabulary, ancestry, bag
from training.loss_curve import Curve

DIM = 64
KNOTS = 16
BATCH = 512
STEPS = 1_500
TEMPERATURE = 0.1
DROPPED = 0.25  # share of an item's columns that are hidden, so that missing ones are learned
LEAST_COUNT = 2  # a value seen less often shares the unknown row


def learned_columns(catalog: Catalog) -> dict[str, Sequence[Any]]:
    """Return the cells of every column that the category block learns from, each of length n."""
    return {column.name: catalog.frame[column.name].tolist() for column in catalog.columns if column.learn}


def vocabularies(catalog: Catalog) -> tuple[ColumnVocabulary, ...]:
    """Return the values of each learned column that occur at least `LEAST_COUNT` times, and numbers' knots."""
    found: list[ColumnVocabulary] = []
    first = 0
    for column in catalog.columns:
        if not column.learn:
            continue
        cells = catalog.frame[column.name]
        if column.kind == "number":
            quantiles = np.unique(np.nanquantile(cells.to_numpy(), np.linspace(0, 1, KNOTS))).tolist()
            vocabulary = ColumnVocabulary(column.name, first, knots=tuple(quantiles))
        else:
            counts = _products_under(cells)
            values = tuple(sorted(value for value, count in counts.items() if count >= LEAST_COUNT))
            vocabulary = ColumnVocabulary(column.name, first, values)
        found.append(vocabulary)
        first += vocabulary.size
    return tuple(found)


def _products_under(cells: pd.Series) -> Counter[str]:
    """Count the products of each value, those of what it lies under included."""
    counts: Counter[str] = Counter()
    for cell, products in Counter(tuple(c) if isinstance(c, list) else (c,) for c in cells).items():
        steps = {step for value in cell if value for step in ancestry(value)}
        counts.update(dict.fromkeys(steps, products))
    return counts


class CategoryModel(nn.Module):
    """The embedding table and the heads that exist only to train it.

    Parameters
    ----------
    words
        One vocabulary per column.
    bags
        The catalogue's cells, looked up.
    content
        What the products look like and say, shape (n, d_content), norm 1 or 0; None without content.
    """

    def __init__(self, words: Sequence[ColumnVocabulary], bags: Bags, content: Float | None) -> None:
        super().__init__()
        self.words = words
        self.bags = bags
        self.content = content
        size = sum(word.size for word in words)
        self.table = nn.Embedding(size, DIM)
        nn.init.normal_(self.table.weight, std=DIM**-0.5)
        self.head = nn.Linear(content.shape[1], DIM, bias=False) if content is not None else None
        self.unknown = torch.tensor([word.first for word in words])

    def forward(self, rows: Rows, hidden: np.ndarray | None = None) -> Tensor:
        """Return the summed embeddings, shape (b, DIM), columns in `hidden` (b, columns) as if missing."""
        picked, weights, columns, offsets, item = self._gather(rows)
        if hidden is not None:
            gone = hidden[item, columns]
            picked = np.where(gone, self.unknown.numpy()[columns], picked)
        return F.embedding_bag(
            torch.from_numpy(picked).long(),
            self.table.weight,
            torch.from_numpy(offsets),
            mode="sum",
            per_sample_weights=torch.from_numpy(weights),
        )

    def _gather(self, rows: Rows) -> tuple[np.ndarray, ...]:
        ends = np.append(self.bags.starts[1:], len(self.bags.entries))
        lengths = ends[rows] - self.bags.starts[rows]
        offsets = np.cumsum(lengths) - lengths
        item = np.repeat(np.arange(len(rows)), lengths)
        places = self.bags.starts[rows][item] + np.arange(len(item)) - offsets[item]
        entries, weights = self.bags.entries[places], self.bags.weights[places]
        return entries, weights, self.bags.columns[places], offsets, item

    def losses(self, rows: Rows, pairs: np.ndarray | None, generator: np.random.Generator) -> Tensor:
        """Return the sum of the three tasks on one batch.

        Parameters
        ----------
        rows
            Products, shape (b,).
        pairs
            Products of one user, shape (b, 2); None without events.
        """
        hidden = generator.random((len(rows), len(self.words))) < DROPPED
        seen = self(rows, hidden)
        loss = self._masked(rows, seen, hidden)
        if self.head is not None and self.content is not None:
            content = torch.from_numpy(self.content[rows])
            known = content.abs().sum(dim=1) > 0
            loss = loss + contrast(seen[known], self.head(content[known]))
        if pairs is not None:
            loss = loss + contrast(self(pairs[:, 0].astype(np.int32)), self(pairs[:, 1].astype(np.int32)))
        return loss

    def _masked(self, rows: Rows, seen: Tensor, hidden: np.ndarray) -> Tensor:
        """Predict the hidden columns' values from the others: cross-entropy over the column's own rows."""
        entries, weights, columns, _, item = self._gather(rows)
        loss = seen.new_zeros(())
        for place, word in enumerate(self.words):
            asked = (columns == place) & hidden[item, place] & (entries > word.first)
            if word.size < 3 or not asked.any():
                continue
            logits = seen[torch.from_numpy(item[asked])] @ self.table.weight[word.first : word.first + word.size].T
            target = torch.from_numpy(entries[asked] - word.first).long()
            losses = F.cross_entropy(logits, target, reduction="none") * torch.from_numpy(weights[asked])
            loss = loss + losses.sum() / len(rows)
        return loss / max(len(self.words) * DROPPED, 1)


def contrast(a: Tensor, b: Tensor) -> Tensor:
    """Symmetric InfoNCE with in-batch negatives (van den Oord et al., 2018), rows of `a` and `b` paired."""
    if len(a) < 2:
        return a.sum() * 0.0
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / TEMPERATURE
    target = torch.arange(len(a))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def train_category(
    catalog: Catalog, content: Float | None, pairs: np.ndarray | None, seed: int
) -> tuple[CategoryEmbedding | None, dict[str, Any]]:
    """Train the category block.

    Parameters
    ----------
    catalog
        n products.
    content
        Image and text blocks side by side, shape (n, d_content), 0 where missing; None without content.
    pairs
        Rows of products that one user chose close together, shape (p, 2); None without events.
    seed
        Of initialisation and sampling.

    Returns
    -------
    tuple
        The embedding, None if no column has anything to learn from; and figures: the ``loss`` over the training.
    """
    words = vocabularies(catalog)
    if not any(word.size > 2 for word in words):
        return None, {}
    columns = learned_columns(catalog)
    bags = bag(words, columns)
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    model = CategoryModel(words, bags, None if content is None else unit_rows(content))
    pairs = pairs if pairs is not None and len(pairs) >= LEAST_COUNT else None
    curve = _descend(model, len(catalog), pairs, generator)
    table = _with_average_unknowns(model.table.weight.detach().numpy().astype(np.float32), words, bags)
    untrained = CategoryEmbedding(words, table, np.zeros(DIM, dtype=np.float32))
    return CategoryEmbedding(words, table, _mean(untrained, bags)), {"loss": curve.stated()}


def _descend(model: CategoryModel, n: int, pairs: np.ndarray | None, generator: np.random.Generator) -> Curve:
    steps = min(STEPS, max(200, 20 * n // BATCH))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    curve = Curve(steps)
    for _ in progress(range(steps), "category embeddings", steps, "step"):
        rows = generator.integers(0, n, min(BATCH, n)).astype(np.int32)
        chosen = None if pairs is None else pairs[generator.integers(0, len(pairs), BATCH)]
        loss = model.losses(rows, chosen, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        curve.add(loss)
    return curve


def _with_average_unknowns(table: Float, words: Sequence[ColumnVocabulary], bags: Bags) -> Float:
    """Put each column's unknown row at the average of its known cells, so that a missing cell is neutral."""
    table = table.copy()
    for word in words:
        known = (bags.entries > word.first) & (bags.entries < word.first + word.size)
        if known.any():
            table[word.first] = np.average(table[bags.entries[known]], axis=0, weights=bags.weights[known])
    return table


def _mean(embedding: CategoryEmbedding, bags: Bags) -> Float:
    sums = np.add.reduceat(embedding.table[bags.entries] * bags.weights[:, None], bags.starts, axis=0)
    return sums.mean(axis=0).astype(np.float32)


def unit_rows(content: Float) -> Float:
    """Scale rows to norm 1; a product without content stays 0."""
    norm = np.linalg.norm(content, axis=1, keepdims=True)
    return (content / np.maximum(norm, 1e-12)).astype(np.float32)
