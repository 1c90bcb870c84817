"""The products as training sees them: encoder vectors, columns, variant groups and categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.catalog import Catalog
from recommender.core.blocks import Rows
from recommender.core.weights import CATEGORY_FIELD, category_kind
from recommender.encoders.pipeline import EncodedCatalog
from recommender.search.tokens import tokens_of
from recommender.towers.item import ItemInputs
from training.item_tower.category import learned_columns


@dataclass(frozen=True)
class TrainingItems:
    """The products of a catalogue with everything an item tower is trained on.

    Parameters
    ----------
    catalog
        n products.
    inputs
        Their encoder vectors and columns.
    aligned
        Whether the encoder's text and image vectors share one space.
    groups
        Variants of one product share a number, shape (n,).
    """

    catalog: Catalog
    inputs: ItemInputs
    aligned: bool
    groups: Rows

    @classmethod
    def of(cls, catalog: Catalog, encoded: EncodedCatalog) -> "TrainingItems":
        """Combine a catalogue with its encoder vectors."""
        inputs = item_inputs(encoded, learned_columns(catalog), catalog.texts())
        return cls(catalog, inputs, encoded.aligned, variant_groups(catalog))


def item_inputs(encoded: EncodedCatalog, columns: Mapping[str, Sequence[Any]], texts: Sequence[str]) -> ItemInputs:
    """Return the item tower's inputs for encoded products, their columns and their texts, "" for none."""
    return ItemInputs(
        image=encoded.image if encoded.has_image.any() else None,
        has_image=encoded.has_image,
        text=encoded.text if encoded.has_text.any() else None,
        has_text=encoded.has_text,
        columns=columns,
        words=[tokens_of(text) if text else [] for text in texts] if any(texts) else None,
        colors=encoded.colors,
    )


def variant_groups(catalog: Catalog) -> Rows:
    """Return the number of each product's `item_group_id`, shape (n,); one of its own where it has none."""
    none = [""] * len(catalog)
    names = catalog.frame["item_group_id"].tolist() if "item_group_id" in catalog.frame else none
    return group_numbers(catalog.ids, names)


def group_numbers(ids: Sequence[str], names: Sequence[str | None]) -> Rows:
    """Return a number for each product, the same for products of the same group name, shape (n,)."""
    # the prefix keeps a product's id from meeting another's group
    keys = [f"g{name}" if name else f"i{item_id}" for name, item_id in zip(names, ids, strict=True)]
    return np.unique(np.array(keys, dtype=str), return_inverse=True)[1].astype(np.int32)


def category_kinds(catalog: Catalog) -> list[str]:
    """Return the name that weights of each product's category would have, see `category_kind`, length n."""
    return [*map(category_kind, _types(catalog))]


def product_types(catalog: Catalog) -> list[str]:
    """Return the product type of each product, the first of several, "" where it has none, length n."""
    return [cell if isinstance(cell, str) else next(iter(cell), "") for cell in _types(catalog)]


def _types(catalog: Catalog) -> list[Any]:
    return catalog.frame[CATEGORY_FIELD].tolist() if CATEGORY_FIELD in catalog.frame else [""] * len(catalog)
