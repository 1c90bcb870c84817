"""Image files of every kind are decoded to upright RGB images of a bounded size, or are broken."""

import io

import numpy as np
import pytest
from PIL import Image

from recommender.encoders.images import MAX_SIDE, decode


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def colour(image, x=0.5, y=0.5):
    return image.getpixel((int(image.width * x), int(image.height * y)))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "RGBA", "LA", "I;16", "YCbCr"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF"])
def test_every_mode_is_decoded_to_rgb(mode, kind):
    white = Image.fromarray(np.full((20, 30), 65535, np.uint16)) if mode == "I;16" else None
    white = white or Image.new("RGBA", (30, 20), "white").convert(mode)
    try:
        data = encoded(white, kind)
    except (OSError, ValueError):
        pytest.skip(f"no {mode} in {kind}")
    image = decode(data)
    assert image is not None
    assert (image.mode, image.size) == ("RGB", (30, 20))
    assert min(colour(image)) > 250


def test_transparent_is_white():
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 20, 40))
    for data in (encoded(image), encoded(image.quantize(8), transparency=image.quantize(8).getpixel((30, 5)))):
        seen = decode(data)
        assert colour(seen, 0.8) == (255, 255, 255)
        assert colour(seen, 0.2)[0] > 200
        assert colour(seen, 0.2)[1] < 50


def test_sixteen_bit_images_keep_their_grey_levels():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(8, 0)
    seen = np.asarray(decode(encoded(Image.fromarray(ramp))))[0, :, 0]
    np.testing.assert_allclose(seen, np.linspace(0, 255, 64), atol=1)


def test_exif_rotation_is_applied():
    image = Image.new("RGB", (60, 30), "blue")
    image.paste("red", (0, 0, 30, 30))  # left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: left becomes top
    seen = decode(encoded(image, "JPEG", exif=exif, quality=95))
    assert seen.size == (30, 60)
    assert colour(seen, 0.5, 0.2)[0] > 200
    assert colour(seen, 0.5, 0.8)[2] > 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_large_images_are_scaled_down(kind):
    seen = decode(encoded(Image.new("RGB", (3000, 1500), "green"), kind))
    assert seen.width == MAX_SIDE
    assert seen.height == pytest.approx(MAX_SIDE / 2, abs=1)


def test_small_images_are_not_changed():
    pixels = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(decode(encoded(Image.fromarray(pixels)))), pixels)


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (10, 10), name) for name in ("red", "blue")]
    seen = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert colour(seen) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_broken_files_are_none(kind):
    noise = np.random.default_rng(1).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    assert decode(whole) is not None
    assert decode(whole[: len(whole) // 2]) is None
    assert decode(b"") is None
    assert decode(b"<html>404</html>") is None
    assert decode(whole[:20]) is None


def test_images_of_too_many_pixels_are_none():
    assert decode(encoded(Image.new("1", (9000, 9000)))) is None
