"""Products that changed, embedded by a bundle's own encoder and towers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recommender.catalog import Catalog
from recommender.catalog.cells import strings
from recommender.catalog.photos import open_images
from recommender.config import Config
from recommender.core.blocks import Float, Mask, Rows
from recommender.core.segment import Segment
from recommender.encoders.base import Encoder
from recommender.encoders.pipeline import encode_catalog
from recommender.errors import DataError
from recommender.progress import notice
from recommender.recommender import Recommender
from training.model import inputs_of
from training.publish import thumbnails
from training.update.delta import Embedded

# A vector that differs less in each place was made of the same photo and text, in a batch of another size.
SAME = 1e-5

Cells = Mapping[str, Any]


def told(catalog: Catalog, recommender: Recommender) -> dict[str, Cells]:
    """Return what a catalogue says of each product, by id, as far as the bundle has such attributes.

    Raises
    ------
    DataError
        A column holds what the bundle's attribute of that name never has.
    """
    attributes = recommender.attributes
    known = [column for column in catalog.columns if column.name in attributes.names]
    if left_out := [column.name for column in catalog.columns if column.name not in attributes.names]:
        notice(f"the bundle has no attribute {', '.join(left_out)}; a new fit would take it up")
    said = {}
    for column in known:
        cells, kind = catalog.frame[column.name], attributes.kind(column.name)
        if kind in ("number", "date") and column.kind != kind and (strings(cells) != "").any():
            first = next(filter(None, strings(cells)))
            raise DataError(f'{column.name} is "{first}"; the bundle was fitted with {kind}s there, expected one')
        said[column.name] = _plain(cells, column.kind, kind)
    rows = zip(*said.values(), strict=True) if said else ([] for _ in catalog.ids)
    return {item_id: dict(zip(said, row, strict=True)) for item_id, row in zip(catalog.ids, rows, strict=True)}


def _plain(cells: pd.Series, found: str, wanted: str) -> list[Any]:
    """Return cells as `Attributes.value` gives them."""
    if found == "date":
        return [None if moment is pd.NaT else f"{moment.isoformat()}Z" for moment in cells]
    if found == "number" and wanted == "number":
        return [None if number != number else number for number in cells.tolist()]
    if found == "multi":
        return [values if wanted == "multi" else ", ".join(values) for values in cells]
    return [text or None for text in strings(cells)]


def completed(recommender: Recommender, said: Mapping[str, Cells], config: Config) -> Catalog:
    """Return products of which something was said, and what the bundle knows where nothing was.

    Parameters
    ----------
    said
        Id to cells.
    config
        Says where photos are and what the text encoder reads.
    """
    attributes, ids = recommender.attributes, sorted(said)
    rows = [attributes.row_of(item_id) for item_id in ids]

    def cell(name: str, item_id: str, row: int) -> Any:
        if name in said[item_id]:
            return said[item_id][name]
        return attributes.value(name, row) if row >= 0 else None

    frame = pd.DataFrame({"id": pd.Series(ids, dtype=object)})
    for name in attributes.names:
        cells = [cell(name, *pair) for pair in zip(ids, rows, strict=True)]
        frame[name] = pd.Series([_filled(value, attributes.kind(name)) for value in cells], dtype=object)
    refs = frame.get("image_link", ())
    return Catalog(frame, (), open_images(config, refs), text=config.catalog.text)


def _filled(value: Any, kind: str) -> Any:
    if kind == "multi":
        return [value] if isinstance(value, str) else list(value or [])
    if kind == "number":
        return np.nan if value is None else float(value)
    return value or ""


def embed(recommender: Recommender, catalog: Catalog, encoder: Encoder, cache_dir: Path | None = None) -> Embedded:
    """Make the vectors of products by the bundle's towers; those that are as they were are left out.

    The behaviour of a product that was chosen before stays: what its buyers did is true of it still.
    """
    encoded = encode_catalog(catalog, encoder, cache_dir)
    columns = {str(name): catalog.frame[name].tolist() for name in catalog.frame}
    vectors, present = recommender.item_tower.blocks(inputs_of(encoded, columns))
    rows = recommender.attributes.rows_of(catalog.ids)
    _keep_behaviour(vectors, present, rows, recommender.segment)
    cells = {name: catalog.frame[name].tolist() for name in recommender.attributes.names}
    same = _unchanged(recommender, rows, vectors, cells)
    kept = np.flatnonzero(~same).tolist()
    pictures = thumbnails(catalog, encoded.has_image & ~same)
    return Embedded(
        [catalog.ids[place] for place in kept],
        vectors[kept],
        present[kept],
        {name: [values[place] for place in kept] for name, values in cells.items()},
        [pictures[place] for place in kept],
    )


def _keep_behaviour(vectors: Float, present: Mask, rows: Rows, segment: Segment) -> None:
    if "behaviour" in segment.layout.names:
        block, columns = segment.layout.index("behaviour"), segment.layout.slices["behaviour"]
        chosen = np.flatnonzero((rows >= 0) & segment.present[np.maximum(rows, 0), block])
        vectors[chosen, columns], present[chosen, block] = segment.vectors[rows[chosen], columns], True


def _unchanged(recommender: Recommender, rows: Rows, vectors: Float, cells: Mapping[str, Sequence[Any]]) -> Mask:
    """Mask the products whose vector and attributes are those of the bundle, shape (c,)."""
    old = recommender.segment.vectors[np.maximum(rows, 0)]
    same: Mask = (rows >= 0) & (np.abs(vectors - old).max(axis=1, initial=0.0) < SAME)
    for place in np.flatnonzero(same).tolist():
        known = recommender.attributes.fields(int(rows[place]), cells)
        same[place] = all(_equal(values[place], known[name]) for name, values in cells.items())
    return same


def _equal(cell: Any, known: Any) -> bool:
    return bool(cell == known) or (known is None and (cell == "" or cell == [] or cell != cell))
