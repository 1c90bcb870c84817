"""Block weights without any event: those under which neighbours share what is hidden from the model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from recommender.catalog import Catalog
from recommender.core.blocks import Double, Float, Layout, Rows
from recommender.encoders.base import Encoder, Metered
from recommender.encoders.pipeline import EncodedCatalog, encode_catalog
from recommender.encoders.support.pair import encoder_of
from recommender.evaluation.held_out_attribute import hold_out
from recommender.progress import progress
from recommender.towers.item import ItemTower
from training.item_tower.category import learned_columns
from training.model import Products, inputs_of
from training.tuning.weights import clearly_best

SAMPLE = 1_500  # products that are asked, and that are each other's neighbours
LEAST_SHARED = 50  # products that have a column's value in common with another
LEAST_COLUMNS = 3  # one or two would only say what they themselves are
NEIGHBOURS = 10
ERRORS = 3.0  # standard errors that make a gain clear: many weightings are tried
RATIOS = (1.0, 2.0, 4.0)  # of the blocks to each other: none is ever worth nothing

Reader: TypeAlias = Callable[[Catalog], EncodedCatalog]


def reader(encoder: Encoder, cache_dir: Path | None) -> Reader | None:
    """Return what reads products whose words have changed; None where that would cost money."""
    if isinstance(encoder_of(encoder, "text"), Metered):
        return None
    return lambda catalog: encode_catalog(catalog, encoder, cache_dir)


def by_attributes(
    products: Products, tower: ItemTower, read: Reader, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Choose block weights by hiding one column after the other, and the words of its values.

    Under good weights a product's neighbours tell what is hidden of it. Each column counts alike, as a share of
    what equal weights reach; those stay unless others are clearly better.

    Parameters
    ----------
    products
        Variants of one another are no neighbours.
    tower
        Their tower, without behaviour.
    read
        See `reader`.
    seed
        Of the sample.

    Returns
    -------
    tuple
        Block name to weight, sum 1; and by column, how many times as often neighbours share its value as under
        equal weights.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(products.catalog))[:SAMPLE])
    groups = products.groups[rows]
    sample = replace(products.catalog, frame=products.catalog.frame.iloc[rows].reset_index(drop=True))
    weightings = _weightings(tower.layout)
    found = {}
    columns = _columns(sample)
    for values in progress(columns, "held-out columns", len(columns), "column"):
        vectors = _without(sample, values, tower, read)
        shared = np.stack([_shared(vectors, w, tower.layout, values, groups) for w in weightings])
        if (usual := np.nanmean(shared[0])) > 0:
            found[str(values.name)] = shared / usual
    best = clearly_best(_of_products(list(found.values())), ERRORS) if found else 0
    weights = dict(zip(tower.layout.names, weightings[best].tolist(), strict=True))
    return weights, {name: round(float(np.nanmean(shares[best])), 4) for name, shares in found.items()}


def _of_products(found: Sequence[Double]) -> Double:
    """Return the mean of each product's columns under each weighting, shape (w, c), of products that have one."""
    stacked = np.stack(found)
    return np.nanmean(stacked[:, :, ~np.isnan(stacked).all(axis=(0, 1))], axis=0)


def _weightings(layout: Layout) -> list[Double]:
    """Return block weights in all ratios, each once, equal ones first."""
    drawn = [np.array(ratios) / sum(ratios) for ratios in product(RATIOS, repeat=len(layout.names))]
    return list({tuple(np.round(weights, 9)): weights for weights in drawn}.values())


def _columns(sample: Catalog) -> list[pd.Series]:
    """Return the learned columns whose values enough products share with another; none if they are few."""
    names = [column.name for column in sample.columns if column.learn and column.kind in ("category", "text")]
    columns = [sample.frame[name] for name in names]
    shared = [
        column for column in columns if (column.duplicated(keep=False) & (column != "")).sum() >= LEAST_SHARED
    ]
    return shared if len(shared) >= LEAST_COLUMNS else []


def _without(sample: Catalog, values: pd.Series, tower: ItemTower, read: Reader) -> Float:
    """Return the vectors of products of which a column, those as good as it, and its words are unknown."""
    learned = learned_columns(sample)
    held = hold_out(sample.frame, values, learned)
    blank = {name: [""] * len(sample) for name in held.columns}
    known = replace(sample, frame=held.frame.assign(**blank))
    cells = {name: blank.get(name, cells) for name, cells in learned.items()}
    return tower.blocks(inputs_of(read(known), cells))[0]


def _shared(vectors: Float, weights: Double, layout: Layout, values: pd.Series, groups: Rows) -> Double:
    """Return the share of each product's neighbours that have its value, shape (c,); NaN where it has none."""
    codes = pd.factorize(values)[0]
    scaled = vectors * layout.over(weights).astype(np.float32)
    scores = scaled @ vectors.T
    scores[groups[:, None] == groups[None]] = -np.inf
    near = np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    shares: Double = (codes[near] == codes[:, None]).mean(axis=1)
    return np.where(values == "", np.nan, shares)
