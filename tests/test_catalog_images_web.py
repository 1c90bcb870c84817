import logging
import os
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pandas as pd
import pytest

from recommender.catalog import Catalog
from recommender.catalog.images import web
from recommender.catalog.images.web import UrlImages
from recommender.catalog.validation import read_files
from recommender.config import Config
from recommender.encoders.pipeline import encode_catalog
from recommender.encoders.support.addresses import is_public
from recommender.errors import DataError, PhotoError
from recommender.testing import TinyEncoder

GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
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

    def soft_404(self):
        self.respond(body=b"<!doctype html><html>not found</html>")

    def mislabelled(self):
        self.respond(body=GIF, Content_Type="text/plain")

    def to_metadata(self):
        self.respond(302, b"", Location="http://169.254.169.254/latest/meta-data/")

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


def test_a_page_with_an_image_type_is_no_image(host, source):
    with pytest.raises(DataError, match="is an HTML page; expected JPEG"):
        source.read(f"{host.url}/soft-404")


def test_an_image_with_the_type_of_text_is_one(host, source):
    assert source.read(f"{host.url}/mislabelled") == GIF


def links(host, count=200):
    return [f"{host}/{i}.jpg" for i in range(count)]


def read_all(source, refs):
    """Return why each image could not be read, "" for those that were, and the seconds that it took."""

    def reason(ref):
        try:
            source.read(ref)
        except PhotoError as error:
            return error.reason
        return ""

    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(reason, refs))
    return reasons, time.monotonic() - started


@pytest.fixture
def silent():
    """A host that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_host_that_refuses_is_given_up(tmp_path):
    source = UrlImages(tmp_path, interval=0.0, backoff=0.1, private=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
    reasons, seconds = read_all(source, links(f"http://{host}"))
    assert set(reasons) == {
        f"is on {host}, which does not answer after 3 attempts ([Errno 111] Connection refused)"
    }
    assert seconds < 10
    source.close()


def test_a_host_that_says_nothing_is_given_up(tmp_path, silent, monkeypatch):
    monkeypatch.setattr(web, "_TIMEOUT", httpx.Timeout(0.2))
    source = UrlImages(tmp_path, interval=0.0, backoff=0.1, private=True)
    reasons, seconds = read_all(source, links(silent))
    assert len(set(reasons)) == 1
    assert "does not answer after 3 attempts (timed out)" in reasons[0]
    assert seconds < 10  # 200 images of three attempts by 8 threads would take 15 seconds
    source.close()


def test_a_host_that_fails_is_given_up_after_few_requests(host, source):
    reasons, _ = read_all(source, [f"{host.url}/always-busy?{i}" for i in range(100)])
    assert len(set(reasons)) == 1
    assert "answers HTTP 500 after 3 attempts" in reasons[0]
    assert host.seen.total() <= 3 * 3 * 8


def test_a_host_that_is_given_up_does_not_cost_others(host, source, silent, monkeypatch):
    monkeypatch.setattr(web, "_TIMEOUT", httpx.Timeout(0.2))
    refs = [*links(silent, 20), *(f"{host.url}/good?{i}" for i in range(20))]
    assert [not reason for reason in read_all(source, refs)[0]] == [False] * 20 + [True] * 20


def test_missing_images_give_no_host_up(host, source):
    reasons, _ = read_all(source, [f"{host.url}/{path}?{i}" for i in range(20) for path in ("nothing", "good")])
    assert reasons == ["answers HTTP 404", ""] * 20


def test_a_host_is_asked_again_in_the_next_run(host, tmp_path):
    def read(path):
        source = UrlImages(tmp_path, interval=0.0, backoff=0.0, private=True)
        reasons = read_all(source, [f"{host.url}/{path}?{i}" for i in range(9)])[0]
        source.close()
        return reasons

    assert all(read("always-busy"))
    before = host.seen.total()
    assert all(read("always-busy"))
    assert host.seen.total() > before
    assert all(read("nothing"))
    before = host.seen.total()
    assert all(read("nothing"))
    assert host.seen.total() == before


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_refused_unless_allowed(host, tmp_path, name):
    url = host.url.replace("127.0.0.1", name) + "/good"
    source = UrlImages(tmp_path, interval=0.0)
    for _ in range(2):
        with pytest.raises(DataError, match=r"private address .*; \[catalog\] private_images = true allows it"):
            source.read(url)
    source.close()
    assert not host.seen
    allowed = UrlImages(tmp_path, interval=0.0, private=True)
    assert allowed.read(f"{host.url}/good") == PHOTO
    allowed.close()


def test_redirects_to_private_addresses_are_refused(host, tmp_path, monkeypatch):
    """The host itself is taken as public; where it sends to is not."""
    monkeypatch.setattr(web, "addresses_of", lambda name: {"8.8.8.8"} if name == "localhost" else {name})
    monkeypatch.setattr(web, "is_public", lambda address: address in {"8.8.8.8", "127.0.0.1"})
    source = UrlImages(tmp_path, interval=0.0)
    with pytest.raises(DataError, match=r"private address 169\.254\.169\.254"):
        source.read(host.url.replace("127.0.0.1", "localhost") + "/to-metadata")
    source.close()
    assert host.seen == {"/to-metadata": 1}


def test_a_name_that_is_bound_to_another_address_after_the_check_is_refused(host, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "addresses_of", lambda name: {"8.8.8.8"})
    source = UrlImages(tmp_path, interval=0.0)
    with pytest.raises(DataError, match=r"private address 127\.0\.0\.1"):
        source.read(host.url.replace("127.0.0.1", "localhost") + "/good")
    source.close()
    assert not host.seen


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses(address, public):
    assert is_public(address) is public


def test_validate_and_fit_report_one_line_for_a_host(host, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "cache"))
    urls = [f"{host.url}/{path}?{i}" for i in range(30) for path in ("nothing", "mislabelled")]
    (tmp_path / "p.csv").write_text(
        "id,title,image\n" + "".join(f"{i:02},Mug {i},{url}\n" for i, url in enumerate(urls))
    )
    mapping = {"path": tmp_path / "p.csv", "private_images": True}
    config = Config.from_mapping({"catalog": mapping})
    report = read_files(config)
    assert (report.counts["broken photo"], report.facts["products with a photo"]) == (30, 30)
    (problem,) = report.problems
    assert problem.count == 30
    assert "each of 30 photos" in str(problem)
    assert "answers HTTP 404" in str(problem)
    with caplog.at_level(logging.INFO, "recommender"):
        catalog = Catalog.load(config)
        encoded = encode_catalog(catalog, TinyEncoder(), tmp_path / "cache")
        catalog.images.close()
    assert (encoded.counts["broken"], encoded.counts["images"]) == (30, 0)  # the others are one placeholder
    lines = [line for line in caplog.messages if "404" in line]
    assert len(lines) == 1
    assert lines[0].startswith("the images of 30 products cannot be read (answers HTTP 404)")


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
