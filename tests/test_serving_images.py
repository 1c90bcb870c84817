"""Pictures from outside: what is none is refused, and URLs lead to allowed public hosts only."""

from io import BytesIO

import pytest
from PIL import Image

from recommender.errors import RequestError
from serving import query_encoder as encoding
from serving.image_fetch import fetched
from serving.query_encoder import opened


def png(size: tuple[int, int]) -> bytes:
    file = BytesIO()
    Image.new("RGBA", size, "red").save(file, "PNG")
    return file.getvalue()


def test_an_image_is_decoded_to_rgb() -> None:
    assert (opened(png((3, 2))).mode, opened(png((3, 2))).size) == ("RGB", (3, 2))


def test_invalid_or_large_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MAX_PIXELS", 100)
    for file, words in [(b"", "cannot be read"), (b"GIF89a", "cannot be read"), (png((11, 10)), "more than 100")]:
        with pytest.raises(RequestError, match=words):
            opened(file)


@pytest.mark.parametrize(
    ("url", "hosts", "words"),
    [
        ("https://elsewhere.example/a.jpg", ["shop.example"], "from shop.example"),
        ("https://shop.example/a.jpg", [], "from no host"),
        ("http://localhost/a.jpg", ["localhost"], "by https"),
        ("https://localhost/a.jpg", ["localhost"], "private address"),
        ("https://127.0.0.1/a.jpg", ["127.0.0.1"], "private address"),
    ],
)
def test_a_url_leads_to_allowed_public_hosts_only(url: str, hosts: list[str], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        fetched(url, hosts)
