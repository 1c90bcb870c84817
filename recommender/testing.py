"""For tests: an encoder without weights, and checks of any encoder and re-ranker."""

from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

from recommender.encoders.base import Encoder, Preprocesses, Vectors
from recommender.encoders.vectors import Precomputed
from recommender.ranking.rerankers import Pool, Reranker


class TinyEncoder:
    """An encoder of colours in a 4 x 4 grid and of words hashed to 64 dimensions: instant, and of some use."""

    name = "tiny"
    fingerprint = "tiny-1"
    aligned = False
    image_dim = 48
    text_dim = 64

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return mean colours (b, 48)."""
        grids = [np.asarray(image.resize((4, 4), Image.Resampling.BOX), np.float32).ravel() for image in images]
        return (np.array(grids).reshape(-1, 48) / 255 + 0.01).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return counts of hashed words (b, 64)."""
        out = np.zeros((len(texts), 64), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                out[row, crc32(word.encode()) % 64] += 1
        return out


def check_encoder(encoder: Encoder) -> None:
    """Assert the contract of `recommender.encoders.base.Encoder`; a test runs it on every encoder."""
    assert encoder.name
    assert encoder.fingerprint
    assert "/" not in encoder.fingerprint
    if isinstance(encoder, Precomputed):
        first, *others = encoder.ids[:5]
        _check_modality(
            lambda ids: encoder.look_up(ids)[0], [first, *others[:2], first, *others[2:]], encoder.text_dim
        )
        return
    photos = [Image.new("RGB", (40, 60), colour) for colour in ("red", "green", "navy", "red", "white")]
    photos += [Image.effect_mandelbrot((90, 30), (-2, -1, 1, 1), 50).convert("RGB")]
    texts = ["a red dress", "a green jumper. Soft wool.", "jeans", "a red dress", "ключ 鍵 🗝", "word " * 600]
    if encoder.image_dim:
        _check_modality(encoder.encode_images, photos, encoder.image_dim)
        if isinstance(encoder, Preprocesses):
            preprocessed = [encoder.preprocess(photo) for photo in photos]
            np.testing.assert_array_equal(encoder.encode_images(preprocessed), encoder.encode_images(photos))
    if encoder.text_dim:
        _check_modality(encoder.encode_texts, texts, encoder.text_dim)
    assert not encoder.aligned or encoder.image_dim == encoder.text_dim


def _check_modality(encode: Callable[[Sequence[Any]], Vectors], items: list[Any], dim: int) -> None:
    together = encode(items)
    assert together.shape == (len(items), dim)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert together.any(axis=1).all(), "a zero vector"
    alone = np.concatenate([encode([item]) for item in items])
    np.testing.assert_allclose(together, alone, atol=1e-4 * np.abs(alone).max())  # rows are independent
    np.testing.assert_array_equal(encode(items), together)  # deterministic
    assert np.allclose(together[0], together[3], atol=1e-5)
    assert len(np.unique(together.round(4), axis=0)) == len(items) - 1  # different inputs differ
    assert encode([]).shape == (0, dim)


def check_reranker(reranker: Reranker) -> None:
    """Assert the contract of `Reranker`; a test runs it on every re-ranker."""
    generator = np.random.default_rng(0)
    for c, k in [(0, 1), (1, 5), (12, 1), (12, 5), (80, 12), (80, 200)]:
        names = [[f"brand {row % 3}"] if row % 4 else None for row in range(c)]
        pool = Pool(
            rows=np.arange(c, dtype=np.int32)[::-1],
            scores=np.sort(generator.normal(size=c))[::-1],
            vectors=generator.normal(size=(c, 6)).astype(np.float32),
            values=lambda name, names=names: names,  # type: ignore[misc]
        )
        order = reranker.order(pool, k)
        assert sorted(order.positions) == list(range(c)), "a permutation"
        assert 0 <= order.satisfied <= c
        assert order == reranker.order(pool, k), "deterministic"
        assert not c or order.positions[0] == 0, "the best product stays first"
