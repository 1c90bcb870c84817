"""Trains the item tower: content blocks, category embeddings, and the imputation of missing blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from scipy.linalg import eigh

from recommender.core.blocks import Float, Layout, Mask, unit
from recommender.towers.category import CategoryEmbedding
from recommender.towers.content import ContentBlock
from recommender.towers.item import ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.projection import AlignedProjection
from training.cooccurrence.pairs import Pairs
from training.item_tower.alignment import train_alignment
from training.item_tower.category import train_category
from training.items import TrainingItems

ALIGNED_DIM = 64
MIN_ALIGNMENT_PAIRS = 200  # products with both text and image, for an alignment
MAX_PRINCIPAL_AXES = 192
ALIGNED_SHARE = 0.3  # of a content block's energy, in its aligned part
COLOR_SHARE = (
    0.08  # of an image block's energy, in the colours of the photo: more costs similar products of one type
)
MAX_PCA_ROWS = 50_000  # products that principal axes are estimated on
GRAM_CHUNK = 4_096  # of them at a time, in float64
RIDGE = 0.01  # times the mean energy of a column
MIN_IMPUTATION_ROWS = 30


@dataclass(frozen=True)
class TrainedItemTower:
    """The item tower without behaviour, and the blocks of the products it was trained on.

    Parameters
    ----------
    tower
        Computes content and category blocks.
    vectors
        Those of the products, missing ones imputed, shape (n, d).
    present
        Which blocks were not imputed, shape (n, M).
    """

    tower: ItemTower
    vectors: Float
    present: Mask


def train_item_tower(
    items: TrainingItems, pairs: Pairs | None, seed: int
) -> tuple[TrainedItemTower, dict[str, Any]]:
    """Train the blocks that are computed from a product's own data.

    Parameters
    ----------
    items
        n products.
    pairs
        Products that one user chose close together; None without events.
    seed
        Of everything random.

    Returns
    -------
    tuple
        The tower with the products' blocks; and metrics of the training, by part.
    """
    inputs = items.inputs
    projection, metrics = _train_alignment(items, seed)
    content = {}
    for name in ("image", "text"):
        encoded = getattr(inputs, name)
        if encoded is not None:
            projected = None if projection is None else unit(getattr(projection, name)(encoded))
            colors = inputs.colors if name == "image" else None
            content[name] = fit_content(encoded, getattr(inputs, f"has_{name}"), projected, seed, colors)
    tower = _assemble(content, projection, None)
    vectors = tower.present_blocks(inputs)[0] if content else None
    rows = None if pairs is None else np.column_stack([pairs.first, pairs.second])
    category, category_metrics = train_category(items.catalog, vectors, rows, seed)
    tower = _assemble(content, projection, category)
    vectors, present = tower.present_blocks(inputs)
    predictor = fit_imputation(vectors, present, tower.layout)
    trained = TrainedItemTower(replace(tower, predictor=predictor), predictor.fill(vectors, present), present)
    return trained, metrics | ({"category": category_metrics} if category_metrics else {})


def _train_alignment(items: TrainingItems, seed: int) -> tuple[AlignedProjection | None, dict[str, Any]]:
    inputs = items.inputs
    both = np.flatnonzero(inputs.has_image & inputs.has_text)
    if items.aligned or inputs.image is None or inputs.text is None or len(both) < MIN_ALIGNMENT_PAIRS:
        return None, {}
    projection, metrics = train_alignment(
        inputs.image[both], inputs.text[both], items.groups[both], seed, ALIGNED_DIM
    )
    return projection, {"alignment": metrics}


def _assemble(
    content: Mapping[str, ContentBlock], projection: AlignedProjection | None, category: CategoryEmbedding | None
) -> ItemTower:
    dims = {name: block.dim for name, block in content.items()}
    if category is not None:
        dims["category"] = category.dim
    layout = Layout(dims)
    return ItemTower(layout, content, projection, category, BlockPredictor({}, layout))


def fit_content(
    encoded: Float, has: Mask, projected: Float | None, seed: int, colors: Float | None = None
) -> ContentBlock:
    """Fit the mean and the principal axes of one modality's block.

    Parameters
    ----------
    encoded
        Encoder vectors, shape (n, d_e).
    has
        Which items have the modality, shape (n,).
    projected
        The aligned projection of `encoded`, shape (n, d_a), if one was trained.
    seed
        Of the sample of a large catalogue.
    colors
        The colour histograms of photos, shape (n, d_c), where there are photos.
    """
    rows = np.flatnonzero(has)
    if len(rows) > MAX_PCA_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_PCA_ROWS, replace=False))
    mean = encoded[rows].mean(axis=0, dtype=np.float64)
    d = len(mean)
    gram = np.zeros((d, d))
    for start in range(0, len(rows), GRAM_CHUNK):
        centred = encoded[rows[start : start + GRAM_CHUNK]] - mean
        # each item counts the same, as it does once its block has norm 1
        centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
        gram += centred.T @ centred
    largest = [max(d - MAX_PRINCIPAL_AXES, 0), d - 1]  # eigenvalues ascend
    axes = eigh(gram, subset_by_index=largest, overwrite_a=True)[1][:, ::-1]
    axes = np.ascontiguousarray(axes)  # a file keeps no strides
    if projected is None:
        aligned_mean, share = np.empty(0, dtype=np.float32), 0.0
    else:
        aligned_mean, share = projected[rows].mean(axis=0).astype(np.float32), ALIGNED_SHARE
    block = ContentBlock(mean.astype(np.float32), axes.astype(np.float32), aligned_mean, share)
    if colors is None:
        return block
    return replace(block, color_mean=colors[rows].mean(axis=0), color_share=COLOR_SHARE)


def fit_imputation(vectors: Float, present: Mask, layout: Layout) -> BlockPredictor:
    """Fit a ridge regression for each missing block and each pattern of present ones.

    This is the closed form of regressing with randomly dropped blocks: each pattern uses the Gram matrix of the
    items that have all of its blocks.

    Parameters
    ----------
    vectors
        Blocks, zero where missing, shape (n, d).
    present
        Shape (n, M).
    layout
        Of the blocks.
    """
    maps = {}
    for name in layout.names:
        others = [other for other in layout.names if other != name]
        for size in range(1, len(others) + 1):
            for pattern in combinations(others, size):
                matrix = _ridge(vectors, present, layout, name, pattern)
                if matrix is not None:
                    maps[(name, pattern)] = matrix
    return BlockPredictor(maps, layout)


def _ridge(vectors: Float, present: Mask, layout: Layout, name: str, pattern: tuple[str, ...]) -> Float | None:
    needed = [layout.index(block) for block in (name, *pattern)]
    rows = np.flatnonzero(present[:, needed].all(axis=1))
    if len(rows) < MIN_IMPUTATION_ROWS:
        return None
    x = np.concatenate([vectors[rows, layout.slices[block]] for block in pattern], axis=1)
    y = vectors[rows, layout.slices[name]]
    gram = (x.T @ x).astype(np.float64)
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram) + 1e-6
    return np.linalg.solve(gram, (x.T @ y).astype(np.float64)).astype(np.float32)
