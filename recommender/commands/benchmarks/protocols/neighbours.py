"""P3: neighbours by content alone, by labels held out of the model's input and by known pairs."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from recommender.catalog import Catalog
from recommender.commands.benchmarks.protocols.pairs import groups_of, known_pairs
from recommender.commands.benchmarks.protocols.shops import content, fitted, provenance, without
from recommender.commands.benchmarks.protocols.text_to_image import text_to_image
from recommender.config import Config
from recommender.evaluation.held_out_attribute import HeldOutAttribute, hold_out, leading_brand
from recommender.evaluation.similar_items import MAP_CUTOFF, label_precision, neighbours
from recommender.progress import progress

LABELS = ("product_type", "brand", "color", "gender", "material", "pattern")
QUERIES = 1_000  # queries, drawn with a fixed seed


def measure(shop: Config, pairs: Path | None, names: Sequence[str]) -> dict[str, Any]:
    """Measure neighbours by known pairs on one bundle, and by each label on a bundle without that column."""
    shop = shop.model_copy(update={"events": None})
    catalog = Catalog.load(shop)
    figures: dict[str, Any] = {"protocol": "neighbours", "seed": shop.train.seed, "neighbours": {}}
    if pairs is not None:
        with fitted(shop) as rec:
            figures["bundles"] = {"all columns": provenance(rec)}
            figures["neighbours"] |= known_pairs(rec, catalog, pairs, None, content(shop, catalog))
    if lists := text_to_image(shop, catalog):
        figures["neighbours"]["text to image"] = lists
    labels = labels_of(catalog, names)
    for values in progress(labels, "labels", len(labels), "label"):
        held = hold_out(catalog.frame, values, [column.name for column in catalog.columns if column.learn])
        figures["neighbours"][str(values.name)] = _held_out(shop, catalog, held)
    return figures


def labels_of(catalog: Catalog, names: Sequence[str]) -> list[pd.Series]:
    """Return the single-valued columns to hold out; the brand is parsed from titles where it has no column."""
    frame = catalog.frame[[column.name for column in catalog.columns if column.kind in ("category", "text")]]
    if "brand" not in frame and "title" in frame:
        frame = frame.assign(brand=leading_brand(frame["title"]))
    return [frame[name] for name in names if name in frame and frame[name].nunique() > 1]


def _held_out(shop: Config, catalog: Catalog, held: HeldOutAttribute) -> dict[str, Any]:
    started = perf_counter()
    rows = np.flatnonzero(held.labels != "")
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:QUERIES])
    groups = groups_of(catalog)
    with TemporaryDirectory() as folder, fitted(without(shop, catalog, held.frame, Path(folder))) as rec:
        figures = label_precision(neighbours(rec, rows, MAP_CUTOFF), rows, held.labels, groups)
    setup = {"held_out": list(held.columns), "mentioned_in_texts": held.mentioned}
    return setup | figures | {"seconds": round(perf_counter() - started, 1)}
