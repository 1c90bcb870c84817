"""Decides whether a shop's texts and images are encoded in int8: by measured similarity, for large catalogues."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

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
        ``mean_cosine`` and ``min_cosine`` between float32 and int8 vectors, and whether int8 is ``used``.
    """
    if torch.cuda.is_available():
        return encoder, {}
    texts, refs = (sorted(set(inputs) - {""}) for inputs in (catalog.texts(), catalog.image_refs()))
    generator = np.random.default_rng(seed)
    samples: dict[str, Sequence[Any]] = {}
    if _worth_quantizing(encoder, "text", texts, cache_dir):
        samples["text"] = [texts[row] for row in generator.choice(len(texts), SAMPLE, replace=False)]
    if _worth_quantizing(encoder, "image", [catalog.images.key(ref) for ref in refs], cache_dir):
        sampled = generator.choice(len(refs), SAMPLE, replace=False)
        if images := _readable_images(catalog, [refs[row] for row in sampled]):
            samples["image"] = images
    quantized, metrics = {}, {}
    for modality, inputs in samples.items():
        candidate, metrics[modality] = _compare(encoder_of(encoder, modality), modality, inputs)
        if metrics[modality]["used"]:
            quantized[modality] = candidate
    return replaced(encoder, quantized), metrics


def _worth_quantizing(encoder: Encoder, modality: str, keys: Sequence[str], cache_dir: Path | None) -> bool:
    """Return whether the encoder can be quantized and enough inputs are not in the cache."""
    part = encoder_of(encoder, modality)
    if not isinstance(part, Quantizable) or modality not in part.quantizable:
        return False
    cached = cache_of(part, modality, cache_dir)
    return int((cached.find(digests(keys)) < 0).sum()) >= MIN_INPUTS


def _readable_images(catalog: Catalog, refs: Sequence[str]) -> list[Image.Image]:
    with quiet(), ThreadPoolExecutor() as pool:
        images = pool.map(lambda ref: load_image(catalog.images, ref), refs)
        return [image for image in images if image]


def _compare(encoder: Encoder, modality: str, inputs: Sequence[Any]) -> tuple[Encoder, dict[str, Any]]:
    assert isinstance(encoder, Quantizable)
    quantized = encoder.quantized()
    try:
        exact, approximate = (unit(getattr(e, f"encode_{modality}s")(inputs)) for e in (encoder, quantized))
    except EncoderError as error:
        notice(f"{encoder.name} encodes {modality}s in float32: {error}")
        return quantized, {"sample": len(inputs), "used": False}
    cosines = (exact * approximate).sum(axis=1)
    mean, minimum = (float(value) for value in (cosines.mean(), cosines.min()))
    used = mean >= MIN_COSINE
    notice(f"{quantized.name}: mean cosine {mean:.4f} on {len(inputs)} {modality}s; {'' if used else 'not '}used")
    metrics = {"mean_cosine": round(mean, 4), "min_cosine": round(minimum, 4), "sample": len(inputs), "used": used}
    return quantized, metrics
