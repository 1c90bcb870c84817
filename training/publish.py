"""Writes a trained model as one generation of a bundle."""

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from recommender.bundle import Staging, write_thumbnails
from recommender.bundle.delta import REFRESH
from recommender.catalog import Catalog
from recommender.config import Config
from recommender.core.blocks import Mask, Rows
from recommender.core.scoring import Query
from recommender.core.segment import Segment
from recommender.encoders.base import Encoder
from recommender.encoders.images import quiet
from recommender.encoders.photos import load_image
from recommender.encoders.pipeline import EncodedCatalog
from recommender.evaluation import EvaluationReport
from recommender.evaluation.ranking_task import MapFunction
from recommender.evaluation.stored import PART, StoredEvaluation, evaluation_key
from recommender.events import Steps
from recommender.items import write_attributes
from recommender.loading import ROW_TIMES
from recommender.progress import notice, progress
from recommender.search.settings import MANIFEST
from recommender.towers.user import UserTower
from training.items import TrainingItems, category_kinds
from training.model import TrainedModel
from training.refresh.statistics import STATISTICS
from training.retrieval.index import BuiltIndex, build_index
from training.search import query_encoder, write_search

THUMBNAIL_SIZE = (120, 160)
# Synthetic histories, whose queries stand in for users' when recall is measured: up to so many interests, each a
# product and up to so many similar ones, the nearest of a random sample. Histories of unrelated products would
# need searches several times as wide.
SYNTHETIC_HISTORIES, MAX_INTERESTS, MAX_SIMILAR, SAMPLE = 200, 3, 3, 300


def publish(
    root: Path,
    model: TrainedModel,
    items: TrainingItems,
    encoded: EncodedCatalog,
    config: Config,
    metrics: dict[str, Any],
    evaluation: EvaluationReport | None = None,
    *,
    searchable: bool = True,
    encoder_files: Path | None = None,
    overlay_revision: int = 0,
    counted: Mapping[str, Any] | None = None,
    run: MapFunction | None = None,
    encoder: Encoder | None = None,
) -> str:
    """Write the parts, build the index and measure its recall, and make the generation current.

    Parameters
    ----------
    root
        The bundle's folder.
    model, items, encoded, config
        What is published.
    metrics
        For the manifest; those of the index and of the training are added.
    evaluation
        Whose results by query are stored.
    searchable
        Whether to write the index, the neighbour table and thumbnails. Without them every answer is a scan, which
        is enough for an evaluation.
    encoder_files
        Folder of an encoder that was trained on this catalogue, which the bundle has to carry.
    overlay_revision
        The catalogue has what was queued in the overlay up to this revision.
    counted
        Which events were counted, see `training.refresh.sources.CountedEvents`; without it the generation cannot
        be refreshed.
    run
        See `training.retrieval.neighbours.with_neighbours`.
    encoder
        Of the vectors, by which the relevance floor of searches is calibrated.

    Returns
    -------
    str
        The generation's name.

    Raises
    ------
    BundleError
        If the recall of the index is under its floor, or another process publishes.
    """
    notice("index and publishing")
    started = perf_counter()
    with Staging(root) as staging:
        towers = staging.part("towers")
        model.tower.save(towers)
        sequence = model.user_tower.sequence.save(towers) if model.user_tower.sequence is not None else None
        profile = model.user_tower.profile.save(towers) if model.user_tower.profile is not None else None
        if model.behaviour is not None:
            model.behaviour.save_transformers(towers)
        base = staging.part("base")
        attributes = base / "attributes"
        attributes.mkdir()
        write_attributes(attributes, items.catalog)
        index, search = BuiltIndex(model.segment), dict[str, Any]()
        if searchable:
            queries = synthetic_queries(model.segment, model.user_tower, config.train.seed)
            kinds = [kind if kind in model.weights else "item" for kind in category_kinds(items.catalog)]
            seed = config.train.seed
            index = build_index(base, model.segment, model.weights, queries, config.index, seed, kinds, run)
            encode = None if encoder is None else query_encoder(model.tower, encoder)
            weights, language = model.weights["item"], config.catalog.language
            search[MANIFEST] = write_search(base, model.segment, weights, encode, language, seed).to_dict()
        index.segment.save(base)
        np.save(base / ROW_TIMES, items.catalog.times())
        repeat = model.user_tower.repeat.save(base) if model.user_tower.repeat is not None else None
        has_thumbnail = encoded.has_image if searchable else np.zeros(model.segment.n, dtype=bool)
        if encoder_files is not None:
            shutil.copytree(encoder_files, staging.part("encoder"), dirs_exist_ok=True)
        write_thumbnails(staging.part("thumbnails"), make_thumbnails(items.catalog, has_thumbnail))
        if evaluation is not None:
            StoredEvaluation.of(evaluation, evaluation_key(root)).save(staging.part(PART))
        refresh = {}
        if model.statistics is not None and counted is not None:
            model.statistics.save(staging.part(STATISTICS))
            refresh = {REFRESH: model.statistics.to_dict() | {"rows": model.segment.n, "events": dict(counted)}}
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
                "metrics": metrics | {"recall": index.metrics, "training": model.metrics, "seconds": seconds},
                "user_tower": model.user_tower.to_dict()
                | {"sequence": sequence, "repeat": repeat, "profile": profile},
                "index": {"budgets": index.metrics["budgets"]},
                "boilerplate": items.catalog.boilerplate,
                **search,
                **refresh,
            },
            overlay_revision=overlay_revision,
        )


def synthetic_queries(segment: Segment, user_tower: UserTower, seed: int) -> list[Query]:
    """Return queries of synthetic histories of views, so that a bundle contains no user's history."""
    generator = np.random.default_rng(seed)
    queries = []
    for _ in range(SYNTHETIC_HISTORIES):
        interests = [_interest(segment, generator) for _ in range(generator.integers(1, MAX_INTERESTS + 1))]
        rows = np.concatenate(interests)
        times, values = np.arange(len(rows), dtype=np.float64), np.full(len(rows), np.nan)
        query = user_tower.query(Steps(rows, ["view_item"] * len(rows), times, values), segment)
        if user_tower.profile is not None:
            query = replace(query, profile=generator.choice(user_tower.profile.table))
        queries.append(query)
    return queries


def _interest(segment: Segment, generator: np.random.Generator) -> Rows:
    """Return a random product and a few products similar to it."""
    sampled = generator.integers(segment.n, size=SAMPLE, dtype=np.int32)
    similarity = segment.vectors[sampled] @ segment.vectors[sampled[0]]
    similarity[0] = np.inf
    rows: Rows = sampled[np.argsort(-similarity, kind="stable")[: 1 + generator.integers(MAX_SIMILAR + 1)]]
    return rows


def make_thumbnails(catalog: Catalog, usable: Mask) -> list[bytes | None]:
    """Return small JPEG files of the products whose image is usable, None for the others.

    Products may have vectors of their own and no image, or one that cannot be read.
    """

    def thumbnail(ref: str, usable: bool) -> bytes | None:
        image = load_image(catalog.images, ref) if usable and ref else None
        return None if image is None else _thumbnail(image)

    with quiet(), ThreadPoolExecutor() as pool:
        made = pool.map(thumbnail, catalog.image_refs(), usable.tolist())
        return [*progress(made, "thumbnails", len(catalog), "image")]


def _thumbnail(image: Image.Image) -> bytes:
    image.thumbnail(THUMBNAIL_SIZE)
    out = BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()
