"""Compaction: rebuilds base and index from a base and its delta, without training."""

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from recommender.bundle import Staging, write_thumbnails
from recommender.bundle.delta import REFRESH, Delta
from recommender.config import IndexConfig
from recommender.core.blocks import Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.items import Attributes
from recommender.items.attributes import write_columns
from recommender.loading import ROW_TIMES
from recommender.progress import notice
from recommender.recommender import Recommender, load
from recommender.search.index import FOLDER, SearchIndex
from recommender.search.phrases import Phrases
from recommender.search.settings import MANIFEST
from training.publish import synthetic_queries
from training.refresh.statistics import STATISTICS, CountStatistics
from training.retrieval.index import build_index
from training.update.delta import COUNTED


def compact(root: Path) -> str:
    """Publish the current generation's products as one base; towers, prior and co-occurrence are unchanged.

    Parameters
    ----------
    root
        The bundle's folder.

    Returns
    -------
    str
        The generation's name; the current one if it has no delta.

    Raises
    ------
    BundleError
        If another generation was published meanwhile, or the recall of the index is under its floor.
    """
    recommender = load(root)
    bundle, manifest = recommender.bundle, recommender.manifest
    if Delta.of(bundle) is None:
        return bundle.generation
    notice("compaction")
    started = perf_counter()
    with Staging(root) as staging:
        base = staging.part("base")
        segment = live_segment(recommender)
        config = IndexConfig(**manifest.config["index"])
        queries = synthetic_queries(segment, recommender.user_tower, manifest.seed)
        kinds = [recommender.kind_of(int(row)) for row in recommender.attributes.ids.in_order]
        index = build_index(base, segment, manifest.weights, queries, config, manifest.seed, kinds)
        index.segment.save(base)
        if (repeat := recommender.user_tower.repeat) is not None:
            repeat.of_rows(np.asarray(recommender.attributes.ids.in_order)).save(base)
        np.save(base / ROW_TIMES, recommender.row_times[np.asarray(recommender.attributes.ids.in_order)])
        fields = manifest.to_dict() | {"index": {"budgets": index.metrics["budgets"]}}
        if REFRESH in fields:
            _write_statistics(staging, recommender)
            fields[REFRESH] = fields[REFRESH] | {"rows": segment.n}
        _write_attributes(base / "attributes", recommender)
        if MANIFEST in fields:
            written = Attributes.open(base / "attributes")
            SearchIndex.of(written, recommender.search_settings.language).save(base / FOLDER)
            Phrases.of(written).save(base / FOLDER)
        write_thumbnails(staging.part("thumbnails"), map(recommender.thumbnail, recommender.ids))
        del fields["delta"]
        seconds = {**manifest.metrics.get("seconds", {}), "compaction": round(perf_counter() - started, 2)}
        fields["metrics"] = manifest.metrics | {"recall": index.metrics, "seconds": seconds}
        return staging.publish(fields, parent=bundle, reuse=("towers", "encoder", "evaluation"), compaction=True)


def live_segment(recommender: Recommender) -> Segment:
    """Return the arrays of the products that were not removed, in order of id, without a neighbour table."""
    segment = recommender.segment
    rows = np.asarray(recommender.attributes.ids.in_order)
    return Segment(
        vectors=segment.vectors[rows],
        present=segment.present[rows],
        prior=segment.prior[rows],
        groups=np.unique(segment.groups[rows], return_inverse=True)[1].astype(np.int32),
        neighbours=None,
        cooccurrence=_renumbered(segment.cooccurrence, rows, segment.n),
        complements=_renumbered(segment.complements, rows, segment.n),
        layout=segment.layout,
    )


def _renumbered(table: Cooccurrence, rows: Rows, n: int) -> Cooccurrence:
    """Return the table of the products `rows`, numbered in that order, of n."""
    number = np.full(n, -1, dtype=np.int32)
    number[rows] = np.arange(len(rows))
    starts, indices, values = [0], [], []
    for row in rows.tolist():
        columns, strengths = table.row(row)
        renumbered = number[columns]
        order = np.argsort(renumbered, kind="stable")
        indices.append(renumbered[order])
        values.append(strengths[order])
        starts.append(starts[-1] + len(columns))
    empty = Cooccurrence.empty(len(rows))
    return Cooccurrence(
        np.array(starts, dtype=np.int64),
        np.concatenate([empty.indices, *indices]),
        np.concatenate([empty.values, *values]),
    )


def _write_statistics(staging: Staging, recommender: Recommender) -> None:
    """Write the tables that a refresh needs, and which products have counted events, for the renumbered rows."""
    bundle, n = recommender.bundle, recommender.segment.n
    rows, removed = np.asarray(recommender.attributes.ids.in_order), recommender.segment.cooccurrence.removed
    for name, table in CountStatistics.open(bundle).extended(n).items():
        _renumbered(replace(table, removed=removed), rows, n).save(staging.part(STATISTICS), name)
    if bundle.has(REFRESH, COUNTED):
        counted = np.zeros(n, dtype=bool)
        known = bundle.array(REFRESH, COUNTED)
        counted[: len(known)] = known
        np.save(staging.part(REFRESH) / COUNTED, counted[rows])


def _write_attributes(folder: Path, recommender: Recommender) -> None:
    folder.mkdir()
    attributes, rows = recommender.attributes, list(recommender.attributes.ids.in_order)
    kinds = {name: attributes.kind(name) for name in attributes.names}
    cells = {name: [attributes.value(name, int(row)) for row in rows] for name in kinds}
    write_columns(folder, recommender.ids, kinds, cells)
