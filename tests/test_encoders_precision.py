"""Texts in 8 bits: only where many are to be read and the shop's own come out alike; the bundle knows which."""

import numpy as np
import pandas as pd
import pytest
from encoder_configs import TEXTS, texts_catalog
from tiny_transformers import tiny_model

import recommender
from recommender.config import Config, EncoderConfig
from recommender.encoders import create, encode_catalog
from recommender.encoders.base import EIGHT_BITS
from recommender.testing import TinyEncoder, check_encoder
from training import precision
from training.fit import fit


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "LEAST_TEXTS", 20)
    monkeypatch.setattr(precision, "SAMPLE", 20)
    tiny_model(tmp_path / "bert", "bert")
    return EncoderConfig(name="transformers", model=str(tmp_path / "bert"))


def test_the_vectors_are_almost_the_same_and_never_taken_for_the_others(tiny):
    encoder = create(tiny)
    small = encoder.in_eight_bits()
    check_encoder(small)
    wide, narrow = encoder.encode_texts(TEXTS), small.encode_texts(TEXTS)
    assert (wide * narrow).sum(axis=1).min() > 0.98
    assert not np.array_equal(wide, narrow)
    assert small.fingerprint == encoder.fingerprint + EIGHT_BITS


@pytest.mark.parametrize(("floor", "used"), [(0.9, True), (1.01, False)])
def test_they_are_used_where_they_say_the_same(tiny, tmp_path, monkeypatch, floor, used):
    monkeypatch.setattr(precision, "FLOOR", floor)
    encoder, figures = precision.sped_up(create(tiny), texts_catalog(), 0, tmp_path)
    assert figures["used"] == used == (EIGHT_BITS in encoder.fingerprint)
    assert 0.9 < figures["lowest"] <= figures["cosine"] <= 1


def test_what_is_encoded_already_or_gains_nothing_stays_as_it_is(tiny, tmp_path):
    encoder = create(tiny)
    encode_catalog(texts_catalog(), encoder, tmp_path)
    assert precision.sped_up(encoder, texts_catalog(), 0, tmp_path) == (encoder, {})
    assert precision.sped_up(encoder, texts_catalog(TEXTS[:10]), 0, tmp_path / "else") == (encoder, {})
    own = TinyEncoder()
    assert precision.sped_up(own, texts_catalog(), 0, tmp_path) == (own, {})


def test_a_bundle_in_eight_bits_answers_words_in_eight_bits(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "FLOOR", 0.9)
    pd.DataFrame({"id": [f"p{i}" for i in range(60)], "title": TEXTS}).to_csv(tmp_path / "p.csv", index=False)
    config = Config.from_files(tmp_path / "p.csv").model_copy(update={"encoder": tiny})
    fit(config, tmp_path / "bundles", cache_dir=tmp_path / "cache")
    rec = recommender.load(tmp_path / "bundles")
    assert rec.manifest.metrics["eight_bits"]["used"]
    assert EIGHT_BITS in rec.manifest.encoders["fingerprint"]
    assert rec.search(TEXTS[7], k=1, variants="all").item_ids == ["p7"]
