"""What is learned from: products with a text and a photo, and which of them may not be told apart."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from recommender.catalog import Catalog
from recommender.core.blocks import Mask, Rows
from recommender.encoders.cache import digest
from training.encoders.retrieval_metrics import hold_out
from training.model import groups_of

_HELD_OUT = 0.15
_MOST_HELD_OUT = 4000  # so that an evaluation takes no longer than a small part of an epoch


@dataclass(frozen=True)
class Examples:
    """The pairs of a catalogue, split.

    Parameters
    ----------
    rows
        Products with a text and a usable photo, shape (p,).
    groups
        Products of one group share their `item_group_id`, their text or their photo, perhaps over a third one,
        shape (p,): none is a negative of another, and they are held out together.
    learned
        Places in `rows` that are trained on.
    validation, test
        Places in `rows` of one product of each group that is held out, so that each query has one answer: the
        first choose the best weights, the second give the figures.
    """

    rows: Rows
    groups: NDArray[np.int64]
    learned: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    @classmethod
    def of(cls, catalog: Catalog, usable: Mask, seed: int) -> Self:
        """Split the products (n,) that are `usable`."""
        rows = np.flatnonzero(usable)
        texts, refs = np.array(catalog.texts(), dtype=object), catalog.image_refs()
        photos = [catalog.images.key(refs[row]) for row in rows]
        groups = joined(groups_of(catalog)[rows], texts[rows].astype(str), np.array(photos, dtype=str))
        share = min(_HELD_OUT, _MOST_HELD_OUT / max(len(np.unique(groups)), 1))
        held = hold_out(groups, share, np.random.default_rng(seed))
        first = np.unique(groups, return_index=True)[1]
        validation, test = np.array_split(np.random.default_rng(seed).permutation(first[held[first]]), 2)
        return cls(rows.astype(np.int32), groups, np.flatnonzero(~held), validation, test)

    @property
    def distinct(self) -> int:
        """Number of groups that are trained on: the pairs of an epoch."""
        return len(np.unique(self.groups[self.learned]))

    def epoch(self, number: int, size: int, seed: int) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch, places in `rows`: of each group one product, another in each epoch.

        They depend on nothing but the arguments, so that a training that goes on sees what it would have seen.
        """
        rng = np.random.default_rng([seed, number])
        shuffled = rng.permutation(self.learned)
        one_each = rng.permutation(shuffled[np.unique(self.groups[shuffled], return_index=True)[1]])
        return np.array_split(one_each, -(-len(one_each) // size))

    def fingerprint(self, catalog: Catalog) -> str:
        """Return a digest of all that is learned from, in order."""
        texts, refs = catalog.texts(), catalog.image_refs()
        told = [f"{texts[row]}\n{catalog.images.key(refs[row])}" for row in self.rows]
        return digest("\0".join([*told, str(self.groups.tolist()), str(self.learned.tolist())])).decode()


def joined(*labels: NDArray) -> NDArray[np.int64]:
    """Give items (p,) numbers, the same one to those with any label in common, directly or over others."""
    p, ends, offset = len(labels[0]), [], len(labels[0])
    for label in labels:
        names, numbers = np.unique(label, return_inverse=True)
        ends.append(numbers + offset)
        offset += len(names)
    edges = np.tile(np.arange(p), len(labels)), np.concatenate(ends)
    graph = coo_array((np.ones(len(edges[0]), dtype=bool), edges), shape=(offset, offset))
    component = connected_components(graph, directed=False)[1][:p]
    return np.unique(component, return_inverse=True)[1].astype(np.int64)
