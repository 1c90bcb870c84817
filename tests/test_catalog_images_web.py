import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pandas as pd
import pytest

from recommender.catalog import Catalog
from recommender.catalog.images import web
from recommender.catalog.images.web import UrlImages
from recommender.errors import DataError

PHOTO = b"\xff\xd8" + b"photo" * 1000


class Shop(BaseHTTPRequestHandler):
    """A host that answers, is busy, refuses, redirects, sends pages and stops half-way, by path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        seen = self.server.seen
        seen[self.path] += 1
        self.server.times.append(time.monotonic())
        answer = getattr(self, self.path.split("?")[0].strip("/").replace("-", "_"), None)
        answer() if answer else self.respond(404)

    def respond(self, status=200, body=PHOTO, **headers):
        self.send_response(status)
        fields = {"Content-Type": "image/jpeg", "Content-Length": str(len(body))} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def good(self):
        self.respond()

    def busy_once(self):
        self.respond(200 if self.server.seen[self.path] > 1 else 503)

    def slow_down(self):
        self.respond(200 if self.server.seen[self.path] > 1 else 429, Retry_After="0.3")

    def always_busy(self):
        self.respond(500)

    def page(self):
        self.respond(Content_Type="text/html")

    def large(self):
        self.respond(body=b"x" * 20_000)

    def moved(self):
        self.respond(302, b"", Location="/good")

    def round_and_round(self):
        self.respond(302, b"", Location="/round-and-round")

    def to_a_file(self):
        self.respond(302, b"", Location="file:///etc/passwd")

    def cut_off(self):
        whole = self.server.seen[self.path] > 1
        self.respond(body=PHOTO if whole else PHOTO[:100], Content_Length=str(len(PHOTO)))
        self.close_connection = not whole

    def log_message(self, *args):
        pass


@pytest.fixture
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.seen, server.times = Counter(), []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def source(tmp_path, host):
    source = UrlImages(tmp_path / "cache", interval=0.0, backoff=0.01, private=True)
    yield source
    source.close()


def test_an_image_is_downloaded_once(host, source, tmp_path):
    url = f"{host.url}/good?size=large"
    assert source.read(url) == source.read(url) == PHOTO
    later = UrlImages(tmp_path / "cache")
    assert later.read(url) == PHOTO
    assert host.seen == {"/good?size=large": 1}
    assert source.key(url) == later.key(url) != ""
    assert source.key("a.jpg") == ""


@pytest.mark.parametrize("path", ["busy-once", "slow-down", "cut-off"])
def test_temporary_errors_are_retried(host, source, path):
    assert source.read(f"{host.url}/{path}") == PHOTO
    assert host.seen[f"/{path}"] == 2


def test_retry_after_is_honoured(host, source):
    source.read(f"{host.url}/slow-down")
    assert host.times[1] - host.times[0] >= 0.3


def test_redirects_are_followed(host, source):
    assert source.read(f"{host.url}/moved") == PHOTO


@pytest.mark.parametrize(
    ("path", "message", "attempts"),
    [
        ("/nothing", "HTTP 404", 1),
        ("/always-busy", "HTTP 500 after 3 attempts", 3),
        ("/page", "is 'text/html'; expected an image", 1),
        ("/large", "is larger than 10,000 bytes", 1),
        ("/round-and-round", "Exceeded maximum allowed redirects", 6),
        ("/to-a-file", "unsupported protocol", 1),
    ],
)
def test_failures_are_not_retried_for_a_day(host, source, monkeypatch, path, message, attempts):
    monkeypatch.setattr(web, "_MAX_BYTES", 10_000)
    for _ in range(2):
        with pytest.raises(DataError, match=f"(?i){message}"):
            source.read(host.url + path)
    assert host.seen[path] == attempts


def test_failures_are_retried_after_a_day(host, source, tmp_path):
    url = f"{host.url}/nothing"
    for _ in range(2):
        with pytest.raises(DataError):
            source.read(url)
        (marker,) = (tmp_path / "cache").rglob("*.gone")
        os.utime(marker, (0, 0))
    assert host.seen["/nothing"] == 2


def test_partial_downloads_are_not_cached(host, source, tmp_path):
    source.read(f"{host.url}/cut-off")
    (cached,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert cached.read_bytes() == PHOTO


def test_an_unreachable_host(tmp_path):
    source = UrlImages(tmp_path, interval=0.0, backoff=0.0, private=True)
    with pytest.raises(DataError, match="after 3 attempts"):
        source.read("http://127.0.0.1:1/a.jpg")
    with pytest.raises(DataError, match="photo 'http://'"):
        source.read("http://")
    source.close()


def test_requests_to_one_host_are_spaced(host, tmp_path):
    source = UrlImages(tmp_path, interval=0.05, private=True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(source.read, (f"{host.url}/good?{i}" for i in range(8))))
    source.close()
    assert max(host.times) - min(host.times) >= 0.2  # 0.35, but for a first one that is late


def test_a_catalogue_mixes_urls_and_files(host, tmp_path, monkeypatch):
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "b.jpg").write_bytes(b"photo b")
    links = [f"{host.url}/good", "b.jpg", f"{host.url}/nothing"]
    frame = pd.DataFrame({"id": ["a", "b", "c"], "image": links})
    catalog = Catalog.from_frame(frame, tmp_path, private_images=True)
    assert [catalog.images.read(ref) for ref in catalog.image_refs()[:2]] == [PHOTO, b"photo b"]
    assert all(catalog.images.key(ref) for ref in catalog.image_refs())
    catalog.images.close()
