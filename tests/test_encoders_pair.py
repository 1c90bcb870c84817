"""An encoder for texts and one for images: in fit, bundle and query; fingerprints are never mixed."""

import json
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from drawn_shop import drawn_shop
from encoder_configs import brought
from PIL import Image
from tiny_clip import tiny_clip

import recommender
from recommender.catalog import Catalog
from recommender.config import Config, EncoderConfig
from recommender.encoders import create, encode_catalog
from recommender.encoders.support.pair import Pair
from recommender.errors import ConfigError, EncoderError
from recommender.testing import TinyEncoder, check_encoder
from training.fit import fit


class TextsOnly(TinyEncoder):
    name, fingerprint, image_dim = "texts", "texts-1", 0

    def for_queries(self):
        for_queries = TextsOnly()
        for_queries.encode_texts = lambda texts: -TinyEncoder.encode_texts(self, texts)
        return for_queries


def test_each_modality_has_its_encoder_and_its_cache(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "title": ["one", "two"], "image_link": ["a.png", "b.png"]})
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (9, 9), colour).save(tmp_path / f"{name}.png")
    catalog = Catalog.from_frame(frame, tmp_path)
    pair = Pair(TextsOnly(), TinyEncoder())
    check_encoder(pair)
    encoded = encode_catalog(catalog, pair, tmp_path / "cache")
    assert {path.name for path in (tmp_path / "cache" / "vectors").iterdir()} == {"texts-1", "tiny-1", "colors-1"}
    assert encoded.fingerprint == "texts-1+tiny-1"
    np.testing.assert_array_equal(encoded.text, TinyEncoder().encode_texts(["one", "two"]))
    assert (pair.for_queries().encode_texts(["one"]) == -encoded.text[:1]).all()
    assert not pair.aligned
    assert encode_catalog(catalog, TinyEncoder(), tmp_path / "cache").counts["cached"] == 2  # its photos


def test_an_unsupported_modality_is_reported(tmp_path, caplog):
    caplog.set_level("INFO")
    frame = pd.DataFrame({"id": ["a"], "title": ["one"], "image_link": ["a.png"]})
    encode_catalog(Catalog.from_frame(frame, tmp_path), TextsOnly(), tmp_path / "cache")
    assert "texts does not encode images: those of 1 products count as missing; name an encoder" in caplog.text


def test_two_towers_of_one_aligned_model_are_aligned(tmp_path):
    clip = tiny_clip(tmp_path)
    assert create(clip.model_copy(update={"text": clip, "image": clip})).aligned


def test_precomputed_vectors_are_looked_up_by_id(tmp_path):
    frame = pd.DataFrame({"id": ["p1", "p3", "p9"], "title": ["x", "", "y"]})
    choice = EncoderConfig(name="vectors", checkpoint=brought(tmp_path / "v.parquet"))
    vectors = create(choice)
    encoded = encode_catalog(Catalog.from_frame(frame), Pair(vectors, TinyEncoder()), tmp_path)
    assert encoded.has_text.tolist() == [True, True, False]
    np.testing.assert_array_equal(encoded.text[1], vectors.look_up(["p3"])[0][0])
    with pytest.raises(EncoderError, match=r"v.parquet are precomputed by product id; other texts"):
        vectors.encode_texts(["words"])
    same = create(EncoderConfig(name="vectors", checkpoint=brought(tmp_path / "v.npy")))
    assert same.fingerprint == vectors.fingerprint


@pytest.mark.parametrize(
    ("ids", "vectors", "words"),
    [
        (["a", "b", "a"], [[1.0], [2.0], [3.0]], "has the id 'a' twice"),
        (["a", "b"], [[1.0], [float("nan")]], "vector of 'b' in .* is not finite"),
        (["a", "b"], [[1.0, 2.0], [1.0]], "holds no vectors by id .*lengths"),
    ],
)
def test_invalid_precomputed_vectors_are_refused(tmp_path, ids, vectors, words):
    pd.DataFrame({"id": ids, "vector": vectors}).to_parquet(tmp_path / "v.parquet")
    with pytest.raises(EncoderError, match=words):
        create(EncoderConfig(name="vectors", checkpoint=tmp_path / "v.parquet"))


@pytest.mark.parametrize("file", ["missing.parquet", "text.npy", "wrong.parquet"])
def test_a_file_without_vectors_is_refused(tmp_path, file):
    (tmp_path / "text.npy").write_text("no array")
    pd.DataFrame({"id": ["a"], "embedding": [[1.0]]}).to_parquet(tmp_path / "wrong.parquet")
    with pytest.raises(
        EncoderError, match=f"{file} holds no vectors by id .* expected .parquet with the columns id"
    ):
        create(EncoderConfig(name="vectors", checkpoint=tmp_path / file))


def with_own_vectors(folder, ids, links):
    """Fit a shop without photos, but for one that is broken, whose products have brought vectors."""
    drawn_shop(folder, 40)
    shutil.rmtree(folder / "photos")
    (folder / "p003.jpg").write_bytes(b"\xff\xd8\xff cut off")
    if not links:
        pd.read_csv(folder / "products.csv").drop(columns="image_link").to_csv(
            folder / "products.csv", index=False
        )
    brought(folder / "own.npy", ids)
    encoder = '[encoder]\nname = "vectors"\ncheckpoint = "own.npy"\n'
    (folder / "shop.toml").write_text(f'[catalog]\npath = "products.csv"\n{encoder}')
    fit(Config.load(folder / "shop.toml"), folder / "bundles", cache_dir=folder / "cache")
    return recommender.load(folder / "bundles")


@pytest.mark.parametrize("links", [False, True])
def test_own_vectors_need_no_photos(tmp_path, links, caplog):
    with caplog.at_level(logging.INFO, "recommender"):
        rec = with_own_vectors(tmp_path, [f"p{i:03}" for i in range(39)], links)
    assert not any(rec.thumbnail(item_id) for item_id in rec.ids)
    assert {"image", "text"} <= set(rec.segment.layout.names)
    assert "vectors own.npy: 1 of 40 products have no vector, such as 'p039'" in caplog.messages


def test_own_vectors_of_none_of_the_products_are_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"none of the 40 products, such as 'p000'; they have such as 'sku-0'"):
        with_own_vectors(tmp_path, ["sku-0", "sku-1"], links=True)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A bundle whose texts are read by TF-IDF, which lies in it, and whose photos have brought vectors."""
    folder = tmp_path_factory.mktemp("mixed")
    drawn_shop(folder, 60)
    brought(folder / "photos.parquet", [f"p{i:03}" for i in range(60)])
    (folder / "shop.toml").write_text(
        '[catalog]\npath = "products.csv"\nimages = "photos"\n[encoder.text]\nname = "tfidf"\n'
        '[encoder.image]\nname = "vectors"\ncheckpoint = "photos.parquet"\n'
    )
    fit(Config.load(folder / "shop.toml"), folder / "bundles", cache_dir=folder / "cache")
    return folder / "bundles"


def test_a_bundle_carries_the_encoder_that_was_trained_for_it(mixed):
    rec = recommender.load(mixed)
    title = "striped red dress"
    answer = rec.search(title, k=5)
    assert any(
        "the encoder is not aligned: the text block alone was asked" in warning for warning in answer.warnings
    )
    built = rec.manifest.encoders
    assert built["name"] == "tfidf (texts) and vectors photos.parquet (images)"
    assert "encoder" in rec.manifest.parts
    assert json.loads(rec.manifest.to_json())["config"]["encoder"]["text"]["model"] is None
    assert 0 < len(answer.item_ids) <= 5  # those that match


def test_vectors_of_another_fingerprint_are_refused(mixed):
    with pytest.raises(EncoderError, match=r"vectors are by tfidf-.*\+vectors-.*, the encoder here is tiny-1"):
        recommender.load(mixed, encoder=TinyEncoder())


def test_encoders_of_modalities_are_not_nested(tmp_path):
    (tmp_path / "shop.toml").write_text('[catalog]\npath = "x"\n[encoder.text.image]\nname = "timm"\n')
    with pytest.raises(ConfigError, match=r"\[encoder.text\] unknown key 'image'"):
        Config.load(tmp_path / "shop.toml")
