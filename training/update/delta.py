"""Publishes what has changed of a bundle's products as a small part over the same base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.bundle import Staging, write_thumbnails
from recommender.bundle.delta import DELTA, Delta, array_loader
from recommender.bundle.extended import extended_array
from recommender.core.blocks import NO_ROWS, Float, Mask, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.core.weights import SPLIT, item_kind
from recommender.items.attributes import write_columns
from recommender.items.delta import PatchedIds
from recommender.items.ids import Ids
from recommender.recommender import Recommender
from recommender.retrieval.codes import Codes
from training.update.neighbours import NeighbourPatch

KEPT = ("base", "towers", "thumbnails", "encoder")
GROUP = "item_group_id"


@dataclass(frozen=True)
class Embedded:
    """Products as they are to be in a bundle from now on, in order of id.

    Parameters
    ----------
    ids
        Of c products.
    vectors, present
        Shape (c, d) and (c, M), see `Segment`.
    cells
        Name of each attribute of the bundle to c values.
    pictures
        Encoded thumbnails; None where there is no photo.
    """

    ids: Sequence[str]
    vectors: Float
    present: Mask
    cells: Mapping[str, Sequence[Any]]
    pictures: Sequence[bytes | None]


def publish_delta(recommender: Recommender, embedded: Embedded, removed: Sequence[str] = ()) -> str:
    """Change, add and remove products of the current generation.

    Parameters
    ----------
    recommender
        Over the current generation.
    embedded
        What changes or is new.
    removed
        Ids that are known and not among `embedded`.

    Returns
    -------
    str
        The new generation's name.

    Raises
    ------
    BundleError
        If another generation was published since, or the folder cannot be written.
    """
    bundle = recommender.bundle
    with Staging(bundle.root) as staging:
        draft = _Draft(recommender, embedded, removed)
        counts = draft.write(staging.part(DELTA))
        manifest = bundle.manifest
        fields = manifest.with_fields(n=draft.products).to_dict() | {"delta": counts}
        return staging.publish(fields, parent=bundle, reuse=KEPT)


class _Draft:
    """A delta on its way to the disk."""

    def __init__(self, recommender: Recommender, embedded: Embedded, removed: Sequence[str]) -> None:
        self._recommender, self._bundle, self._embedded = recommender, recommender.bundle, embedded
        self._segment = recommender.segment
        ids, self._delta = recommender.attributes.ids, Delta.of(recommender.bundle)
        gone = {ids.id_of(row): row for row in ids.removed.tolist()}
        known = [max(ids.row_of(item_id), gone.get(item_id, -1)) for item_id in embedded.ids]
        new = iter(range(self._segment.n, self._segment.n + known.count(-1)))
        self._now: Rows = np.array([row if row >= 0 else next(new) for row in known], dtype=np.int32)
        was: Rows = np.append(ids.removed, ids.rows_of(removed)).astype(np.int32)
        self._removed: Rows = np.setdiff1d(was, self._now)
        named = {} if self._delta is None else {ids.id_of(row): row for row in self._delta.rows.tolist()}
        self._rows_by_id = dict(
            sorted({**named, **dict(zip(embedded.ids, self._now.tolist(), strict=True))}.items())
        )
        self._rows: Rows = np.array([*self._rows_by_id.values()], dtype=np.int32)
        self._n = max(self._segment.n, int(self._now.max(initial=-1)) + 1)
        self.products = self._n - len(self._removed)

    def write(self, folder: Path) -> dict[str, int]:
        """Write the part; return what the manifest says of it."""
        np.save(folder / "rows.npy", self._rows)
        np.save(folder / "removed.npy", self._removed)
        self._write_attributes(folder / "attributes")
        self._write_pictures(folder / "thumbnails")
        segment = self._write_arrays(folder)
        self._write_index(folder, segment)
        patched = self._write_neighbours(folder, segment)
        counts = {"rows": len(self._rows), "neighbour_rows": patched, "removed": len(self._removed)}
        return counts | {"base_n": self._bundle.manifest.base_n}

    def _write_attributes(self, folder: Path) -> None:
        folder.mkdir()
        attributes = self._recommender.attributes
        place = {row: place for place, row in enumerate(self._now.tolist())}
        kinds = {name: attributes.kind(name) for name in attributes.names}
        cells = {
            name: [
                self._embedded.cells[name][place[row]] if row in place else attributes.value(name, row)
                for row in self._rows.tolist()
            ]
            for name in kinds
        }
        write_columns(folder, [*self._rows_by_id], kinds, cells)

    def _write_pictures(self, folder: Path) -> None:
        folder.mkdir()
        new = dict(zip(self._embedded.ids, self._embedded.pictures, strict=True))
        old = self._recommender.thumbnail
        write_thumbnails(
            folder, (new[item_id] if item_id in new else old(item_id) for item_id in self._rows_by_id)
        )

    def _write_arrays(self, folder: Path) -> Segment:
        """Write the products' arrays; return all products as they are now, without a neighbour table."""
        old, now = self._segment, self._embedded
        known = self._now[self._now < old.n]
        prior = np.zeros(len(self._now), dtype=np.float32)  # what is new was never chosen
        prior[self._now < old.n] = old.prior[known]
        values = {"vectors": now.vectors, "present": now.present, "prior": prior}
        arrays = {}
        for name, new in values.items():
            patch = self._gathered(getattr(old, name), new)
            np.save(folder / f"{name}.npy", patch)
            arrays[name] = extended_array(self._bundle.path("base", f"{name}.npy"), self._rows, patch)
        groups = self._groups()
        np.save(folder / "groups.npy", groups)
        ids = Ids.open(self._bundle.path("base", "attributes/ids.npy"))
        places = PatchedIds(ids, Ids.open(folder / "attributes" / "ids.npy"), self._rows, self._removed).places
        return Segment(
            **arrays,
            groups=groups,
            neighbours=None,
            cooccurrence=self._grown(old.cooccurrence),
            complements=self._grown(old.complements),
            layout=old.layout,
            places=places,
        )

    def _grown(self, table: Cooccurrence) -> Cooccurrence:
        """Return a table of what goes together for all products as they are now; what is new goes with nothing."""
        starts = np.append(table.indptr, np.repeat(table.indptr[-1], self._n - self._segment.n))
        return Cooccurrence(starts, table.indices, table.values, self._removed)

    def _write_index(self, folder: Path, segment: Segment) -> None:
        """Write the codes of the changed, and their edges: what is new has none, and is scanned."""
        load = array_loader(self._bundle)
        if self._bundle.has("base", "codes.npy"):
            codes = Codes.open(load, segment.layout)
            rounded, error = codes.rounded(segment.vectors[self._rows], segment.prior[self._rows])
            np.save(folder / "codes.npy", rounded)
            np.save(folder / "codes_scales.npy", np.append(codes.scales, max(codes.error, error)))
        if self._bundle.has("base", "graph.npy"):
            graph = load("graph.npy")
            edges = np.full((len(self._rows), graph.shape[1]), -1, dtype=np.int32)
            known = self._rows < len(graph)
            edges[known] = graph[self._rows[known]]
            np.save(folder / "graph.npy", edges)

    def _write_neighbours(self, folder: Path, after: Segment) -> int:
        before = self._segment
        assert before.neighbours is not None
        assert before.neighbour_scores is not None
        weights, removed = self._bundle.manifest.weights, self._recommender.attributes.ids.removed
        changed, gone = np.unique(self._now), (self._removed, removed)
        patch = NeighbourPatch(before, after, weights, self._kinds(), changed, gone)
        lists = dict(patch.lists())
        old = NO_ROWS if self._delta is None else self._bundle.array(DELTA, "neighbour_rows.npy")
        added = np.arange(self._bundle.manifest.base_n, self._n)
        rows = np.unique(np.concatenate([old, added, [*lists]])).astype(np.int32)
        width = before.neighbours.shape[1]
        table, scores = np.full((len(rows), width), -1, dtype=np.int32), np.zeros((len(rows), width))
        for place, row in enumerate(rows.tolist()):
            if (found := lists.get(row)) is not None:
                size = len(found.rows)
                table[place, :size], scores[place, :size] = found.rows, found.scores
            elif row < before.n:
                table[place], scores[place] = before.neighbours[row], before.neighbour_scores[row]
        np.save(folder / "neighbour_rows.npy", rows)
        np.save(folder / "neighbours.npy", table)
        np.save(folder / "neighbour_scores.npy", scores)
        return len(rows)

    def _kinds(self) -> list[str]:
        """Return whose weights count for each product as it is now."""
        kinds = [*map(self._recommender.kind_of, range(self._segment.n)), *["item"] * (self._n - self._segment.n)]
        for row, cell in zip(self._now.tolist(), self._embedded.cells.get(SPLIT, ()), strict=False):
            kinds[row] = item_kind(self._bundle.manifest.weights, cell)
        return kinds

    def _gathered(self, old: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Return the rows of the delta: as they are now where they change, as they were elsewhere."""
        out = np.zeros((len(self._rows), *old.shape[1:]), dtype=old.dtype)
        known = self._rows < len(old)
        out[known] = old[self._rows[known]]
        place_of = {row: place for place, row in enumerate(self._rows.tolist())}
        out[[place_of[row] for row in self._now.tolist()]] = now
        return out

    def _groups(self) -> Rows:
        """Return the variant groups: a changed product joins those of its `item_group_id`, or has its own."""
        old, attributes = self._segment.groups, self._recommender.attributes
        groups = np.append(old, np.zeros(self._n - len(old), dtype=np.int32))
        untouched = np.ones(len(old), dtype=bool)
        untouched[self._now[self._now < len(old)]] = False
        told = self._embedded.cells.get(GROUP) or [None] * len(self._now)
        numbers: dict[str, int] = {}
        free = int(old.max(initial=-1)) + 1
        for place, (row, name) in enumerate(zip(self._now.tolist(), told, strict=True)):
            key = f"g{name}" if name else f"i{place}"
            if key not in numbers:
                same = attributes.column(GROUP).any_of([name]) & untouched if name else np.zeros(0, dtype=bool)
                numbers[key] = int(old[same.argmax()]) if same.any() else free + len(numbers)
            groups[row] = numbers[key]
        return groups
