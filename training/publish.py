"""Writes a trained model as one generation."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from recommender.bundle import Staging, write_thumbnails
from recommender.catalog import Catalog
from recommender.config import Config
from recommender.core.blocks import Rows
from recommender.core.scoring import Query
from recommender.core.segment import Segment
from recommender.encoders.pipeline import EncodedCatalog
from recommender.events import Steps
from recommender.items import write_attributes
from recommender.progress import notice, progress
from recommender.towers.user import UserTower
from training.model import Model, Products, category_kinds
from training.retrieval.index import build_index

THUMBNAIL = (120, 160)
# Histories that stand in for users' when recall is measured: so many interests at most, each a product and as many
# at most of those that are most like it among some. Products that have nothing in common would ask for searches
# several times as wide.
INTERESTS, ALIKE, SOME = 3, 3, 300


def publish(
    root: Path,
    model: Model,
    products: Products,
    encoded: EncodedCatalog,
    config: Config,
    metrics: dict[str, Any],
    *,
    pictures: bool = True,
    encoder_files: Path | None = None,
) -> str:
    """Write the parts, build and measure the index, and make the generation current.

    Parameters
    ----------
    metrics
        Figures for the manifest; the recall of the index joins them.
    pictures
        Whether thumbnails go in.
    encoder_files
        Folder of an encoder that was trained here and can be had nowhere else.

    Returns
    -------
    str
        The generation's name.
    """
    notice("index and publishing")
    started = perf_counter()
    with Staging(root) as staging:
        towers = staging.part("towers")
        model.tower.save(towers)
        sequence = model.users.sequence.save(towers) if model.users.sequence is not None else None
        base = staging.part("base")
        attributes = base / "attributes"
        attributes.mkdir()
        write_attributes(attributes, products.catalog)
        queries = user_queries(model.segment, model.users, config.train.seed)
        kinds = [kind if kind in model.weights else "item" for kind in category_kinds(products.catalog)]
        built = build_index(base, model.segment, model.weights, queries, config.index, config.train.seed, kinds)
        built.segment.save(base)
        usable = encoded.has_image if pictures else np.zeros(model.segment.n, dtype=bool)
        if encoder_files is not None:
            shutil.copytree(encoder_files, staging.part("encoder"), dirs_exist_ok=True)
        write_thumbnails(staging.part("thumbnails"), thumbnails(products.catalog, usable))
        seconds = metrics.get("seconds", {}) | {"publishing": round(perf_counter() - started, 2)}
        return staging.publish(
            {
                "n": model.segment.n,
                "blocks": dict(model.segment.layout.dims),
                "weights": model.weights,
                "metric": "inner product, angular after augmentation",
                "trees": config.index.trees,
                "seed": config.train.seed,
                "encoders": {"name": encoded.encoder, "fingerprint": encoded.fingerprint, **encoded.counts},
                "config": config.to_dict(),
                "metrics": metrics | {"recall": built.stated, "training": model.stated, "seconds": seconds},
                "user_tower": model.users.to_dict() | {"sequence": sequence},
                "index": {"budgets": built.stated["budgets"]},
            }
        )


def user_queries(segment: Segment, users: UserTower, seed: int) -> list[Query]:
    """Make queries of made-up views, one interest after the other; recall needs no names in a bundle."""
    generator = np.random.default_rng(seed)
    queries = []
    for _ in range(200):
        interests = [_interest(segment, generator) for _ in range(generator.integers(1, INTERESTS + 1))]
        rows = np.concatenate(interests)
        times, values = np.arange(len(rows), dtype=np.float64), np.full(len(rows), np.nan)
        queries.append(users.query(Steps(rows, ["view_item"] * len(rows), times, values), segment))
    return queries


def _interest(segment: Segment, generator: np.random.Generator) -> Rows:
    drawn = generator.integers(segment.n, size=SOME, dtype=np.int32)
    like = segment.vectors[drawn] @ segment.vectors[drawn[0]]
    like[0] = np.inf
    best: Rows = drawn[np.argsort(-like, kind="stable")[: 1 + generator.integers(ALIKE + 1)]]
    return best


def thumbnails(catalog: Catalog, usable: np.ndarray) -> "list[bytes | None]":
    """Return small JPEG pictures of the products whose photo is usable, None for the others."""

    def thumbnail(ref: str, ok: bool) -> bytes | None:
        return _thumbnail(catalog.images.read(ref)) if ok else None

    with ThreadPoolExecutor() as pool:
        made = pool.map(thumbnail, catalog.image_refs(), usable.tolist())
        return [*progress(made, "thumbnails", len(catalog), "photo")]


def _thumbnail(photo: bytes) -> bytes:
    with Image.open(BytesIO(photo)) as opened:
        opened.draft("RGB", (THUMBNAIL[0] * 2, THUMBNAIL[1] * 2))
        small = ImageOps.exif_transpose(opened).convert("RGB")
        small.thumbnail(THUMBNAIL)
        out = BytesIO()
        small.save(out, "JPEG", quality=80)
        return out.getvalue()
