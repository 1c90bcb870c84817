"""Quantized encoders: used only where they save time and vectors stay close; the bundle records it."""

import numpy as np
import pandas as pd
import pytest
from encoder_configs import TEXTS, texts_catalog
from PIL import Image
from tiny_clip import tiny_clip
from tiny_transformers import tiny_model

import recommender
from recommender.bundle import open_bundle
from recommender.catalog import Catalog
from recommender.config import Config, EncoderConfig
from recommender.encoders import create, encode_catalog
from recommender.encoders.base import INT8_SUFFIX
from recommender.encoders.registry import create_for
from recommender.errors import EncoderError
from recommender.testing import TinyEncoder, check_encoder
from training.encoders import quantize as precision
from training.fit import fit


def few(monkeypatch):
    monkeypatch.setattr(precision, "MIN_INPUTS", 20)
    monkeypatch.setattr(precision, "SAMPLE", 20)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    few(monkeypatch)
    tiny_model(tmp_path / "bert", "bert")
    return EncoderConfig(name="transformers", model=str(tmp_path / "bert"))


def test_quantized_vectors_are_close_and_have_their_own_fingerprint(tiny):
    encoder = create(tiny)
    small = encoder.quantized()
    check_encoder(small)
    wide, narrow = encoder.encode_texts(TEXTS), small.encode_texts(TEXTS)
    assert (wide * narrow).sum(axis=1).min() > 0.98
    assert not np.array_equal(wide, narrow)
    assert small.fingerprint == encoder.fingerprint + INT8_SUFFIX


@pytest.mark.parametrize(("floor", "used"), [(0.9, True), (1.01, False)])
def test_quantization_is_used_where_vectors_stay_close(tiny, tmp_path, monkeypatch, floor, used):
    monkeypatch.setattr(precision, "MIN_COSINE", floor)
    encoder, figures = precision.quantize_where_faster(create(tiny), texts_catalog(), 0, tmp_path)
    assert figures.keys() == {"text"}
    assert figures["text"]["used"] == used == (INT8_SUFFIX in encoder.fingerprint)
    assert 0.9 < figures["text"]["min_cosine"] <= figures["text"]["mean_cosine"] <= 1


def test_cached_or_small_catalogues_are_not_quantized(tiny, tmp_path):
    encoder = create(tiny)
    encode_catalog(texts_catalog(), encoder, tmp_path)
    assert precision.quantize_where_faster(encoder, texts_catalog(), 0, tmp_path) == (encoder, {})
    assert precision.quantize_where_faster(encoder, texts_catalog(TEXTS[:10]), 0, tmp_path / "else") == (
        encoder,
        {},
    )
    own = TinyEncoder()
    assert precision.quantize_where_faster(own, texts_catalog(), 0, tmp_path) == (own, {})


def test_a_second_fit_uses_the_quantized_vectors_that_are_cached(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "MIN_COSINE", 0.9)
    first, _ = precision.quantize_where_faster(create(tiny), texts_catalog(), 0, tmp_path)
    encoded = encode_catalog(texts_catalog(), first, tmp_path)
    monkeypatch.setattr(precision, "_compare", None)  # nothing is measured again
    second, figures = precision.quantize_where_faster(create(tiny), texts_catalog(), 0, tmp_path)
    assert figures == {"text": {"used": True}}
    assert second.fingerprint == first.fingerprint
    again = encode_catalog(texts_catalog(), second, tmp_path)
    assert again.counts["encoded"] == 0
    np.testing.assert_array_equal(again.text, encoded.text)


def test_a_quantized_bundle_encodes_text_queries_quantized(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "MIN_COSINE", 0.9)
    pd.DataFrame({"id": [f"p{i}" for i in range(60)], "title": TEXTS}).to_csv(tmp_path / "p.csv", index=False)
    config = Config.from_files(tmp_path / "p.csv").model_copy(update={"encoder": tiny})
    fit(config, tmp_path / "bundles", cache_dir=tmp_path / "cache")
    rec = recommender.load(tmp_path / "bundles")
    assert rec.manifest.metrics["int8"]["text"]["used"]
    assert INT8_SUFFIX in rec.manifest.encoders["fingerprint"]
    assert rec.search(TEXTS[7], k=1, variants="all").item_ids == ["p7"]


@pytest.fixture
def clip(tmp_path, monkeypatch):
    few(monkeypatch)
    return tiny_clip(tmp_path)


def pictures(folder, n=40):
    """Write a shop of n products with a photo and a text each; return its config."""
    generator = np.random.default_rng(0)
    for i in range(n):
        blocks = generator.integers(0, 256, (5, 4, 3), np.uint8)
        Image.fromarray(blocks).resize((40, 50)).save(folder / f"{i}.png")
    frame = pd.DataFrame({"id": [f"p{i}" for i in range(n)], "title": TEXTS[:n]})
    frame["image_link"] = [f"{i}.png" for i in range(n)]
    frame.to_csv(folder / "products.csv", index=False)
    return Config.from_files(folder / "products.csv", images=folder)


def test_both_towers_of_a_clip_model_can_be_quantized(clip):
    encoder = create(clip)
    small = encoder.quantized()
    check_encoder(small)
    photos = [Image.effect_noise((40, 50), 60).convert("RGB") for _ in range(6)]
    for wide, narrow in (
        (encoder.encode_images(photos), small.encode_images(photos)),
        (encoder.encode_texts(TEXTS), small.encode_texts(TEXTS)),
    ):
        assert (wide * narrow).sum(axis=1).min() > 0.98
        assert not np.array_equal(wide, narrow)


@pytest.mark.parametrize("bad", ["text", "image"])
def test_modalities_are_quantized_independently_and_stay_aligned(clip, tmp_path, monkeypatch, bad):
    def spoilt(self):
        small = whole(self)
        right = getattr(small, f"encode_{bad}s")
        setattr(small, f"encode_{bad}s", lambda inputs: -right(inputs))
        return small

    encoder = create(clip)
    whole = type(encoder).quantized
    monkeypatch.setattr(type(encoder), "quantized", spoilt)
    small, figures = precision.quantize_where_faster(
        encoder, Catalog.load(pictures(tmp_path)), 0, tmp_path / "cache"
    )
    good = {"text": bad != "text", "image": bad != "image"}
    assert {name: found["used"] for name, found in figures.items()} == good
    assert [part.endswith(INT8_SUFFIX) for part in small.fingerprint.split("+")] == list(good.values())
    assert small.aligned


def test_a_model_that_cannot_be_quantized_is_used_as_it_is(clip, tmp_path, monkeypatch):
    def refuse(*_):
        raise EncoderError("no such form")

    monkeypatch.setattr("recommender.encoders.support.forward.exported", refuse)
    encoder = create(clip)
    same, figures = precision.quantize_where_faster(
        encoder, Catalog.load(pictures(tmp_path)), 0, tmp_path / "cache"
    )
    assert same is encoder
    assert figures.keys() == {"text", "image"}
    assert not any(found["used"] for found in figures.values())


def test_a_quantized_bundle_encodes_image_queries_quantized(clip, tmp_path):
    config = pictures(tmp_path).model_copy(update={"encoder": clip})
    fit(config, tmp_path / "bundles", cache_dir=tmp_path / "cache")
    rec = recommender.load(tmp_path / "bundles")
    assert [rec.manifest.metrics["int8"][name]["used"] for name in ("text", "image")] == [True, True]
    again = create_for(open_bundle(tmp_path / "bundles"))
    photo = Image.open(tmp_path / "3.png").convert("RGB")
    np.testing.assert_array_equal(again.encode_images([photo]), create(clip).quantized().encode_images([photo]))
    assert "p3" in rec.search(image=photo, k=3, weights={"image": 1}).item_ids
