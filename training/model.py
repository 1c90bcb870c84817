"""A trained engine: its towers, its products' vectors, and what the events taught."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recommender.blocks import Float, Layout, Mask, Rows, unit
from recommender.catalog import Catalog, Interactions
from recommender.cooccurrence import Cooccurrence
from recommender.encoders.pipeline import EncodedCatalog
from recommender.segment import Segment
from recommender.towers.category import CategoryEmbedding
from recommender.towers.content import ContentBlock
from recommender.towers.item import ItemInputs, ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.projection import AlignedProjection
from recommender.towers.user import UserTower
from training.behaviour import DIM as BEHAVIOUR_DIM
from training.behaviour import fit_behaviour
from training.category import learned_columns, train_category
from training.clip import train_projection
from training.content import fit_content
from training.cooccurrence import fit_cooccurrence
from training.pairs import Pairs, pairs_of
from training.predictor import fit_predictor
from training.prior import PriorShape, no_prior

# How many users a product needs before its own behaviour outweighs what its content predicts.
TRUST = 3.0
ALIGNED_DIM = 64
LEAST_PAIRS = 200  # of photo and text, for a contrastive projection


@dataclass(frozen=True)
class Model:
    """Everything that is published.

    Parameters
    ----------
    tower
        Makes item vectors.
    users
        Makes queries of histories.
    segment
        The products' arrays, without the neighbour table.
    weights
        'item' and 'user' to term weights.
    stated
        What the manifest says of the training: prior, losses, figures.
    """

    tower: ItemTower
    users: UserTower
    segment: Segment
    weights: Mapping[str, Mapping[str, float]]
    stated: Mapping[str, Any]


@dataclass(frozen=True)
class Products:
    """The products as training sees them.

    Parameters
    ----------
    catalog
        n products.
    inputs
        Their encoder vectors and columns.
    aligned
        Whether the encoder's texts and images share one space.
    groups
        Variants of one product share a number, shape (n,).
    """

    catalog: Catalog
    inputs: ItemInputs
    aligned: bool
    groups: Rows

    @classmethod
    def of(cls, catalog: Catalog, encoded: EncodedCatalog) -> "Products":
        """Put a catalogue and its encoder vectors together."""
        inputs = ItemInputs(
            image=encoded.image if encoded.has_image.any() else None,
            has_image=encoded.has_image,
            text=encoded.text if encoded.has_text.any() else None,
            has_text=encoded.has_text,
            columns=learned_columns(catalog),
        )
        return cls(catalog, inputs, encoded.aligned, groups_of(catalog))


def groups_of(catalog: Catalog) -> Rows:
    """Return the number of each product's `item_group_id`, one of its own where it has none, shape (n,)."""
    own = np.array(catalog.ids, dtype=object)
    if "item_group_id" in catalog.frame:
        given = catalog.frame["item_group_id"].to_numpy(dtype=object)
        # the prefix keeps a product's id from meeting another's group
        own = np.array([f"g{g}" if g else f"i{i}" for g, i in zip(given, own, strict=True)], dtype=object)
    return np.unique(own.astype(str), return_inverse=True)[1].astype(np.int32)


def train_tower(products: Products, pairs: Pairs | None, seed: int) -> tuple[ItemTower, dict[str, Any]]:
    """Train the blocks that a product's own data give; the predictor is fitted with the events.

    Parameters
    ----------
    pairs
        Products that one user chose close together; None without events.

    Returns
    -------
    tuple
        The tower, and figures of its training.
    """
    inputs = products.inputs
    projection, figures = _projection(products, seed)
    content = {}
    for name in ("image", "text"):
        encoded = getattr(inputs, name)
        if encoded is not None:
            projected = None if projection is None else unit(getattr(projection, name)(encoded))
            content[name] = fit_content(encoded, getattr(inputs, f"has_{name}"), projected, seed)
    tower = _tower(content, projection, None)
    vectors = tower.own(inputs)[0] if content else None
    chosen = None if pairs is None else np.column_stack([pairs.first, pairs.second])
    category = train_category(products.catalog, vectors, chosen, seed)
    return _tower(content, projection, category), figures


def _projection(products: Products, seed: int) -> tuple[AlignedProjection | None, dict[str, Any]]:
    inputs = products.inputs
    both = np.flatnonzero(inputs.has_image & inputs.has_text)
    if products.aligned or inputs.image is None or inputs.text is None or len(both) < LEAST_PAIRS:
        return None, {}
    projection, figures = train_projection(
        inputs.image[both], inputs.text[both], products.groups[both], seed, ALIGNED_DIM
    )
    return projection, {"projection": figures}


def _tower(
    content: Mapping[str, ContentBlock],
    projection: AlignedProjection | None,
    category: CategoryEmbedding | None,
    behaviour: bool = False,
) -> ItemTower:
    dims = {name: block.dim for name, block in content.items()}
    if category is not None:
        dims["category"] = category.dim
    if behaviour:
        dims["behaviour"] = BEHAVIOUR_DIM
    layout = Layout(dims)
    return ItemTower(layout, content, projection, category, BlockPredictor({}, layout))


def place_products(
    tower: ItemTower, products: Products, interactions: Interactions | None, prior: PriorShape, seed: int
) -> tuple[ItemTower, Segment, dict[str, Any]]:
    """Learn what the events say, and make every product's vector.

    Returns
    -------
    tuple
        The tower with its predictor, the products' arrays, and what is stated of the prior.
    """
    n = len(products.catalog)
    tower = _tower(tower.content, tower.projection, tower.category, behaviour=interactions is not None)
    vectors, present = tower.own(products.inputs)
    counts = np.ones(n)
    if interactions is not None:
        behaviour, users = fit_behaviour(interactions, n, seed)
        vectors[:, tower.layout.slices["behaviour"]] = behaviour
        present[:, tower.layout.index("behaviour")] = users > 0
        counts = users.astype(np.float64)
    tower = replace(tower, predictor=fit_predictor(vectors, present, tower.layout, counts))
    filled = _filled(tower, vectors, present, counts)
    segment = _segment(products, tower.layout, filled, present, interactions)
    if interactions is None:
        return tower, segment, no_prior(products.catalog)[1]
    popularity, stated = prior.fit(interactions, n)
    return tower, replace(segment, prior=popularity), stated


def _filled(tower: ItemTower, vectors: Float, present: Mask, counts: np.ndarray) -> Float:
    """Predict missing blocks, and pull the behaviour of rarely chosen products to what their content predicts."""
    filled = tower.predictor.fill(vectors, present)
    if "behaviour" not in tower.layout.slices:
        return filled
    place, column = tower.layout.slices["behaviour"], tower.layout.index("behaviour")
    chosen = present[:, column]
    hidden = present.copy()
    hidden[:, column] = False
    guess = tower.predictor.fill(vectors, hidden)[chosen, place]
    weight = counts[chosen, None]
    filled[chosen, place] = unit((weight * vectors[chosen, place] + TRUST * guess) / (weight + TRUST))
    return filled


def _segment(
    products: Products, layout: Layout, vectors: Float, present: Mask, interactions: Interactions | None
) -> Segment:
    n = len(products.catalog)
    together = Cooccurrence.empty(n)
    if interactions is not None:
        together = fit_cooccurrence(interactions, pairs_of(interactions), n)
    return Segment(
        vectors=np.ascontiguousarray(vectors),
        present=present,
        prior=np.zeros(n, dtype=np.float32),
        groups=products.groups,
        neighbours=None,
        cooccurrence=together,
        layout=layout,
    )
