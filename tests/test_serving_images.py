"""Pictures from outside: what is none is refused, and URLs lead to allowed public hosts only."""

import struct
from io import BytesIO
from zlib import crc32

import pytest
from PIL import Image, ImageFile

from recommender.errors import RequestError
from serving.image_fetch import fetched
from serving.images import check_image
from serving.problems import Problem
from serving.query_encoder import opened


def png(size: tuple[int, int]) -> bytes:
    file = BytesIO()
    Image.new("RGBA", size, "red").save(file, "PNG")
    return file.getvalue()


def jpeg(size: tuple[int, int], **options: bool) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, "red").save(file, "JPEG", **options)
    return file.getvalue()


def test_an_image_is_decoded_to_rgb() -> None:
    assert (opened(png((3, 2))).mode, opened(png((3, 2))).size) == ("RGB", (3, 2))


def test_images_are_checked_by_their_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)  # nothing may be decoded
    for file in (png_header(2000, 2000), jpeg((5000, 5000)), jpeg((4000, 3000), progressive=True)):
        check_image(file)
    refused = [
        (b"", "it is empty"),
        (b"GIF89a", "6 bytes are none"),
        (png_header(8000, 5000), "PNG has 40,000,000 pixels; at most 4,000,000"),
        (jpeg((5000, 3000), progressive=True), "progressive JPEG has 15,000,000 pixels; at most 12,500,000"),
    ]
    refused += [(jpeg((40, 30), progressive=True) * 3, "more than 16 scans"), (b"<html>", "6 bytes are none")]
    for file, words in refused:
        with pytest.raises(Problem, match=words) as caught:
            check_image(file)
        assert caught.value.status == 415


def png_header(width: int, height: int) -> bytes:
    """Return the start of a PNG."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", crc32(body)) + b"\0\0\0\0IDAT"


def test_a_damaged_image_is_refused() -> None:
    with pytest.raises(RequestError, match="damaged"):
        opened(png((300, 200))[:-80])


@pytest.mark.parametrize(
    ("url", "hosts", "words"),
    [
        ("https://elsewhere.example/a.jpg", ["shop.example"], "from shop.example"),
        ("https://shop.example/a.jpg", [], "from no host"),
        ("http://localhost/a.jpg", ["localhost"], "by https"),
        ("https://localhost/a.jpg", ["localhost"], "private address"),
        ("https://127.0.0.1/a.jpg", ["127.0.0.1"], "private address"),
        ("https://[", ["shop.example"], "is no URL"),
        ("https://shop.example:abc/a.jpg", ["shop.example"], "is no URL"),
        ("https://shop.example:99999/a.jpg", ["shop.example"], "is no URL"),
        ("https://" + "a" * 70 + ".example/", ["a" * 70 + ".example"], "no host"),
        ("https://127.0.0.1/\\x00\n", ["127.0.0.1"], "private address|is no URL"),
    ],
)
def test_a_url_leads_to_allowed_public_hosts_only(url: str, hosts: list[str], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        fetched(url, hosts)
