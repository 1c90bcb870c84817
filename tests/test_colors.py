"""The colours of photos: of what is shown, and a part of the image block."""

import numpy as np
import pytest
from PIL import Image

import recommender
from recommender.core.blocks import unit
from recommender.demo.drawing import COLORS, draw_product
from recommender.demo.shop import Shop
from recommender.encoders.images import decode
from recommender.encoders.support.colors import ColorHistograms, to_lab
from recommender.recommender import Recommender
from recommender.towers.content import ContentBlock
from training.item_tower.train import COLOR_SHARE, fit_content

HISTOGRAMS = ColorHistograms()


def photo(color: str, background: str, side: int = 60) -> Image.Image:
    """A square of one colour in the middle of another."""
    image = Image.new("RGB", (side, side), background)
    image.paste(color, (side // 4, side // 4, 3 * side // 4, 3 * side // 4))
    return image


def similarity(*images: Image.Image) -> np.ndarray:
    vectors = HISTOGRAMS.encode_images(images)
    return vectors @ vectors.T


def test_the_colour_of_the_product_counts_and_not_that_of_the_background() -> None:
    shown = similarity(photo("red", "white"), photo("red", "lightgrey"), photo("navy", "white"))
    assert shown[0, 1] > 0.9
    assert shown[0, 2] < 0.5


def test_a_product_in_the_colour_of_its_background_has_this_colour() -> None:
    whites = similarity(Image.new("RGB", (60, 60), "white"), photo("white", "whitesmoke"), photo("black", "white"))
    assert whites[0, 1] > 0.9 > 0.6 > whites[0, 2]


def test_colours_that_look_similar_have_similar_histograms() -> None:
    near = similarity(*(photo(color, "white") for color in ("#c82828", "#dc3c3c", "#2846c8")))
    assert near[0, 1] > near[0, 2] + 0.3


def test_histograms_are_of_norm_1_and_do_not_depend_on_the_batch() -> None:
    images = [decode(draw_product("mug", color, "plain")) for color in COLORS]
    vectors = HISTOGRAMS.encode_images(images)
    assert vectors.shape == (len(COLORS), HISTOGRAMS.image_dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([HISTOGRAMS.encode_images([image]) for image in images])
    np.testing.assert_allclose(vectors, alone, atol=1e-6)
    assert HISTOGRAMS.encode_images([]).shape == (0, HISTOGRAMS.image_dim)


def test_cielab_of_known_colours() -> None:
    lab = to_lab(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(lab, [[100, 0, 0], [0, 0, 0], [53.2, 80.1, 67.2]], atol=0.2)


def blocks() -> tuple[ContentBlock, ContentBlock, np.ndarray, np.ndarray]:
    """The block of the same vectors with and without colours, the vectors, and the colours."""
    generator = np.random.default_rng(0)
    encoded, colors = (generator.random((80, d)).astype(np.float32) for d in (12, HISTOGRAMS.image_dim))
    has = np.ones(80, bool)
    return fit_content(encoded, has, None, 0, colors), fit_content(encoded, has, None, 0), encoded, colors


def test_colours_are_a_part_of_the_block_with_their_share_of_its_energy() -> None:
    block, without, encoded, colors = blocks()
    vectors = block.vectors(encoded, None, colors)
    assert vectors.shape == (80, block.dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose((vectors[:, without.dim :] ** 2).sum(axis=1), COLOR_SHARE, atol=1e-5)
    rest = vectors[:, : without.dim]
    np.testing.assert_allclose(unit(rest), without.vectors(encoded, None), atol=1e-5)


def test_texts_say_nothing_of_the_colour_part() -> None:
    block, without, encoded, _ = blocks()
    query = block.from_other(encoded, None, block.mean)
    assert not query[:, without.dim :].any()
    np.testing.assert_allclose(query[:, : without.dim], without.from_other(encoded, None, without.mean))


def test_a_block_is_read_as_it_was_written_with_colours_or_without() -> None:
    block, without, encoded, colors = blocks()
    assert "color_mean" not in without.to_arrays(), "bundles of shops without photos are as they were"
    for one in (block, without):
        again = ContentBlock.from_arrays(one.to_arrays())
        np.testing.assert_array_equal(again.vectors(encoded, None, colors), one.vectors(encoded, None, colors))


@pytest.fixture(scope="module")
def rec(demo_bundles) -> Recommender:
    return recommender.load(demo_bundles)


def test_similar_products_by_photo_share_the_colour(rec: Recommender, demo_shop: Shop) -> None:
    by_id = {product.id: product for product in demo_shop.products}
    photos = [product.id for product in demo_shop.products if product.has_photo]
    alone = {name: float(name == "image") for name in rec.weights["item"]}
    found = rec.similar_many(photos, 3, weights=alone).item_ids
    shared = [by_id[i].color == by_id[item].color for item, line in zip(photos, found, strict=True) for i in line]
    pairs = [by_id[a].color == by_id[b].color for a in photos for b in photos if a != b]
    assert np.mean(shared) > 2.5 * np.mean(pairs)


def test_a_photo_finds_its_own_product(rec: Recommender, demo_shop: Shop) -> None:
    for product in [product for product in demo_shop.products if product.has_photo][:5]:
        drawn = draw_product(product.kind, product.color, product.pattern, product.tilt)
        answer = rec.search(image=drawn, k=2, variants="all", stock="all")
        assert answer.item_ids[0] == product.id
        first, second = (one.score for one in answer)
        assert first > second
