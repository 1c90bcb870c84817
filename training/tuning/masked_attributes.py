"""Tunes block weights without events: a product's neighbours should share an attribute masked from the model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch

from recommender.catalog import Catalog
from recommender.core.blocks import Double, Float, Layout, Rows
from recommender.encoders.base import Encoder, Metered
from recommender.encoders.pipeline import EncodedCatalog, encode_catalog
from recommender.encoders.support.pair import encoder_of
from recommender.evaluation.bootstrap import bootstrap
from recommender.evaluation.held_out_attribute import hold_out
from recommender.progress import progress
from recommender.towers.item import ItemTower
from training.item_tower.category import learned_columns
from training.items import TrainingItems, item_inputs
from training.tuning.weights import best_by_standard_error

SAMPLE = 1_500  # products, which are queries and candidates
MIN_SHARED = 50  # products that share a column's value with another
MIN_COLUMNS = 3  # with fewer, the weights would favour whatever predicts just these
NEIGHBOURS = 10
ERRORS = 3.0  # standard errors that make a gain clear: many weightings are compared
RATIOS = (1.0, 2.0, 4.0)  # of block weights to each other: no block gets 0

LabelPrecision: TypeAlias = dict[str, float]
Encode: TypeAlias = Callable[[Catalog], EncodedCatalog]


def free_encoding(encoder: Encoder, cache_dir: Path | None) -> Encode | None:
    """Return a function that encodes catalogues with changed texts; None if the encoder costs money."""
    if isinstance(encoder_of(encoder, "text"), Metered):
        return None
    return lambda catalog: encode_catalog(catalog, encoder, cache_dir)


def tune_by_masked_attributes(
    items: TrainingItems, tower: ItemTower, encode: Encode | None, seed: int
) -> tuple[dict[str, float], dict[str, float], dict[str, LabelPrecision]]:
    """Choose block weights by masking one column after the other, and the words of its values in the texts.

    Under good weights a product's neighbours share the masked value. Each column counts the same, as a ratio to
    equal weights; those stay unless others are clearly better, and where encoding changed texts costs money. How
    often neighbours share a value is also the one figure of quality that a shop without events has.

    Parameters
    ----------
    items
        The products; variants of one another are no neighbours.
    tower
        Their tower, without behaviour; it may have no block.
    encode
        See `free_encoding`.
    seed
        Of the sample.

    Returns
    -------
    tuple
        Block name to weight, sum 1; column name to how many times as often neighbours share its value as under
        equal weights; and column name to the figures of `_precision`.
    """
    names = tower.layout.names
    equal_weights = {name: 1.0 / len(names) for name in names}
    if encode is None or not names:
        return equal_weights, {}, {}
    rows = np.sort(np.random.default_rng(seed).permutation(len(items.catalog))[:SAMPLE])
    groups = items.groups[rows]
    sample = replace(items.catalog, frame=items.catalog.frame.iloc[rows].reset_index(drop=True))
    weightings = _weightings(tower.layout)
    ratios, shares_of = {}, {}
    columns = _maskable_columns(sample)
    for values in progress(columns, "masked columns", len(columns), "column"):
        vectors = _masked_vectors(sample, values, tower, encode)
        shared = np.stack([*_shared(vectors, weightings, tower.layout, values, groups)])
        shares_of[str(values.name)] = shared
        if (equal := np.nanmean(shared[0])) > 0:
            ratios[str(values.name)] = shared / equal
    if len(columns) < MIN_COLUMNS or len(names) < 2:
        ratios = {}
    best = best_by_standard_error(_mean_of_columns(list(ratios.values())), ERRORS) if ratios else 0
    weights = dict(zip(names, weightings[best].tolist(), strict=True))
    gained = {name: round(float(np.nanmean(shares[best])), 4) for name, shares in ratios.items()}
    found = {str(values.name): _precision(shares_of[str(values.name)][best], values, groups) for values in columns}
    return weights, gained, found


def _precision(shares: Double, values: pd.Series, groups: Rows) -> LabelPrecision:
    """Return the share of neighbours with a product's masked value, its 95 % interval, and what chance would give.

    Parameters
    ----------
    shares
        Of each product, (c,); NaN where its value is unknown.
    values, groups
        Of each product, (c,): the masked column, and the variants of one product.
    """
    codes = pd.factorize(values)[0]
    same = (codes[:, None] == codes) & (groups[:, None] != groups)
    chance = same.sum(axis=1) / np.maximum((groups[:, None] != groups).sum(axis=1), 1)
    known = ~np.isnan(shares)
    interval = bootstrap(shares[known, None], np.arange(known.sum()).astype(object))[0]
    figures = {"precision": interval.mean, "low": interval.low, "high": interval.high}
    figures["chance"] = float(chance[known].mean())
    return {name: round(value, 4) for name, value in figures.items()} | {"queries": int(known.sum())}


def _mean_of_columns(ratios: Sequence[Double]) -> Double:
    """Return the mean over each product's columns under each weighting, shape (w, c); NaN products left out."""
    stacked = np.stack(ratios)
    return np.nanmean(stacked[:, :, ~np.isnan(stacked).all(axis=(0, 1))], axis=0)


def _weightings(layout: Layout) -> list[Double]:
    """Return block weights in all ratios, each once, equal ones first."""
    weightings = [np.array(ratios) / sum(ratios) for ratios in product(RATIOS, repeat=len(layout.names))]
    return list({tuple(np.round(weights, 9)): weights for weights in weightings}.values())


def _maskable_columns(sample: Catalog) -> list[pd.Series]:
    """Return the learned columns whose values enough products share with another."""
    names = [column.name for column in sample.columns if column.learn and column.kind in ("category", "text")]
    columns = [sample.frame[name] for name in names]
    return [column for column in columns if (column.duplicated(keep=False) & (column != "")).sum() >= MIN_SHARED]


def _masked_vectors(sample: Catalog, values: pd.Series, tower: ItemTower, encode: Encode) -> Float:
    """Return the products' vectors without a column, the columns that predict it, and its words."""
    learned = learned_columns(sample)
    held_out = hold_out(sample.frame, values, learned)
    blank = {name: [""] * len(sample) for name in held_out.columns}
    masked = replace(sample, frame=held_out.frame.assign(**blank))
    cells = {name: blank.get(name, cells) for name, cells in learned.items()}
    return tower.blocks(item_inputs(encode(masked), cells, ()))[0]


def _shared(
    vectors: Float, weightings: Sequence[Double], layout: Layout, values: pd.Series, groups: Rows
) -> Iterator[Double]:
    """Yield the share of each product's neighbours with its value under each weighting, shape (c,); else NaN."""
    codes = pd.factorize(values)[0]
    blocks = [torch.from_numpy(vectors[:, columns]) for columns in layout.slices.values()]
    similarities = torch.stack([block @ block.T for block in blocks])
    similarities[:, torch.from_numpy(groups[:, None] == groups[None])] = -torch.inf
    for weights in weightings:
        scores = torch.tensordot(torch.tensor(weights, dtype=torch.float32), similarities, 1)
        near = scores.topk(NEIGHBOURS, dim=1, sorted=False).indices.numpy()
        shares: Double = (codes[near] == codes[:, None]).mean(axis=1)
        yield np.where(values == "", np.nan, shares)
