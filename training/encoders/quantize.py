"""Decides whether a shop's texts and images are encoded in int8: by measured similarity, for large catalogues."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recommender.catalog import Catalog
from recommender.core.blocks import unit
from recommender.encoders.base import Encoder, Quantizable
from recommender.encoders.cache import digests
from recommender.encoders.images import quiet
from recommender.encoders.photos import load_image
from recommender.encoders.pipeline import cache_of
from recommender.encoders.support.pair import encoder_of, replaced
from recommender.errors import EncoderError
from recommender.progress import notice

MIN_COSINE = 0.99  # mean between float32 and int8 vectors
MIN_INPUTS = 2_000  # to encode; for fewer the check takes longer than it saves
SAMPLE = 200


def quantize_where_faster(
    encoder: Encoder, catalog: Catalog, seed: int, cache_dir: Path | None = None
) -> tuple[Encoder, dict[str, Any]]:
    """Return the encoder, quantized to int8 for the modalities whose vectors it hardly changes.

    Returns
    -------
    tuple
        The encoder; and metrics of ``text`` and of ``image`` where measured: the ``sample`` size, the
        ``mean_cosine`` and ``min_cosine`` between float32 and int8 vectors, and whether int8 is ``used``; the last
        alone where most vectors are in the cache of int8, as after an earlier fit.
    """
    if torch.cuda.is_available():
        return encoder, {}
    texts, refs = (sorted(set(inputs) - {""}) for inputs in (catalog.texts(), catalog.image_refs()))
    names = {"text": texts, "image": refs}
    keys = {"text": texts, "image": [catalog.images.key(ref) for ref in refs]}
    generator = np.random.default_rng(seed)
    quantized, metrics = {}, {}
    for modality in keys:
        part = encoder_of(encoder, modality)
        if not _worth_quantizing(part, modality, keys[modality], cache_dir):
            continue
        assert isinstance(part, Quantizable)
        candidate = part.quantized()
        metrics[modality] = {"used": True}  # as was measured when they were encoded
        if _missing(candidate, modality, keys[modality], cache_dir) >= MIN_INPUTS:
            inputs = _sample(catalog, modality, names[modality], generator)
            metrics[modality] = _compare(part, candidate, modality, inputs)
        if metrics[modality]["used"]:
            quantized[modality] = candidate
    return replaced(encoder, quantized), metrics


def _worth_quantizing(encoder: Encoder, modality: str, keys: Sequence[str], cache_dir: Path | None) -> bool:
    """Return whether the encoder can be quantized and enough inputs are not in the cache."""
    if not isinstance(encoder, Quantizable) or modality not in encoder.quantizable:
        return False
    return _missing(encoder, modality, keys, cache_dir) >= MIN_INPUTS


def _missing(encoder: Encoder, modality: str, keys: Sequence[str], cache_dir: Path | None) -> int:
    """Return how many of the inputs are not in the encoder's cache."""
    return int((cache_of(encoder, modality, cache_dir).find(digests(keys)) < 0).sum())


def _sample(
    catalog: Catalog, modality: str, names: Sequence[str], generator: np.random.Generator
) -> Sequence[Any]:
    """Return some of the texts, or of the images: those that can be read."""
    sampled = [names[row] for row in generator.choice(len(names), SAMPLE, replace=False)]
    if modality == "text":
        return sampled
    with quiet(), ThreadPoolExecutor() as pool:
        images = pool.map(lambda ref: load_image(catalog.images, ref), sampled)
        return [image for image in images if image]


def _compare(encoder: Encoder, quantized: Encoder, modality: str, inputs: Sequence[Any]) -> dict[str, Any]:
    if not inputs:
        return {"sample": 0, "used": False}
    try:
        exact, approximate = (unit(getattr(e, f"encode_{modality}s")(inputs)) for e in (encoder, quantized))
    except EncoderError as error:
        notice(f"{encoder.name} encodes {modality}s in float32: {error}")
        return {"sample": len(inputs), "used": False}
    cosines = (exact * approximate).sum(axis=1)
    mean, minimum = (float(value) for value in (cosines.mean(), cosines.min()))
    used = mean >= MIN_COSINE
    notice(f"{quantized.name}: mean cosine {mean:.4f} on {len(inputs)} {modality}s; {'' if used else 'not '}used")
    return {"mean_cosine": round(mean, 4), "min_cosine": round(minimum, 4), "sample": len(inputs), "used": used}
