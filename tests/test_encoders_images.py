"""Image files of every kind are decoded to upright RGB images of a bounded size, or are broken."""

import io

import numpy as np
import pytest
from PIL import Image

from recommender.encoders.images import MAX_SIDE, DecodableCheck, decode, quiet, why_undecodable


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


def test_broken_metadata_do_not_cost_the_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (40, 20), "red"), "JPEG", exif=exif)
    start = data.index(b"Exif\0\0") + 6
    assert decode(data[:start] + b"XX" + data[start + 2 :]).size == (40, 20)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf <!DOCTYPE html><p>404", "is an HTML page; expected JPEG"),
        (b'<?xml version="1.0"?><svg/>', "is an SVG drawing; expected JPEG"),
        (b"<error/>", "is XML; expected JPEG"),
        (b"\0\0\0\x18ftypheic", "is HEIC; expected JPEG"),
        (b"GIF", "is no image, or is damaged; expected JPEG"),
        (encoded(Image.new("RGB", (40, 40), "red"))[:-30], "is cut off or damaged"),
        (encoded(Image.new("1", (9000, 9000))), "has 81,000,000 pixels; at most 60,000,000"),
        (encoded(Image.new("RGB", (40, 40)), "EPS"), "is no image, or is damaged; expected JPEG"),
    ],
)
def test_the_reason_why_a_file_is_no_image(data, reason):
    assert decode(data) is None
    assert why_undecodable(data).startswith(reason)


def test_what_the_check_accepts_is_what_is_decoded():
    """Files of one shop with the same headers, and the same files cut, overwritten and spliced."""
    generator = np.random.default_rng(5)
    files = []
    for mode in ("RGB", "L", "CMYK"):
        for options in ({}, {"progressive": True}, {"restart_marker_blocks": 2}, {"optimize": True}):
            pixels = generator.integers(0, 256, (24, 17, 3), dtype=np.uint8)
            files.append(encoded(Image.fromarray(pixels).convert(mode), "JPEG", **options))
    files += [encoded(Image.fromarray(pixels), kind) for kind in ("PNG", "WEBP", "GIF")]
    check, accepted = DecodableCheck(), []
    with quiet():
        for _ in range(3_000):
            data = bytearray(files[generator.integers(len(files))])
            for place in generator.integers(0, len(data), generator.integers(4)).tolist():
                data[place] = generator.choice([0, 0xC4, 0xD9, 0xDA, 0xFF, generator.integers(256)])
            if generator.random() < 0.3:
                start = int(generator.integers(2, len(data)))
                del data[start : start + int(generator.integers(60))]
            accepted.append(check(bytes(data)))
            assert accepted[-1] == (decode(bytes(data)) is not None)
    assert 0.2 < np.mean(accepted) < 0.9
