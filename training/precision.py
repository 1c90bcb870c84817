"""Whether a shop's texts are read in 8 bits: measured on its own products, and only where it saves minutes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from recommender.blocks import unit
from recommender.catalog import Catalog
from recommender.encoders.base import Encoder, Shrinks
from recommender.encoders.cache import digests
from recommender.encoders.pair import encoder_of, with_small_texts
from recommender.encoders.pipeline import cache_of
from recommender.progress import notice

FLOOR = 0.99  # mean cosine between a text's vectors in 32 and in 8 bits
LEAST_TEXTS = 2_000  # to encode; for fewer the check takes longer than it saves
SAMPLE = 200


def sped_up(
    encoder: Encoder, catalog: Catalog, seed: int, cache_dir: Path | None = None
) -> tuple[Encoder, dict[str, Any]]:
    """Return the encoder, with its texts read in 8 bits where these say the same; and what was measured.

    Returns
    -------
    tuple
        The encoder, and figures: mean and lowest ``cosine`` of the sampled ``texts``, and whether they were
        ``used``; empty if nothing was measured.
    """
    text = encoder_of(encoder, "text")
    if not isinstance(text, Shrinks) or torch.cuda.is_available():
        return encoder, {}
    texts = sorted(set(catalog.texts()) - {""})
    known = cache_of(text, "text", cache_dir)
    if int((known.find(digests(texts)) < 0).sum()) < LEAST_TEXTS:
        return encoder, {}
    small = with_small_texts(encoder)
    drawn = [texts[row] for row in np.random.default_rng(seed).choice(len(texts), SAMPLE, replace=False)]
    cosines = (unit(text.encode_texts(drawn)) * unit(small.encode_texts(drawn))).sum(axis=1)
    used = bool(cosines.mean() >= FLOOR)
    notice(
        f"{text.name} in 8 bits: mean cosine {cosines.mean():.4f} on {SAMPLE} texts; {'' if used else 'not '}used"
    )
    figures = {"cosine": round(float(cosines.mean()), 4), "lowest": round(float(cosines.min()), 4)}
    return (small if used else encoder), figures | {"texts": SAMPLE, "used": used}
