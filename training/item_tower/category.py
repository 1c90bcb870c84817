"""Trains the category embeddings: masked columns, contrast with the content, and co-occurring products."""

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
from training.monitor import LossCurve

DIM = 64
KNOTS = 16
BATCH = 512
STEPS = 1_500
TEMPERATURE = 0.1
MASKED_SHARE = 0.25  # share of an item's columns that are masked in a step, so that missing cells are learned
MIN_COUNT = 2  # rarer values share the row for unknown values


def learned_columns(catalog: Catalog) -> dict[str, Sequence[Any]]:
    """Return the cells of every column that the category block learns from, each of length n."""
    return {column.name: catalog.frame[column.name].tolist() for column in catalog.columns if column.learn}


def fit_vocabularies(catalog: Catalog) -> tuple[ColumnVocabulary, ...]:
    """Return the vocabulary of each learned column: values of at least `MIN_COUNT` products, knots of numbers."""
    vocabularies: list[ColumnVocabulary] = []
    first = 0
    for column in catalog.columns:
        if not column.learn:
            continue
        cells = catalog.frame[column.name]
        if column.kind == "number":
            quantiles = np.unique(np.nanquantile(cells.to_numpy(), np.linspace(0, 1, KNOTS))).tolist()
            vocabulary = ColumnVocabulary(column.name, first, knots=tuple(quantiles))
        else:
            counts = _value_counts(cells)
            values = tuple(sorted(value for value, count in counts.items() if count >= MIN_COUNT))
            vocabulary = ColumnVocabulary(column.name, first, values)
        vocabularies.append(vocabulary)
        first += vocabulary.size
    return tuple(vocabularies)


def _value_counts(cells: pd.Series) -> Counter[str]:
    """Count the products of each value, and of the levels above it."""
    counts: Counter[str] = Counter()
    for cell, products in Counter(tuple(c) if isinstance(c, list) else (c,) for c in cells).items():
        steps = {step for value in cell if value for step in ancestry(value)}
        counts.update(dict.fromkeys(steps, products))
    return counts


class CategoryModel(nn.Module):
    """The embedding table, and the heads that are used in training only.

    Parameters
    ----------
    vocabularies
        One vocabulary per column.
    bags
        The table rows and weights of the catalogue's cells.
    content
        Image and text blocks of the products, shape (n, d_content), norm 1 or 0; None without content.
    """

    def __init__(self, vocabularies: Sequence[ColumnVocabulary], bags: Bags, content: Float | None) -> None:
        super().__init__()
        self.vocabularies = vocabularies
        self.bags = bags
        self.content = content
        size = sum(vocabulary.size for vocabulary in vocabularies)
        self.table = nn.Embedding(size, DIM)
        nn.init.normal_(self.table.weight, std=DIM**-0.5)
        self.head = nn.Linear(content.shape[1], DIM, bias=False) if content is not None else None
        self.unknown = torch.tensor([vocabulary.first for vocabulary in vocabularies])

    def forward(self, rows: Rows, masked: np.ndarray | None = None) -> Tensor:
        """Return the summed embeddings, shape (b, DIM); `masked`, shape (b, columns), makes cells unknown."""
        entries, weights, columns, offsets, item = self._gather(rows)
        if masked is not None:
            entries = np.where(masked[item, columns], self.unknown.numpy()[columns], entries)
        return F.embedding_bag(
            torch.from_numpy(entries).long(),
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
        cells = self.bags.starts[rows][item] + np.arange(len(item)) - offsets[item]
        entries, weights = self.bags.entries[cells], self.bags.weights[cells]
        return entries, weights, self.bags.columns[cells], offsets, item

    def loss(self, rows: Rows, pairs: np.ndarray | None, generator: np.random.Generator) -> Tensor:
        """Return the sum of the three losses of one batch.

        Parameters
        ----------
        rows
            Products, shape (b,).
        pairs
            Products chosen by one user, shape (b, 2); None without events.
        """
        masked = generator.random((len(rows), len(self.vocabularies))) < MASKED_SHARE
        embedded = self(rows, masked)
        loss = self._masked_loss(rows, embedded, masked)
        if self.head is not None and self.content is not None:
            content = torch.from_numpy(self.content[rows])
            known = content.abs().sum(dim=1) > 0
            loss = loss + contrastive_loss(embedded[known], self.head(content[known]))
        if pairs is not None:
            loss = loss + contrastive_loss(self(pairs[:, 0].astype(np.int32)), self(pairs[:, 1].astype(np.int32)))
        return loss

    def _masked_loss(self, rows: Rows, embedded: Tensor, masked: np.ndarray) -> Tensor:
        """Return the cross-entropy of masked columns' values, predicted from the other columns."""
        entries, weights, columns, _, item = self._gather(rows)
        loss = embedded.new_zeros(())
        for index, vocabulary in enumerate(self.vocabularies):
            selected = (columns == index) & masked[item, index] & (entries > vocabulary.first)
            if vocabulary.size < 3 or not selected.any():
                continue
            rows_of_column = slice(vocabulary.first, vocabulary.first + vocabulary.size)
            logits = embedded[torch.from_numpy(item[selected])] @ self.table.weight[rows_of_column].T
            target = torch.from_numpy(entries[selected] - vocabulary.first).long()
            losses = F.cross_entropy(logits, target, reduction="none") * torch.from_numpy(weights[selected])
            loss = loss + losses.sum() / len(rows)
        return loss / max(len(self.vocabularies) * MASKED_SHARE, 1)


def contrastive_loss(a: Tensor, b: Tensor) -> Tensor:
    """Return symmetric InfoNCE with in-batch negatives (van den Oord et al., 2018), rows of `a` and `b` paired."""
    if len(a) < 2:
        return a.sum() * 0.0
    logits = (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T - 1.0) / TEMPERATURE
    powers = logits.exp()  # of numbers in [-20, 0]: once for both directions
    return (powers.sum(dim=0).log() + powers.sum(dim=1).log()).mean() / 2 - logits.diagonal().mean()


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
        The embedding, None if no column has two values; and metrics: the ``loss`` curve of the training.
    """
    vocabularies = fit_vocabularies(catalog)
    if not any(vocabulary.size > 2 for vocabulary in vocabularies):
        return None, {}
    columns = learned_columns(catalog)
    bags = bag(vocabularies, columns)
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    model = CategoryModel(vocabularies, bags, None if content is None else unit_rows(content))
    pairs = pairs if pairs is not None and len(pairs) >= MIN_COUNT else None
    curve = _optimize(model, len(catalog), pairs, generator)
    table = _with_mean_unknowns(model.table.weight.detach().numpy().astype(np.float32), vocabularies, bags)
    uncentred = CategoryEmbedding(vocabularies, table, np.zeros(DIM, dtype=np.float32))
    return CategoryEmbedding(vocabularies, table, _mean(uncentred, bags)), {"loss": curve.means()}


def _optimize(model: CategoryModel, n: int, pairs: np.ndarray | None, generator: np.random.Generator) -> LossCurve:
    steps = min(STEPS, max(200, 20 * n // BATCH))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    curve = LossCurve(steps)
    for _ in progress(range(steps), "category embeddings", steps, "step"):
        rows = generator.integers(0, n, min(BATCH, n)).astype(np.int32)
        batch = None if pairs is None else pairs[generator.integers(0, len(pairs), BATCH)]
        loss = model.loss(rows, batch, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        curve.add(loss)
    return curve


def _with_mean_unknowns(table: Float, vocabularies: Sequence[ColumnVocabulary], bags: Bags) -> Float:
    """Put each column's unknown row at the average of its known cells, so that a missing cell is neutral."""
    table = table.copy()
    for vocabulary in vocabularies:
        known = (bags.entries > vocabulary.first) & (bags.entries < vocabulary.first + vocabulary.size)
        if known.any():
            table[vocabulary.first] = np.average(table[bags.entries[known]], axis=0, weights=bags.weights[known])
    return table


def _mean(embedding: CategoryEmbedding, bags: Bags) -> Float:
    sums = np.add.reduceat(embedding.table[bags.entries] * bags.weights[:, None], bags.starts, axis=0)
    return sums.mean(axis=0).astype(np.float32)


def unit_rows(content: Float) -> Float:
    """Scale rows to norm 1; a product without content stays 0."""
    norm = np.linalg.norm(content, axis=1, keepdims=True)
    return (content / np.maximum(norm, 1e-12)).astype(np.float32)
