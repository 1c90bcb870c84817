"""How well a shop's data serve: what is known of how many products, and what stands there twice."""

from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.core.blocks import Mask
from recommender.items import Attributes

if TYPE_CHECKING:
    from recommender.recommender import Recommender

_SHOWN = 3  # values of a column


def data_quality(recommender: "Recommender") -> dict[str, Any]:
    """Return what a bundle knows of its catalogue.

    Returns
    -------
    dict
        ``products``; ``known``: block to the share of products that have it of their own; ``columns``: a line for
        each, with ``name``, ``kind``, ``filled`` (share), ``values`` (how many differ) and its ``most common``;
        ``variants``: products that share an `item_group_id`; ``alike``: products that the engine cannot tell from
        another, since photo, text and categories are the same.
    """
    segment, attributes = recommender.segment, recommender.attributes
    names = recommender.layout.names
    return {
        "products": len(recommender),
        "known": {name: float(segment.present[:, place].mean()) for place, name in enumerate(names)},
        "columns": [_column(attributes, name) for name in attributes.names],
        "variants": int((segment.group_sizes[segment.groups] > 1).sum()),
        "alike": int(_alike(recommender).sum()),
    }


def _column(attributes: Attributes, name: str) -> dict[str, Any]:
    kind = attributes.kind(name)
    line = {"name": name, "kind": kind, "filled": float(attributes.column(name).present().mean())}
    if kind in ("number", "date"):
        known = attributes.numbers(name)[attributes.column(name).present()]
        return line | {"values": len(np.unique(known)), "most common": _range(attributes, name, known)}
    codes = attributes.multi(name)[1] if kind == "multi" else attributes.codes(name)
    values = attributes.categories(name)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    best = np.argsort(-counts, kind="stable")[:_SHOWN].tolist() if kind != "text" else []
    return line | {"values": len(values), "most common": ", ".join(f"{values[c]} ({counts[c]:,})" for c in best)}


def _range(attributes: Attributes, name: str, known: np.ndarray) -> str:
    if not len(known):
        return ""
    values = attributes.numbers(name)
    rows = [int(np.nanargmin(values)), int(np.nanargmax(values))]
    return " to ".join(str(attributes.value(name, row)) for row in rows)


def _alike(recommender: "Recommender") -> Mask:
    """Mask the products whose content is that of another of another group, shape (n,)."""
    segment, layout = recommender.segment, recommender.layout
    places = [layout.slices[name] for name in layout.names if name != "behaviour"]
    if not places:
        return np.zeros(recommender.n, bool)
    content = np.round(np.hstack([segment.vectors[:, place] for place in places]), 4)
    _, which = np.unique(content @ _hashes(content.shape[1]), return_inverse=True)
    firsts = np.full(which.max() + 1, -1)
    firsts[which[::-1]] = segment.groups[::-1]
    odd = np.zeros(len(firsts), bool)
    odd[which[segment.groups != firsts[which]]] = True  # a second group has the same content
    return odd[which]


def _hashes(d: int) -> np.ndarray:
    """Return a direction on which vectors that differ differ, shape (d,)."""
    return np.random.default_rng(0).normal(size=d)
