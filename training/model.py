"""A trained model: towers, the products' arrays and the weights of the score, ready to be published."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recommender.catalog import Interactions
from recommender.core.blocks import Layout
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.evaluation.ranking_task import MapFunction
from recommender.towers.item import ItemTower
from recommender.towers.user import UserTower
from training.behaviour.export import Behaviour
from training.cooccurrence.tables import CooccurrenceTables
from training.item_tower.train import TrainedItemTower
from training.items import TrainingItems
from training.new_products.factors import NewProducts, with_events
from training.refresh.statistics import CountStatistics
from training.tuning.search import Hyperparameters


@dataclass(frozen=True)
class TrainedModel:
    """Everything that is published of a training.

    Parameters
    ----------
    tower
        Computes item vectors.
    user_tower
        Computes queries from histories.
    segment
        The products' arrays, without the neighbour table.
    weights
        Kinds of request to term weights, see `Manifest`.
    metrics
        For the manifest: the prior, hyperparameters, loss curves and validation scores.
    statistics
        By which a refresh counts later events; None without events.
    behaviour
        From which a later training continues.
    """

    tower: ItemTower
    user_tower: UserTower
    segment: Segment
    weights: Mapping[str, Mapping[str, float]]
    metrics: Mapping[str, Any]
    statistics: CountStatistics | None = None
    behaviour: Behaviour | None = None

    @classmethod
    def of(
        cls,
        tower: ItemTower,
        segment: Segment,
        hyperparameters: Hyperparameters,
        metrics: Mapping[str, Any],
        statistics: CountStatistics | None = None,
    ) -> "TrainedModel":
        """Return a model with tuned hyperparameters, and their validation scores among its metrics."""
        weights = {kind: tuned.weights for kind, tuned in hyperparameters.weights.items()}
        all_metrics = {**metrics, "tuning": hyperparameters.metrics()}
        return cls(tower, hyperparameters.user_tower, segment, weights, all_metrics, statistics)


def assemble_segment(
    items: TrainingItems, trained: TrainedItemTower, behaviour: Behaviour | None
) -> tuple[ItemTower, Segment]:
    """Add the behaviour block to the blocks of the item tower.

    Returns
    -------
    tuple
        The tower with all blocks; and the products' arrays, without prior and co-occurrence.
    """
    n, tower = len(items.catalog), trained.tower
    vectors, present = trained.vectors, trained.present
    if behaviour is not None:
        layout = Layout({**tower.layout.dims, "behaviour": behaviour.vectors.shape[1]})
        predictor = replace(tower.predictor, layout=layout)
        tower = replace(tower, layout=layout, predictor=predictor, behaviour=behaviour.predictor)
        vectors = np.concatenate([vectors, behaviour.vectors], axis=1)
        present = np.concatenate([present, behaviour.known[:, None]], axis=1)
    segment = Segment(
        vectors=np.ascontiguousarray(vectors),
        present=present,
        prior=np.zeros(n, dtype=np.float32),
        groups=items.groups,
        neighbours=None,
        cooccurrence=Cooccurrence.empty(n),
        complements=Cooccurrence.empty(n),
        layout=tower.layout,
    )
    return tower, segment


def assemble_model(
    tower: ItemTower,
    segment: Segment,
    tables: CooccurrenceTables,
    hyperparameters: Hyperparameters,
    new_products: NewProducts,
    interactions: Interactions,
    seed: int,
    metrics: Mapping[str, Any],
    run: MapFunction = map,
) -> TrainedModel:
    """Add prior, co-occurrence and complementary products to the products' arrays.

    Parameters
    ----------
    tower, segment
        See `assemble_segment`.
    tables
        Counts of `interactions`.
    hyperparameters
        Shape of the prior, mixture of C, weights.
    new_products
        Factors of the products without events.
    interactions
        The events that the prior is fitted on.
    seed
        See `fit_prior_predictor`.
    metrics
        Of the training so far.
    run
        See `complements`.
    """
    statistics = CountStatistics.of(tables, hyperparameters.mixture, hyperparameters.prior, new_products)
    segment, prior_metrics = statistics.with_counts(segment, tables, interactions, run)
    tower, segment = new_products.applied(tower, segment, with_events(interactions, segment.n), seed)
    if hyperparameters.profile is not None:
        profile = hyperparameters.profile.fit(segment, interactions)
        hyperparameters = hyperparameters.with_user_tower(replace(hyperparameters.user_tower, profile=profile))
    until = str(interactions.frame["timestamp"].max())
    all_metrics = {**metrics, "prior": prior_metrics, "new_products": new_products.to_dict(), "until": until}
    return TrainedModel.of(tower, segment, hyperparameters, all_metrics, statistics)
