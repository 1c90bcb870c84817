"""The examples of fine-tuning: products with a text and an image, and the groups that are no negatives."""

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
from training.items import variant_groups

_HELD_OUT_SHARE = 0.15
_MAX_HELD_OUT = 4000  # so that an evaluation takes no longer than a small part of an epoch


@dataclass(frozen=True)
class Examples:
    """The text–image pairs of a catalogue, split into training, validation and test.

    Parameters
    ----------
    rows
        Products with a text and a readable image, shape (p,).
    groups
        Products of one group share their `item_group_id`, their text or their image, directly or through a third
        one, shape (p,): none is a negative of another, and they are held out together.
    train
        Indices of `rows` that are trained on.
    validation, test
        Indices of `rows` of one product of each group that is held out, so that each query has one answer: by the
        first the best epoch is selected, by the second the metrics are measured.
    """

    rows: Rows
    groups: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    @classmethod
    def of(cls, catalog: Catalog, usable: Mask, seed: int) -> Self:
        """Split the products that are `usable`, shape (n,)."""
        rows = np.flatnonzero(usable)
        texts, refs = np.array(catalog.texts(), dtype=object), catalog.image_refs()
        images = [catalog.images.key(refs[row]) for row in rows]
        groups = connected_groups(
            variant_groups(catalog)[rows], texts[rows].astype(str), np.array(images, dtype=str)
        )
        share = min(_HELD_OUT_SHARE, _MAX_HELD_OUT / max(len(np.unique(groups)), 1))
        held_out = hold_out(groups, share, np.random.default_rng(seed))
        first = np.unique(groups, return_index=True)[1]
        validation, test = np.array_split(np.random.default_rng(seed).permutation(first[held_out[first]]), 2)
        return cls(rows.astype(np.int32), groups, np.flatnonzero(~held_out), validation, test)

    @property
    def train_groups(self) -> int:
        """Number of groups that are trained on: the pairs of an epoch."""
        return len(np.unique(self.groups[self.train]))

    def epoch(self, number: int, size: int, seed: int) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch, indices of `rows`: of each group one product, another in each epoch.

        They depend on the arguments only, so that a resumed training has the same batches.
        """
        rng = np.random.default_rng([seed, number])
        shuffled = rng.permutation(self.train)
        one_each = rng.permutation(shuffled[np.unique(self.groups[shuffled], return_index=True)[1]])
        return np.array_split(one_each, -(-len(one_each) // size))

    def fingerprint(self, catalog: Catalog) -> str:
        """Return a digest of all training data, in order."""
        texts, refs = catalog.texts(), catalog.image_refs()
        parts = [f"{texts[row]}\n{catalog.images.key(refs[row])}" for row in self.rows]
        return digest("\0".join([*parts, str(self.groups.tolist()), str(self.train.tolist())])).decode()


def connected_groups(*labels: NDArray) -> NDArray[np.int64]:
    """Return group numbers, shape (p,), the same for items that equal labels connect, directly or not."""
    p, ends, offset = len(labels[0]), [], len(labels[0])
    for label in labels:
        names, numbers = np.unique(label, return_inverse=True)
        ends.append(numbers + offset)
        offset += len(names)
    edges = np.tile(np.arange(p), len(labels)), np.concatenate(ends)
    graph = coo_array((np.ones(len(edges[0]), dtype=bool), edges), shape=(offset, offset))
    component = connected_components(graph, directed=False)[1][:p]
    return np.unique(component, return_inverse=True)[1].astype(np.int64)
