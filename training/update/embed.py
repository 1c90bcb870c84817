"""Embeds changed products with a bundle's own encoder and towers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from recommender.bundle.delta import REFRESH
from recommender.catalog import Catalog
from recommender.catalog.images.sources import open_images
from recommender.catalog.values.cells import strings
from recommender.config import Config
from recommender.core.blocks import Float, Mask, Rows
from recommender.core.segment import Segment
from recommender.encoders.base import Encoder
from recommender.encoders.pipeline import encode_catalog
from recommender.items.sales import SALE, complete_offer
from recommender.items.schema import Kind
from recommender.progress import notice
from recommender.recommender import Recommender
from training.items import item_inputs
from training.publish import make_thumbnails
from training.update.delta import COUNTED, EmbeddedProducts

# Vectors that differ by less in each dimension are of the same image and text, encoded in batches of another size.
TOLERANCE = 1e-5

Cells = Mapping[str, Any]


def attribute_cells(catalog: Catalog, recommender: Recommender) -> dict[str, Cells]:
    """Return the cells of a catalogue by product id, for the columns that are attributes of the bundle."""
    attributes = recommender.attributes
    if unknown := [column.name for column in catalog.columns if column.name not in attributes.names]:
        notice(f"the bundle has no attribute {', '.join(unknown)}; a new fit would add it")
    columns = {}
    for column in catalog.columns:
        if column.name in unknown:
            continue
        cells, kind = catalog.frame[column.name], attributes.kind(column.name)
        columns[column.name] = _plain(cells, column.kind, kind)
    rows = zip(*columns.values(), strict=True) if columns else ([] for _ in catalog.ids)
    return {item_id: dict(zip(columns, row, strict=True)) for item_id, row in zip(catalog.ids, rows, strict=True)}


def attribute_kinds(recommender: Recommender) -> dict[str, Kind]:
    """Return the kinds of a bundle's attributes, by which a changed file is read."""
    attributes = recommender.attributes
    return {name: cast(Kind, attributes.kind(name)) for name in attributes.names}


def _plain(cells: pd.Series, kind: str, target: str) -> list[Any]:
    """Return cells of one kind in the form of `Attributes.value` for the target kind."""
    if kind == "date":
        return [None if moment is pd.NaT else f"{moment.isoformat()}Z" for moment in cells]
    if kind == "number" and target == "number":
        return [None if number != number else number for number in cells.tolist()]
    if kind == "multi":
        return [values if target == "multi" else ", ".join(values) for values in cells]
    return [text or None for text in strings(cells)]


def complete_catalog(recommender: Recommender, changed: Mapping[str, Cells], config: Config) -> Catalog:
    """Return the changed products as a catalogue, cells that are not given taken from the bundle.

    Parameters
    ----------
    recommender
        Of the current generation.
    changed
        Id to cells.
    config
        Path of the images, and columns of the encoded text.
    """
    attributes, ids = recommender.attributes, sorted(changed)
    if SALE.issubset(attributes.names):
        changed = {item_id: complete_offer(change) for item_id, change in changed.items()}
    rows = [attributes.row_of(item_id) for item_id in ids]

    def cell(name: str, item_id: str, row: int) -> Any:
        if name in changed[item_id]:
            return changed[item_id][name]
        return attributes.value(name, row) if row >= 0 else None

    frame = pd.DataFrame({"id": pd.Series(ids, dtype=object)})
    for name in attributes.names:
        cells = [cell(name, *pair) for pair in zip(ids, rows, strict=True)]
        frame[name] = pd.Series([_filled(value, attributes.kind(name)) for value in cells], dtype=object)
    refs = frame.get("image_link", ())
    boilerplate = recommender.manifest.extra.get("boilerplate", {})
    return Catalog(frame, (), open_images(config, refs), text=config.catalog.text, boilerplate=boilerplate)


def _filled(value: Any, kind: str) -> Any:
    if kind == "multi":
        return [value] if isinstance(value, str) else list(value or [])
    if kind == "number":
        return np.nan if value is None else float(value)
    return value or ""


def embed(
    recommender: Recommender, catalog: Catalog, encoder: Encoder, cache_dir: Path | None = None
) -> EmbeddedProducts:
    """Compute the vectors of products with the bundle's towers; unchanged products are left out.

    A product with events keeps its behaviour block and its prior: its buyers' behaviour has not changed. Those of
    other products are predicted; one whose first events were counted by a refresh keeps its prior.
    """
    encoded = encode_catalog(catalog, encoder, cache_dir)
    columns = {str(name): catalog.frame[name].tolist() for name in catalog.frame}
    vectors, present = recommender.item_tower.blocks(item_inputs(encoded, columns, catalog.texts()))
    rows = recommender.attributes.rows_of(catalog.ids)
    prior = recommender.item_tower.predicted_prior(vectors)
    known = _known_rows(recommender, catalog.ids)
    _keep_observed(vectors, present, prior, known, recommender.segment)
    if recommender.bundle.has(REFRESH, COUNTED):
        counted = recommender.bundle.array(REFRESH, COUNTED)
        has_events = (known >= 0) & (known < len(counted))
        has_events[has_events] = counted[known[has_events]]
        prior[has_events] = recommender.segment.prior[known[has_events]]
    cells = {name: catalog.frame[name].tolist() for name in recommender.attributes.names}
    same = _unchanged(recommender, rows, vectors, cells)
    changed = np.flatnonzero(~same).tolist()
    thumbnails = make_thumbnails(catalog, encoded.has_image & ~same)
    return EmbeddedProducts(
        [catalog.ids[index] for index in changed],
        vectors[changed],
        present[changed],
        prior[changed],
        {name: [values[index] for index in changed] for name, values in cells.items()},
        [thumbnails[index] for index in changed],
    )


def _known_rows(recommender: Recommender, item_ids: Sequence[str]) -> Rows:
    """Return the row of each product, also of one that was removed and comes again; -1 for a new one."""
    ids = recommender.attributes.ids
    removed = {ids.id_of(row): row for row in ids.removed.tolist()}
    rows = recommender.attributes.rows_of(item_ids)
    pairs = zip(item_ids, rows.tolist(), strict=True)
    return np.array([row if row >= 0 else removed.get(item_id, -1) for item_id, row in pairs], dtype=np.int32)


def _keep_observed(vectors: Float, present: Mask, prior: Float, rows: Rows, segment: Segment) -> None:
    """Set the behaviour block and the prior of products with events to those of the bundle."""
    known = np.flatnonzero(rows >= 0)
    if "behaviour" in segment.layout.names:
        block, columns = segment.layout.index("behaviour"), segment.layout.slices["behaviour"]
        known = known[segment.present[rows[known], block]]
        vectors[known, columns], present[known, block] = segment.vectors[rows[known], columns], True
    prior[known] = segment.prior[rows[known]]  # without a behaviour block nothing is predicted


def _unchanged(recommender: Recommender, rows: Rows, vectors: Float, cells: Mapping[str, Sequence[Any]]) -> Mask:
    """Return the mask of products whose vector and attributes are those of the bundle, shape (c,)."""
    old = recommender.segment.vectors[np.maximum(rows, 0)]
    same: Mask = (rows >= 0) & (np.abs(vectors - old).max(axis=1, initial=0.0) < TOLERANCE)
    for index in np.flatnonzero(same).tolist():
        known = recommender.attributes.fields(int(rows[index]), cells)
        same[index] = all(_equal(values[index], known[name]) for name, values in cells.items())
    return same


def _equal(cell: Any, known: Any) -> bool:
    return bool(cell == known) or (known is None and (cell == "" or cell == [] or cell != cell))
