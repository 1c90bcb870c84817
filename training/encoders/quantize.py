"""Whether a shop's texts and photos are read in 8 bits: measured on its own, and only where it saves minutes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from recommender.catalog import Catalog
from recommender.core.blocks import unit
from recommender.encoders.base import Encoder, Quantizable
from recommender.encoders.cache import digests
from recommender.encoders.images import decode, quiet
from recommender.encoders.pipeline import cache_of
from recommender.encoders.support.pair import encoder_of, replaced
from recommender.errors import EncoderError, RecommenderError
from recommender.progress import notice

FLOOR = 0.99  # mean cosine between the vectors in 32 and in 8 bits
LEAST = 2_000  # to encode; for fewer the check takes longer than it saves
SAMPLE = 200


def sped_up(
    encoder: Encoder, catalog: Catalog, seed: int, cache_dir: Path | None = None
) -> tuple[Encoder, dict[str, Any]]:
    """Return the encoder, with texts and photos read in 8 bits where that changes little; and what was measured.

    Returns
    -------
    tuple
        The encoder, and figures of ``text`` and of ``image``: mean and lowest ``cosine`` of the ``sample``, and
        whether 8 bits are ``used``; none of what was not measured.
    """
    if torch.cuda.is_available():
        return encoder, {}
    texts, refs = (sorted(set(inputs) - {""}) for inputs in (catalog.texts(), catalog.image_refs()))
    generator = np.random.default_rng(seed)
    samples: dict[str, Sequence[Any]] = {}
    if _many_are_new(encoder, "text", texts, cache_dir):
        samples["text"] = [texts[row] for row in generator.choice(len(texts), SAMPLE, replace=False)]
    if _many_are_new(encoder, "image", [catalog.images.key(ref) for ref in refs], cache_dir):
        drawn = generator.choice(len(refs), SAMPLE, replace=False)
        if photos := _photos(catalog, [refs[row] for row in drawn]):
            samples["image"] = photos
    small, figures = {}, {}
    for modality, inputs in samples.items():
        narrow, figures[modality] = _compared(encoder_of(encoder, modality), modality, inputs)
        if figures[modality]["used"]:
            small[modality] = narrow
    return replaced(encoder, small), figures


def _many_are_new(encoder: Encoder, modality: str, keys: Sequence[str], cache_dir: Path | None) -> bool:
    part = encoder_of(encoder, modality)
    if not isinstance(part, Quantizable) or modality not in part.quantizable:
        return False
    known = cache_of(part, modality, cache_dir)
    return int((known.find(digests(keys)) < 0).sum()) >= LEAST


def _photos(catalog: Catalog, refs: Sequence[str]) -> list[Image.Image]:
    """Return the photos that can be read."""
    found = []
    with quiet():
        for ref in refs:
            try:
                found.append(decode(catalog.images.read(ref)))
            except (OSError, RecommenderError):
                continue
    return [photo for photo in found if photo]


def _compared(encoder: Encoder, modality: str, inputs: Sequence[Any]) -> tuple[Encoder, dict[str, Any]]:
    assert isinstance(encoder, Quantizable)
    small = encoder.quantized()
    try:
        wide, narrow = (unit(getattr(each, f"encode_{modality}s")(inputs)) for each in (encoder, small))
    except EncoderError as error:
        notice(f"{encoder.name} reads {modality}s in 32 bits: {error}")
        return small, {"sample": len(inputs), "used": False}
    cosines = (wide * narrow).sum(axis=1)
    mean, lowest = (float(figure) for figure in (cosines.mean(), cosines.min()))
    used = mean >= FLOOR
    notice(f"{small.name}: mean cosine {mean:.4f} on {len(inputs)} {modality}s; {'' if used else 'not '}used")
    return small, {"cosine": round(mean, 4), "lowest": round(lowest, 4), "sample": len(inputs), "used": used}
