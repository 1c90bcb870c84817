"""What is learned for products without events, and how it changes a model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from recommender.catalog import Interactions
from recommender.core.blocks import Double, Float, Mask
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.towers.item import ItemTower
from recommender.towers.prior import PriorPredictor, content_blocks
from training.new_products.prior import fit_prior_predictor


@dataclass(frozen=True)
class NewProducts:
    """Factors of the products without events, on the item's side: one index and the sum of terms remain.

    Parameters
    ----------
    level
        Quantile of the known products' prior that the mean product without events gets; None: all of them have
        the prior 0.
    spread
        Factor of the predicted differences from this level.
    behaviour, cooccurrence
        Factors of the predicted behaviour blocks and of the columns of C.
    metrics
        How they were chosen, for the manifest.
    """

    level: float | None = 0.25
    spread: float = 1.0
    behaviour: float = 1.0
    cooccurrence: float = 1.0
    metrics: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the factors and how they were chosen, for the manifest."""
        factors = asdict(self)
        return {**factors.pop("metrics"), **factors}

    def applied(self, tower: ItemTower, segment: Segment, known: Mask, seed: int) -> tuple[ItemTower, Segment]:
        """Return the tower and the arrays with the factors, and with the predicted prior of unknown products.

        Parameters
        ----------
        tower, segment
            Without them; with prior and co-occurrence.
        known
            Which products have events, shape (n,).
        seed
            See `fit_prior_predictor`.
        """
        if tower.behaviour is None:
            return tower, segment  # no history has two products: nothing was learned
        vectors = segment.vectors
        if self.behaviour != 1.0:
            vectors = vectors.copy()
            columns = segment.layout.slices["behaviour"]
            vectors[~known, columns] = scaled_blocks(vectors[~known, columns], self.behaviour)
            factor = np.float32(self.behaviour)
            old = tower.behaviour
            tower = replace(tower, behaviour=replace(old, matrix=factor * old.matrix, table=factor * old.table))
        return self.applied_to_counts(tower, replace(segment, vectors=vectors), known, seed)

    def applied_to_counts(
        self, tower: ItemTower, segment: Segment, known: Mask, seed: int
    ) -> tuple[ItemTower, Segment]:
        """Return the same of arrays whose behaviour blocks have their factor; see `applied`."""
        if tower.behaviour is None:
            return tower, segment
        cooccurrence = scaled_columns(segment.cooccurrence, ~known, self.cooccurrence)
        segment = replace(segment, cooccurrence=cooccurrence)
        if self.level is None:
            return tower, segment
        predictor = self.placed(fit_prior_predictor(segment, known, seed), segment, known)
        prior = segment.prior.copy()
        prior[~known] = predictor.predict(segment.vectors[~known], segment.layout)
        return replace(tower, prior=predictor), replace(segment, prior=prior)

    def placed(self, predictor: PriorPredictor, segment: Segment, known: Mask) -> PriorPredictor:
        """Return a predictor whose mean is the level, and whose differences from it have the spread."""
        assert self.level is not None
        level = levels_of(segment.prior[known], (self.level,))[0]
        centre = mean_content(segment, ~known) @ predictor.weights.astype(np.float64)
        bias = np.array([level - self.spread * centre])
        weights = predictor.weights * np.float32(self.spread)
        return PriorPredictor(weights, bias.astype(np.float32), predictor.limit)


def levels_of(prior: Float, quantiles: Sequence[float]) -> Double:
    """Return quantiles of the prior of the products with events; 0 if there are none."""
    return np.quantile(prior.astype(np.float64), quantiles) if len(prior) else np.zeros(len(quantiles))


def mean_content(segment: Segment, of: Mask) -> Double:
    """Return the mean of the products' blocks but behaviour, shape (d_content,); of all products if of none."""
    vectors = segment.vectors[of] if of.any() else segment.vectors
    mean: Double = content_blocks(vectors, segment.layout).mean(axis=0, dtype=np.float64)
    return mean


def with_events(interactions: Interactions, n: int) -> Mask:
    """Mask the products with a positive event, shape (n,)."""
    known = np.zeros(n, dtype=bool)
    known[interactions.frame["row"].to_numpy()[np.asarray(interactions.event_weights()) > 0]] = True
    return known


def scaled_blocks(blocks: Float, factor: float) -> Float:
    """Return blocks times a factor, shortened to norm 1 where they are longer."""
    scaled = blocks * np.float32(factor)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.maximum(norms, 1.0)).astype(np.float32)


def scaled_columns(table: Cooccurrence, columns: Mask, factor: float) -> Cooccurrence:
    """Return a table with some columns times a factor, at most 1."""
    if factor == 1.0 or not len(table.values):
        return table
    factors = np.where(columns[table.indices], factor, 1.0)
    return replace(table, values=np.minimum(table.values * factors, 1.0).astype(np.float32))
