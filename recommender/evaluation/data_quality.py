"""Data quality of a catalogue: missing blocks, filled columns, variants and indistinguishable products."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recommender.core.blocks import Mask
from recommender.items import Attributes

if TYPE_CHECKING:
    from recommender.recommender import Recommender

_TOP = 3  # values of a column
PARTS = {"image": ("Photos", "photo"), "text": ("Texts", "text"), "category": ("Categories", "category")}


@dataclass(frozen=True)
class DataQuality:
    """Data quality of a bundle's catalogue.

    Attributes
    ----------
    products
        That can be recommended today; removed ones do not count.
    blocks
        Block to the share of products for which it is known, not predicted.
    columns
        For each column ``name``, ``kind``, ``filled`` (share of products), ``distinct`` (values) and its ``top``
        values, or their range.
    variants
        Products that share an `item_group_id` with another.
    indistinguishable
        Products with the same photo, text and categories as one of another `item_group_id`.
    """

    products: int
    blocks: Mapping[str, float]
    columns: tuple[Mapping[str, Any], ...]
    variants: int
    indistinguishable: int

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as plain values."""
        return asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per column of the catalogue."""
        names = ["name", "kind", "filled", "distinct", "top"]
        return pd.DataFrame(list(self.columns), columns=names).set_index("name")

    def __repr__(self) -> str:
        return (
            f"<DataQuality: {self.products:,} products, {len(self.columns)} columns, {self.variants:,} variants, "
            f"{self.indistinguishable:,} indistinguishable>"
        )

    def _repr_html_(self) -> str:
        return str(self.to_frame().round(3).to_html())


def data_quality(recommender: "Recommender") -> DataQuality:
    """Return the data quality of a recommender's catalogue.

    Parameters
    ----------
    recommender
        Holds the catalogue.
    """
    segment, attributes = recommender.segment, recommender.attributes
    names = recommender.layout.names
    listed = np.zeros(recommender.n, bool)
    listed[np.asarray(attributes.ids.in_order)] = True  # without removed products
    groups = segment.groups[listed]
    return DataQuality(
        products=len(recommender),
        blocks={name: float(segment.present[listed, column].mean()) for column, name in enumerate(names)},
        columns=tuple(_column(attributes, name, listed) for name in attributes.names),
        variants=int((np.bincount(groups)[groups] > 1).sum()),
        indistinguishable=int(_indistinguishable(recommender, listed).sum()),
    )


def missing_parts(recommender: "Recommender") -> dict[str, int]:
    """Count the products without a photo, a text or a category, by block; all of them where no product has one."""
    segment, layout = recommender.segment, recommender.layout
    rows = np.asarray(recommender.attributes.ids.in_order)  # without removed products
    known = {name: int(segment.present[rows, layout.index(name)].sum()) for name in PARTS if name in layout.names}
    return {name: len(rows) - known.get(name, 0) for name in PARTS}


def _column(attributes: Attributes, name: str, listed: Mask) -> dict[str, Any]:
    kind, filled = attributes.kind(name), attributes.column(name).present() & listed
    row = {"name": name, "kind": kind, "filled": float(filled[listed].mean())}
    if kind in ("number", "date"):
        known = attributes.numbers(name)[filled]
        return row | {"distinct": len(np.unique(known)), "top": _range(attributes, name, filled)}
    if kind == "multi":
        starts, codes = attributes.multi(name)
        codes = codes[np.repeat(listed, np.diff(starts))]
    else:
        codes = attributes.codes(name)[listed]
    values = attributes.categories(name)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    top = np.argsort(-counts, kind="stable")[:_TOP].tolist() if kind != "text" else []
    return row | {
        "distinct": int((counts > 0).sum()),
        "top": ", ".join(f"{values[c]} ({counts[c]:,})" for c in top),
    }


def _range(attributes: Attributes, name: str, filled: Mask) -> str:
    if not filled.any():
        return ""
    values = np.where(filled, attributes.numbers(name), np.nan)
    rows = [int(np.nanargmin(values)), int(np.nanargmax(values))]
    return " to ".join(str(attributes.value(name, row)) for row in rows)


def _indistinguishable(recommender: "Recommender", listed: Mask) -> Mask:
    """Mask the products with the same content as a product of another group, shape (products,)."""
    segment, layout = recommender.segment, recommender.layout
    slices = [layout.slices[name] for name in layout.names if name != "behaviour"]
    if not slices:
        return np.zeros(int(listed.sum()), bool)
    groups = segment.groups[listed]
    content = np.round(np.hstack([segment.vectors[listed, columns] for columns in slices]), 4)
    _, cluster = np.unique(content @ _hash_direction(content.shape[1]), return_inverse=True)
    first_group = np.full(cluster.max() + 1, -1)
    first_group[cluster[::-1]] = groups[::-1]
    shared = np.zeros(len(first_group), bool)
    shared[cluster[groups != first_group[cluster]]] = True  # a second group has the same content
    return shared[cluster]


def _hash_direction(d: int) -> np.ndarray:
    """Return a random direction, shape (d,): different vectors have different inner products with it."""
    return np.random.default_rng(0).normal(size=d)
