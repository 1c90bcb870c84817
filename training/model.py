"""A trained engine: its towers, its products' vectors, and what the events taught."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recommender.catalog import Catalog, Interactions
from recommender.core.blocks import Float, Layout, Mask, Rows, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.core.weights import SPLIT, category_kind
from recommender.encoders.pipeline import EncodedCatalog
from recommender.towers.behaviour import content_of
from recommender.towers.category import CategoryEmbedding, bag
from recommender.towers.content import ContentBlock
from recommender.towers.item import ItemInputs, ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.projection import AlignedProjection
from recommender.towers.user import UserTower
from training.behaviour.sequence_model import Content
from training.behaviour.sequences import Sequences
from training.behaviour.train import Behaviour, Validate, train_behaviour
from training.cooccurrence.pairs import Pairs
from training.item_tower.alignment import train_projection
from training.item_tower.category import learned_columns, train_category
from training.item_tower.content import fit_content
from training.item_tower.predictor import fit_predictor

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
        Kinds of question to term weights, see `Manifest`.
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
        inputs = inputs_of(encoded, learned_columns(catalog))
        return cls(catalog, inputs, encoded.aligned, groups_of(catalog))


def inputs_of(encoded: EncodedCatalog, columns: Mapping[str, Sequence[Any]]) -> ItemInputs:
    """Return what the item tower reads of encoded products and their columns."""
    return ItemInputs(
        image=encoded.image if encoded.has_image.any() else None,
        has_image=encoded.has_image,
        text=encoded.text if encoded.has_text.any() else None,
        has_text=encoded.has_text,
        columns=columns,
    )


@dataclass(frozen=True)
class Described:
    """The products by what their own data say.

    Parameters
    ----------
    tower
        Says it; without behaviour.
    vectors
        Content and category blocks, missing ones predicted, shape (n, d).
    present
        Shape (n, M).
    """

    tower: ItemTower
    vectors: Float
    present: Mask


def groups_of(catalog: Catalog) -> Rows:
    """Return the number of each product's `item_group_id`, one of its own where it has none, shape (n,)."""
    none = [""] * len(catalog)
    given = catalog.frame["item_group_id"].tolist() if "item_group_id" in catalog.frame else none
    return group_numbers(catalog.ids, given)


def category_kinds(catalog: Catalog) -> list[str]:
    """Return the kind of question that would be a category's own, see `category_kind`, of each product."""
    cells = catalog.frame[SPLIT].tolist() if SPLIT in catalog.frame else [""] * len(catalog)
    return [*map(category_kind, cells)]


def group_numbers(ids: Sequence[str], given: Sequence[str | None]) -> Rows:
    """Return a number for each product, the same for those that were given the same group, shape (n,)."""
    # the prefix keeps a product's id from meeting another's group
    own = [f"g{g}" if g else f"i{i}" for g, i in zip(given, ids, strict=True)]
    return np.unique(np.array(own, dtype=str), return_inverse=True)[1].astype(np.int32)


def describe(products: Products, pairs: Pairs | None, seed: int) -> tuple[Described, dict[str, Any]]:
    """Train the blocks that a product's own data give, and make them.

    Parameters
    ----------
    pairs
        Products that one user chose close together; None without events.

    Returns
    -------
    tuple
        The products described, and figures of the training.
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
    category, told = train_category(products.catalog, vectors, chosen, seed)
    tower = _tower(content, projection, category)
    vectors, present = tower.own(inputs)
    predictor = fit_predictor(vectors, present, tower.layout)
    described = Described(replace(tower, predictor=predictor), predictor.fill(vectors, present), present)
    return described, figures | ({"category": told} if told else {})


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
    content: Mapping[str, ContentBlock], projection: AlignedProjection | None, category: CategoryEmbedding | None
) -> ItemTower:
    dims = {name: block.dim for name, block in content.items()}
    if category is not None:
        dims["category"] = category.dim
    layout = Layout(dims)
    return ItemTower(layout, content, projection, category, BlockPredictor({}, layout))


def learn_behaviour(
    described: Described,
    products: Products,
    interactions: Interactions,
    seed: int,
    share: float = 1.0,
    validate: Validate | None = None,
    folder: Path | None = None,
) -> Behaviour | None:
    """Train the behaviour block and the sequence tower over what each product's own data say.

    Parameters
    ----------
    share, validate, folder
        See `train_behaviour`.
    """
    tower = described.tower
    words = () if tower.category is None else tower.category.vocabularies
    bags = bag(words, products.inputs.columns) if words else None
    content = Content.of(content_of(described.vectors, tower.layout), bags, sum(word.size for word in words))
    return train_behaviour(Sequences.of(interactions), content, seed, share, validate, folder)


def place_products(
    described: Described, products: Products, behaviour: Behaviour | None
) -> tuple[ItemTower, Segment]:
    """Join the behaviour to what the products' own data say; without prior and co-occurrence.

    Returns
    -------
    tuple
        The tower with all blocks, and the products' arrays.
    """
    n, tower = len(products.catalog), described.tower
    vectors, present = described.vectors, described.present
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
        groups=products.groups,
        neighbours=None,
        cooccurrence=Cooccurrence.empty(n),
        complements=Cooccurrence.empty(n),
        layout=tower.layout,
    )
    return tower, segment
