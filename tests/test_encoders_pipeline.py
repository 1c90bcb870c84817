"""Encoding a catalogue: caching, and missing, broken, moved and interrupted inputs."""

import io
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recommender.catalog import Catalog
from recommender.encoders import encode_catalog
from recommender.errors import DataError, EncoderError
from recommender.testing import TinyEncoder


class CountingEncoder(TinyEncoder):
    def __init__(self, fails_after=10**9):
        self.images, self.texts, self.fails_after = 0, 0, fails_after

    def encode_images(self, images):
        if self.images >= self.fails_after:
            raise KeyboardInterrupt
        self.images += len(images)
        return super().encode_images(images)

    def encode_texts(self, texts):
        self.texts += len(texts)
        return super().encode_texts(texts)


def photo(seed, kind="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def shop(folder, photos, **columns):
    """Products p000, p001, ... with these photos (bytes, or None for no file)."""
    folder.mkdir(exist_ok=True)
    ids = [f"p{i:03d}" for i in range(len(photos))]
    for name, data in zip(ids, photos, strict=True):
        if data is not None:
            (folder / f"{name}.png").write_bytes(data)
    columns = {"title": [f"product {i}" for i in range(len(photos))]} | columns
    frame = pd.DataFrame({"id": ids, "image_link": [f"{name}.png" for name in ids], **columns})
    return Catalog.from_frame(frame, images=folder)


def test_vectors_equal_the_encoders_row_by_row(tmp_path):
    photos = [photo(i) for i in range(150)]
    encoded = encode_catalog(shop(tmp_path / "photos", photos), TinyEncoder(), tmp_path / "cache")
    images = [Image.open(io.BytesIO(data)) for data in photos]
    np.testing.assert_allclose(encoded.image, TinyEncoder().encode_images(images))
    np.testing.assert_array_equal(encoded.text, TinyEncoder().encode_texts([f"product {i}" for i in range(150)]))
    assert encoded.has_image.all()
    assert encoded.has_text.all()
    assert (encoded.encoder, encoded.fingerprint, encoded.aligned) == ("tiny", "tiny-1", False)


def test_a_second_run_encodes_only_what_changed(tmp_path):
    photos = [photo(i) for i in range(20)]
    first = encode_catalog(shop(tmp_path / "photos", photos), CountingEncoder(), tmp_path / "cache")
    assert (first.counts["encoded"], first.counts["cached"]) == (40, 0)
    photos[3] = photo(99)
    titles = [f"product {i}" for i in range(20)]
    titles[5] = "new words"
    encoder = CountingEncoder()
    second = encode_catalog(shop(tmp_path / "photos", photos, title=titles), encoder, tmp_path / "cache")
    assert (encoder.images, encoder.texts) == (1, 1)
    assert (second.counts["encoded"], second.counts["cached"]) == (2, 38)
    same = np.arange(20) != 3
    np.testing.assert_array_equal(second.image[same], first.image[same])
    assert not np.array_equal(second.image[3], first.image[3])


def test_another_encoder_has_another_cache(tmp_path):
    catalog = shop(tmp_path / "photos", [photo(0)])
    encode_catalog(catalog, TinyEncoder(), tmp_path / "cache")
    other = CountingEncoder()
    other.fingerprint = "tiny-2"
    encode_catalog(catalog, other, tmp_path / "cache")
    assert (other.images, other.texts) == (1, 1)


def test_copied_and_touched_images_are_not_encoded_again(tmp_path):
    photos = [photo(i) for i in range(5)]
    first = encode_catalog(shop(tmp_path / "photos", photos), TinyEncoder(), tmp_path / "cache")
    os.utime(tmp_path / "photos" / "p000.png", (1, 1))
    for catalog in (
        shop(tmp_path / "copy", photos),
        Catalog.from_frame(zipped(tmp_path, photos), tmp_path / "z.zip"),
    ):
        encoder = CountingEncoder()
        again = encode_catalog(catalog, encoder, tmp_path / "cache")
        assert encoder.images == 0
        np.testing.assert_array_equal(again.image, first.image)


def zipped(folder, photos):
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        for i, data in enumerate(photos):
            archive.writestr(f"p{i:03d}.png", data)
    ids = [f"p{i:03d}" for i in range(len(photos))]
    return pd.DataFrame({"id": ids, "image_link": [f"{name}.png" for name in ids]})


def test_missing_and_broken_photos_are_counted_and_zero(tmp_path):
    photos = [photo(0), None, b"no photo", photo(3)[:90], photo(4)]
    for _ in range(2):  # the broken ones are not taken for cached
        encoded = encode_catalog(shop(tmp_path / "photos", photos), TinyEncoder(), tmp_path / "cache")
        assert encoded.has_image.tolist() == [True, False, False, False, True]
        assert not encoded.image[~encoded.has_image].any()
        assert (encoded.counts["broken"], encoded.counts["images"]) == (2, 2)


def test_a_photo_that_cannot_be_read_is_broken(tmp_path):
    class Vanishing:
        def key(self, ref):
            return ref

        def read(self, ref):
            if ref == "p001.png":
                raise DataError("gone")
            return photo(0)

        def close(self):
            pass

    frame = pd.DataFrame({"id": ["p000", "p001"], "image_link": ["p000.png", "p001.png"]})
    encoded = encode_catalog(Catalog.from_frame(frame, images=Vanishing()), TinyEncoder(), tmp_path)
    assert encoded.has_image.tolist() == [True, False]


def test_products_without_text(tmp_path):
    catalog = shop(tmp_path / "photos", [photo(0)] * 3, title=["a", "", "b"])
    encoded = encode_catalog(catalog, TinyEncoder(), tmp_path / "cache")
    assert encoded.has_text.tolist() == [True, False, True]
    assert not encoded.text[1].any()


@pytest.mark.parametrize("same", [9, 10])
def test_one_image_of_ten_products_is_a_placeholder(tmp_path, same):
    photos = [photo(0)] * same + [photo(i) for i in range(1, 6)]
    encoded = encode_catalog(shop(tmp_path / "photos", photos), TinyEncoder(), tmp_path / "cache")
    assert encoded.counts["placeholder"] == (same if same >= 10 else 0)
    assert encoded.has_image.tolist() == [same < 10] * same + [True] * 5
    assert encoded.image[same:].any(axis=1).all()


def test_variants_may_share_a_photo(tmp_path):
    groups = ["shirt"] * 15 + ["", ""]
    catalog = shop(tmp_path / "photos", [photo(0)] * 17, item_group_id=groups)
    assert encode_catalog(catalog, TinyEncoder(), tmp_path / "cache").has_image.all()


def test_an_interrupted_run_resumes(tmp_path):
    catalog = shop(tmp_path / "photos", [photo(i) for i in range(200)])
    with pytest.raises(KeyboardInterrupt):
        encode_catalog(catalog, CountingEncoder(fails_after=100), tmp_path / "cache")
    encoder = CountingEncoder()
    encoded = encode_catalog(catalog, encoder, tmp_path / "cache")
    assert encoder.images == 200 - 128  # whole batches of 64 were kept
    fresh = encode_catalog(catalog, TinyEncoder(), tmp_path / "other")
    np.testing.assert_array_equal(encoded.image, fresh.image)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_an_invalid_vector_is_not_cached(tmp_path, bad):
    class Bad(TinyEncoder):
        def encode_images(self, images):
            vectors = super().encode_images(images)
            vectors[-1] = bad
            return vectors

    catalog = shop(tmp_path / "photos", [photo(i) for i in range(3)])
    with pytest.raises(EncoderError, match="tiny returned a zero or infinite vector"):
        encode_catalog(catalog, Bad(), tmp_path / "cache")
    encoder = CountingEncoder()
    encode_catalog(catalog, encoder, tmp_path / "cache")
    assert encoder.images == 3


def test_an_unsupported_modality_is_skipped(tmp_path):
    class TextOnly(TinyEncoder):
        image_dim = 0

    encoded = encode_catalog(shop(tmp_path / "photos", [photo(0)] * 2), TextOnly(), tmp_path / "cache")
    assert encoded.image.shape == (2, 0)
    assert not encoded.has_image.any()
    assert encoded.has_text.all()
