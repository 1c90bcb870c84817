"""Fits the repeat model of each half-life: usual intervals, due times, and how often a product is bought again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.catalog import Interactions
from recommender.core.blocks import Double
from recommender.towers.repeat import DUE_EDGES, RepeatModel, due_classes
from training.repeat.occasions import Occasions

MIN_REPEATS = 20  # with fewer, no model is fitted
# Shrinkage: so many intervals, or expected repeat purchases, of a product weigh as much as its category's.
PRIOR_INTERVALS, PRIOR_REPEATS = 5.0, 5.0
DUE_REPEATS = 20.0  # shrinkage of a class of due times toward 1
KERNEL = (0.25, 0.5, 0.25)  # over neighbouring classes of due times
ROUNDS = 3  # of due times and rates in turn
SCALE_QUANTILE = 0.95
MIN_ODDS = 1e-9  # of a purchase that has decayed to nothing


def fit_repeat(
    occasions: Occasions,
    half_lives: Double,
    steepnesses: Sequence[float],
    categories: NDArray[np.intp],
    interactions: Interactions,
) -> list[RepeatModel]:
    """Return the model of each half-life and steepness; none where too little is bought again.

    Which known product is bought again on an occasion is multinomial, with odds of decayed count · rate · due.
    Both factors are estimated in turn as observed over expected numbers, each occasion counting once; rates are
    shrunk toward the category's, and these and due times toward 1 (gamma priors).

    Parameters
    ----------
    occasions
        With the decayed counts of the half-lives.
    half_lives
        In days.
    steepnesses
        See `RepeatModel`.
    categories
        Number of each product's category, length n.
    interactions
        The events of the occasions.
    """
    if np.count_nonzero(occasions.again) < MIN_REPEATS:
        return []
    shop, intervals = usual_intervals(occasions, categories)
    classes = due_classes(occasions.ages, occasions.counts, occasions.spans, intervals[occasions.rows])
    latest = interactions.frame["timestamp"].max().timestamp()
    models = []
    for half_life, decayed in zip(half_lives.tolist(), occasions.decayed.T, strict=True):
        odds = np.maximum(decayed.astype(np.float64), MIN_ODDS)
        due, rates = _factors(occasions, odds, classes, categories)
        top = float(np.quantile(odds * rates[occasions.rows] * due[classes], SCALE_QUANTILE))
        products = np.stack([intervals, rates]).astype(np.float32)
        for steepness in steepnesses:
            scale = float(np.log1p(steepness * top))
            named = {"scale": scale, "interval": shop, "latest": latest, "products": products}
            models.append(RepeatModel(half_life, steepness, tuple(due.tolist()), **named))
    return models


def usual_intervals(occasions: Occasions, categories: NDArray[np.intp]) -> tuple[float, Double]:
    """Return the median interval between purchases of one product, in days: of the shop, and of each, shape (n,).

    A product's is shrunk toward its category's, and that toward the shop's.
    """
    logs, rows = np.log(occasions.ages[occasions.again]), occasions.rows[occasions.again]
    shop = float(np.median(logs))
    by_category = _shrunk_medians(logs, categories[rows], np.full(categories.max() + 1, shop))
    return float(np.exp(shop)), np.exp(_shrunk_medians(logs, rows, by_category[categories]))


def _shrunk_medians(values: Double, groups: NDArray[np.integer], prior: Double) -> Double:
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    parts: Sequence[Double] = np.split(values[order], starts[1:])
    shrunk = prior.copy()
    for group, part in zip(present, parts, strict=True):
        own = len(part) / (len(part) + PRIOR_INTERVALS)
        shrunk[group] = own * np.median(part) + (1 - own) * prior[group]
    return shrunk


def _factors(
    occasions: Occasions, odds: Double, classes: NDArray[np.intp], categories: NDArray[np.intp]
) -> tuple[Double, Double]:
    """Return the factor of each class of due times, and the rate of each product, shape (n,)."""
    again = occasions.again / np.bincount(occasions.numbers, occasions.again)[occasions.numbers]
    due, rates = np.ones(len(DUE_EDGES) + 1), np.ones(len(categories))
    for _ in range(ROUNDS):
        expected = _shares(odds * rates[occasions.rows] * due[classes], occasions) / due[classes]
        observed, means = (
            np.convolve(np.bincount(classes, each, len(due)), KERNEL, "same") for each in (again, expected)
        )
        due = (observed + DUE_REPEATS) / (means + DUE_REPEATS)
        expected = _shares(odds * rates[occasions.rows] * due[classes], occasions) / rates[occasions.rows]
        sums = [np.bincount(occasions.rows, each, len(categories)) for each in (again, expected)]
        observed, means = (np.bincount(categories, each) for each in sums)
        prior = ((observed + PRIOR_REPEATS) / (means + PRIOR_REPEATS))[categories]
        rates = (sums[0] + PRIOR_REPEATS * prior) / (sums[1] + PRIOR_REPEATS)
    return due, rates


def _shares(odds: Double, occasions: Occasions) -> Double:
    """Return the expected share of each line in the repeat purchases of its occasion."""
    share: Double = odds / np.bincount(occasions.numbers, odds)[occasions.numbers]
    return share
