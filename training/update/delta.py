"""Publishes a delta: changed, new and removed products as a small part over the same base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recommender.bundle import Staging, write_thumbnails
from recommender.bundle.delta import DELTA, REFRESH, Delta, array_loader, base_path
from recommender.bundle.extended import extended_array
from recommender.core.blocks import NO_ROWS, Double, Float, Mask, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.core.weights import CATEGORY_FIELD, item_kind
from recommender.items.attributes import write_columns
from recommender.items.delta import DeltaIds
from recommender.items.ids import Ids
from recommender.loading import ROW_TIMES
from recommender.recommender import Recommender
from recommender.retrieval.codes import Codes
from recommender.retrieval.kernels import walk_kernels
from recommender.retrieval.neighbour_codes import FILES, NeighbourCodes
from training.update.neighbours import NeighbourUpdate

SHARED_PARTS = ("base", "statistics", REFRESH, "towers", "thumbnails", "encoder", "evaluation")
GROUP = "item_group_id"
COUNTED = "counted.npy"  # of a refresh: which products had events then


@dataclass(frozen=True)
class EmbeddedProducts:
    """Changed and new products with their vectors, in order of id.

    Parameters
    ----------
    ids
        Of c products.
    vectors, present, prior
        Shape (c, d), (c, M) and (c,), see `Segment`; the prior of products without events is predicted.
    cells
        Attribute name to c values, for every attribute of the bundle.
    thumbnails
        JPEG files; None where there is no image.
    """

    ids: Sequence[str]
    vectors: Float
    present: Mask
    prior: Float
    cells: Mapping[str, Sequence[Any]]
    thumbnails: Sequence[bytes | None]

    @classmethod
    def none(cls, recommender: Recommender) -> "EmbeddedProducts":
        """Return no products."""
        layout, names = recommender.layout, recommender.attributes.names
        vectors, present = np.zeros((0, layout.d), np.float32), np.zeros((0, len(layout.names)), bool)
        return cls([], vectors, present, np.empty(0, np.float32), {name: [] for name in names}, [])


def publish_delta(
    recommender: Recommender,
    embedded: EmbeddedProducts,
    removed: Sequence[str] = (),
    overlay_revision: int = 0,
    times: Mapping[str, float] | None = None,
) -> str:
    """Publish a generation with changed, new and removed products.

    Parameters
    ----------
    recommender
        Of the current generation.
    embedded
        Changed and new products.
    removed
        Ids of products of the current generation, none of `embedded`.
    overlay_revision
        The revision at which the last of them was queued in the overlay; 0 where none was.
    times
        Moments of the catalogue's rows in POSIX seconds, by product id, also of unchanged products; others keep
        theirs, and new ones have none.

    Returns
    -------
    str
        The new generation's name.

    Raises
    ------
    BundleError
        If another generation was published meanwhile, or the folder cannot be written.
    """
    bundle = recommender.bundle
    with Staging(bundle.root) as staging:
        delta = _DeltaWriter(recommender, embedded, removed, times or {})
        counts = delta.write(staging.part(DELTA))
        manifest = bundle.manifest
        fields = manifest.with_fields(n=delta.products).to_dict() | {"delta": counts}
        return staging.publish(fields, parent=bundle, reuse=SHARED_PARTS, overlay_revision=overlay_revision)


class _DeltaWriter:
    """Writes the delta part: all rows that differ from the base, those of an earlier delta included."""

    def __init__(
        self,
        recommender: Recommender,
        embedded: EmbeddedProducts,
        removed: Sequence[str],
        times: Mapping[str, float],
    ) -> None:
        self._recommender, self._bundle, self._embedded = recommender, recommender.bundle, embedded
        self._times = times
        self._segment = recommender.segment
        ids, self._delta = recommender.attributes.ids, Delta.of(recommender.bundle)
        removed_rows = {ids.id_of(row): row for row in ids.removed.tolist()}
        known = [max(ids.row_of(item_id), removed_rows.get(item_id, -1)) for item_id in embedded.ids]
        new = iter(range(self._segment.n, self._segment.n + known.count(-1)))
        self._changed: Rows = np.array([row if row >= 0 else next(new) for row in known], dtype=np.int32)
        all_removed: Rows = np.append(ids.removed, ids.rows_of(removed)).astype(np.int32)
        self._removed: Rows = np.setdiff1d(all_removed, self._changed)
        in_delta = {} if self._delta is None else {ids.id_of(row): row for row in self._delta.rows.tolist()}
        changed = dict(zip(embedded.ids, self._changed.tolist(), strict=True))
        self._rows_by_id = dict(sorted({**in_delta, **changed}.items()))
        self._rows: Rows = np.array([*self._rows_by_id.values()], dtype=np.int32)
        self._n = max(self._segment.n, int(self._changed.max(initial=-1)) + 1)
        self.products = self._n - len(self._removed)

    def write(self, folder: Path) -> dict[str, int]:
        """Write the part; return its row counts for the manifest."""
        np.save(folder / "rows.npy", self._rows)
        np.save(folder / "removed.npy", self._removed)
        self._write_attributes(folder / "attributes")
        self._write_thumbnails(folder / "thumbnails")
        segment = self._write_arrays(folder)
        self._write_index(folder, segment)
        neighbour_rows = self._write_neighbours(folder, segment)
        counts = {"rows": len(self._rows), "neighbour_rows": neighbour_rows, "removed": len(self._removed)}
        return counts | {"base_n": self._bundle.manifest.base_n}

    def _write_attributes(self, folder: Path) -> None:
        folder.mkdir()
        attributes = self._recommender.attributes
        index_of = {row: index for index, row in enumerate(self._changed.tolist())}
        kinds = {name: attributes.kind(name) for name in attributes.names}
        cells = {
            name: [
                self._embedded.cells[name][index_of[row]] if row in index_of else attributes.value(name, row)
                for row in self._rows.tolist()
            ]
            for name in kinds
        }
        write_columns(folder, [*self._rows_by_id], kinds, cells)

    def _write_thumbnails(self, folder: Path) -> None:
        folder.mkdir()
        new = dict(zip(self._embedded.ids, self._embedded.thumbnails, strict=True))
        old = self._recommender.thumbnail
        write_thumbnails(
            folder, (new[item_id] if item_id in new else old(item_id) for item_id in self._rows_by_id)
        )

    def _write_arrays(self, folder: Path) -> Segment:
        """Write the products' arrays; return the new segment, without a neighbour table."""
        old, new = self._segment, self._embedded
        values = {"vectors": new.vectors, "present": new.present, "prior": new.prior}
        arrays = {}
        for name, array in values.items():
            rows = self._delta_rows(getattr(old, name), array)
            np.save(folder / f"{name}.npy", rows)
            arrays[name] = extended_array(base_path(self._bundle, f"{name}.npy"), self._rows, rows)
        groups = self._groups()
        np.save(folder / "groups.npy", groups)
        np.save(folder / ROW_TIMES, self._row_times())
        ids = Ids.open(self._bundle.path("base", "attributes/ids.npy"))
        id_ranks = DeltaIds(ids, Ids.open(folder / "attributes" / "ids.npy"), self._rows, self._removed).id_ranks
        return Segment(
            **arrays,
            groups=groups,
            neighbours=None,
            cooccurrence=self._extended(old.cooccurrence),
            complements=self._extended(old.complements),
            layout=old.layout,
            id_ranks=id_ranks,
        )

    def _row_times(self) -> Double:
        times = np.full(self._n, np.nan)
        times[: self._segment.n] = self._recommender.row_times
        changed = dict(zip(self._embedded.ids, self._changed.tolist(), strict=True))
        known = self._recommender.attributes.ids
        rows = [changed.get(item_id, known.row_of(item_id)) for item_id in self._times]
        pairs = [(row, time) for row, time in zip(rows, self._times.values(), strict=True) if row >= 0]
        times[[row for row, _ in pairs]] = [time for _, time in pairs]
        return times

    def _extended(self, table: Cooccurrence) -> Cooccurrence:
        """Return a co-occurrence table with empty rows for the new products."""
        starts = np.append(table.indptr, np.repeat(table.indptr[-1], self._n - self._segment.n))
        return Cooccurrence(starts, table.indices, table.values, self._removed)

    def _write_index(self, folder: Path, segment: Segment) -> None:
        """Write codes and edges of the delta's rows; new products have no edges and are scanned."""
        load = array_loader(self._bundle)
        if self._bundle.has("base", "codes.npy"):
            codes = Codes.open(load, segment.layout)
            rounded, error = codes.quantize(segment.vectors[self._rows], segment.prior[self._rows])
            np.save(folder / "codes.npy", rounded)
            np.save(folder / "codes_scales.npy", np.append(codes.scales, max(codes.error, error)))
        if self._bundle.has("base", "graph.npy"):
            graph = load("graph.npy")
            edges = np.full((len(self._rows), graph.shape[1]), -1, dtype=np.int32)
            known = self._rows < len(graph)
            edges[known] = graph[self._rows[known]]
            np.save(folder / "graph.npy", edges)
            if self._bundle.has("base", FILES[0]) and walk_kernels() is not None:
                path = base_path(self._bundle, "codes.npy")
                changed = replace(codes, codes=extended_array(path, self._rows, rounded))
                self._write_neighbour_codes(folder, changed, edges)

    def _write_neighbour_codes(self, folder: Path, codes: Codes, edges: Rows) -> None:
        """Write one-bit codes of the differences between changed products and their neighbours."""
        rotation = self._bundle.array("base", FILES[2])
        near = NeighbourCodes.empty(rotation, *edges.shape)
        near.encode(codes, self._rows, edges, 0, len(edges))
        near.save(folder)

    def _write_neighbours(self, folder: Path, after: Segment) -> int:
        before = self._segment
        assert before.neighbours is not None
        assert before.neighbour_scores is not None
        weights, removed = self._bundle.manifest.weights, self._recommender.attributes.ids.removed
        changed, all_removed = np.unique(self._changed), (self._removed, removed)
        update = NeighbourUpdate(before, after, weights, self._kinds(), changed, all_removed)
        lists = dict(update.lists())
        old = NO_ROWS if self._delta is None else self._bundle.array(DELTA, "neighbour_rows.npy")
        added = np.arange(self._bundle.manifest.base_n, self._n)
        rows = np.unique(np.concatenate([old, added, [*lists]])).astype(np.int32)
        width = before.neighbours.shape[1]
        table, scores = np.full((len(rows), width), -1, dtype=np.int32), np.zeros((len(rows), width))
        for index, row in enumerate(rows.tolist()):
            if (selection := lists.get(row)) is not None:
                size = len(selection.rows)
                table[index, :size], scores[index, :size] = selection.rows, selection.scores
            elif row < before.n:
                table[index], scores[index] = before.neighbours[row], before.neighbour_scores[row]
        np.save(folder / "neighbour_rows.npy", rows)
        np.save(folder / "neighbours.npy", table)
        np.save(folder / "neighbour_scores.npy", scores)
        return len(rows)

    def _kinds(self) -> list[str]:
        """Return the names of the weights that apply to each product."""
        kinds = [*map(self._recommender.kind_of, range(self._segment.n)), *["item"] * (self._n - self._segment.n)]
        for row, cell in zip(self._changed.tolist(), self._embedded.cells.get(CATEGORY_FIELD, ()), strict=False):
            kinds[row] = item_kind(self._bundle.manifest.weights, cell)
        return kinds

    def _delta_rows(self, old: np.ndarray, changed: np.ndarray) -> np.ndarray:
        """Return the rows of the delta: new values where a product changed, old ones elsewhere."""
        out = np.zeros((len(self._rows), *old.shape[1:]), dtype=old.dtype)
        known = self._rows < len(old)
        out[known] = old[self._rows[known]]
        index_of = {row: index for index, row in enumerate(self._rows.tolist())}
        out[[index_of[row] for row in self._changed.tolist()]] = changed
        return out

    def _groups(self) -> Rows:
        """Return the variant groups: a changed product joins that of its `item_group_id`, or starts one."""
        old, attributes = self._segment.groups, self._recommender.attributes
        groups = np.append(old, np.zeros(self._n - len(old), dtype=np.int32))
        unchanged = np.ones(len(old), dtype=bool)
        unchanged[self._changed[self._changed < len(old)]] = False
        names = self._embedded.cells.get(GROUP) or [None] * len(self._changed)
        numbers: dict[str, int] = {}
        free = int(old.max(initial=-1)) + 1
        for index, (row, name) in enumerate(zip(self._changed.tolist(), names, strict=True)):
            key = f"g{name}" if name else f"i{index}"
            if key not in numbers:
                same = attributes.column(GROUP).any_of([name]) & unchanged if name else np.zeros(0, dtype=bool)
                numbers[key] = int(old[same.argmax()]) if same.any() else free + len(numbers)
            groups[row] = numbers[key]
        return groups
