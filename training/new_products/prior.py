"""Fits the predictor of the prior: how popular products with such content are."""

import numpy as np
from scipy.linalg import eigh

from recommender.core.blocks import Double, Float, Mask
from recommender.core.segment import Segment
from recommender.towers.prior import PriorPredictor, content_blocks

MIN_KNOWN = 20  # products with events; with fewer, all have the mean
# Of the prior of products with events: what never sold is not shown before the best-selling twentieth.
MAX_QUANTILE = 0.95
MAX_ROWS = 100_000  # products with events that the regression is fitted on
# Ridge penalties that are compared, relative to the mean eigenvalue.
PENALTIES = 10.0 ** np.arange(-2.0, 4.0)


def fit_prior_predictor(segment: Segment, known: Mask, seed: int) -> PriorPredictor:
    """Fit a ridge regression of the prior of products with events on their content.

    The penalty has the lowest generalised cross-validation error (Golub, Heath and Wahba, Technometrics 1979).

    Parameters
    ----------
    segment
        The products, with the prior.
    known
        Which products have events, shape (n,).
    seed
        Of the sample of a large catalogue.
    """
    rows = np.flatnonzero(known)
    if len(rows) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_ROWS, replace=False))
    content, prior = content_blocks(segment.vectors[rows], segment.layout), segment.prior[rows].astype(np.float64)
    mean = prior.mean() if len(rows) else 0.0
    weights, centre = np.zeros(content.shape[1]), content.mean(axis=0) if len(rows) else np.zeros(content.shape[1])
    if len(rows) >= MIN_KNOWN and content.shape[1]:
        weights = _ridge(content - centre, prior - mean)
    bias = np.array([mean - centre @ weights], dtype=np.float32)
    limit = np.array([np.quantile(prior, MAX_QUANTILE) if len(rows) else 0.0], dtype=np.float32)
    return PriorPredictor(weights.astype(np.float32), bias, limit)


def _ridge(x: Float, y: Double) -> Double:
    """Return the weights of the best penalty, shape (d,), for centred data."""
    gram = (x.T @ x).astype(np.float64)
    values, axes = eigh(gram)
    values = np.maximum(values, 0.0)
    projected = axes.T @ (x.T @ y)
    errors, solutions = [], []
    for penalty in PENALTIES * max(values.mean(), 1e-12):
        solution = projected / (values + penalty)
        residual = y @ y - 2 * (solution @ projected) + (values * solution) @ solution
        freedom = len(y) - 1 - (values / (values + penalty)).sum()
        errors.append(residual / max(freedom, 1e-12) ** 2)
        solutions.append(solution)
    best: Double = axes @ solutions[int(np.argmin(errors))]
    return best
