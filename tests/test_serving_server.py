"""The server as a shop runs it: worker processes, an address, signals; and the page in a browser."""

import multiprocessing
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from hanging_postgres import proxy, server, url_of  # noqa: F401  # fixtures

import recommender
from recommender.commands.benchmarks.proxy import Proxy
from recommender.commands.benchmarks.service import children
from recommender.errors import BundleError, ConfigError, StoreError
from serving.server import STOP_SECONDS, _is_alive, check_port, serve

SECONDS = 30
HEAD = "POST /v1/events HTTP/1.1", "Host: shop", "Content-Type: application/json", "Content-Length: 9"
HALF_SENT = "\r\n".join([*HEAD, "", "{"]).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    bundles: Path, store: Path | str, workers: int, **more: Any
) -> Iterator[tuple[httpx.Client, SpawnProcess]]:
    port = free_port()
    url = store if isinstance(store, str) else f"sqlite:///{store}"
    options = {"port": port, "workers": workers, "store": url, **more}
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(bundles,), kwargs=options)
    process.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        try:
            await_live(client, process)
            yield client, process
        finally:
            process.terminate()
            process.join(SECONDS)
            assert not process.is_alive(), "the server does not stop"


def await_live(client: httpx.Client, process: SpawnProcess) -> None:
    deadline = monotonic() + SECONDS
    while monotonic() < deadline and process.is_alive():
        try:
            if client.get("/healthz/live").status_code == 200:
                return
        except httpx.TransportError:
            sleep(0.1)
    raise AssertionError("the server does not come up")


@pytest.fixture
def bundles(demo_bundles: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundles, tmp_path / "bundles"))


def republish(bundles: Path) -> str:
    """Make the same parts current under another name, as a fit would."""
    old = (bundles / "CURRENT").read_text().strip()
    new = f"2099{old[4:]}"
    manifests = bundles / "generations"
    (manifests / f"{new}.json").write_text((manifests / f"{old}.json").read_text().replace(old, new))
    (bundles / "CURRENT.new").write_text(new)
    (bundles / "CURRENT.new").replace(bundles / "CURRENT")
    return new


def test_workers_swap_the_bundle_without_a_failed_request(bundles: Path, tmp_path: Path) -> None:
    item_id = recommender.load(bundles).ids[0]
    with running(bundles, tmp_path / "store.db", workers=2) as (client, process):
        old = client.get("/v1/info").json()["bundle"]
        seen: list[tuple[int, str]] = []

        def ask(_: int) -> None:
            answer = client.get("/v1/similar", params={"item_id": item_id})
            seen.append((answer.status_code, answer.json()["bundle"]))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(50)))
            new = republish(bundles)
            deadline = monotonic() + SECONDS
            while {bundle for _, bundle in seen[-20:]} != {new} and monotonic() < deadline:
                list(pool.map(ask, range(20)))
        assert {status for status, _ in seen} == {200}
        assert {bundle for _, bundle in seen} == {old, new}
        assert {bundle for _, bundle in seen[-20:]} == {new}
        process.terminate()
        process.join(SECONDS)
        assert process.exitcode in (0, -signal.SIGTERM)


def test_events_of_one_worker_are_seen_by_all(bundles: Path, tmp_path: Path) -> None:
    item_id = recommender.load(bundles).ids[0]
    event = {
        "event_id": "e-1",
        "event_name": "purchase",
        "timestamp": "2026-11-23T06:40:00Z",
        "user_id": "u",
        "items": [{"item_id": item_id}],
    }
    with running(bundles, tmp_path / "store.db", workers=2) as (client, _):
        assert [client.post("/v1/events", json=event).json()["status"] for _ in range(4)] == ["stored"] + [
            "known"
        ] * 3
        for _ in range(6):
            with httpx.Client(base_url=client.base_url) as another:
                assert another.get("/v1/users/u/recommendations").json()["strategy"] == "for_you"


def test_a_refused_body_is_answered_and_the_next_request_too(bundles: Path, tmp_path: Path) -> None:
    large, largest, too_large = b"[" * 100_000, b'{"image": "aGVsbG8="}'.ljust(8 << 20), b"[" * (9 << 20)
    refusals = [("/v1/nothing", b"{}", 404), ("/v1/nothing", large, 404), ("/v1/trending", large, 405)]
    refusals += [("/v1/search", largest, 501), ("/v1/search", too_large, 413)]
    chunked = [(path, iter([body]), status) for path, body, status in refusals]
    headers = {"Content-Type": "application/json"}
    with running(bundles, tmp_path / "store.db", workers=1) as (client, _):
        for path, body, status in [*refusals, *chunked]:
            try:
                assert client.post(path, content=body, headers=headers).status_code == status
            except httpx.TransportError:  # a large body that is refused before it is read may break off
                assert status in (404, 405, 413)
            assert client.get("/healthz/live").status_code == 200


def test_half_sent_bodies_hold_up_no_other_request(bundles: Path, tmp_path: Path) -> None:
    item_id = recommender.load(bundles).ids[0]
    with running(bundles, tmp_path / "store.db", workers=1) as (client, _), ExitStack() as stack:
        address = (client.base_url.host, client.base_url.port)
        for _ in range(100):
            stack.enter_context(socket.create_connection(address)).sendall(HALF_SENT)
        for _ in range(20):
            assert client.get("/v1/similar", params={"item_id": item_id}).status_code == 200
            assert client.post("/v1/recommendations", json={"limit": 1}).status_code == 200


def test_a_slow_client_does_not_delay_a_stop(bundles: Path, tmp_path: Path) -> None:
    with running(bundles, tmp_path / "store.db", workers=1) as (client, process):
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address) as held:
            held.sendall(HALF_SENT)
            sleep(0.5)
            signalled = monotonic()
            process.terminate()
            process.join(SECONDS)
            assert monotonic() - signalled < STOP_SECONDS + 3
        assert process.exitcode in (0, -signal.SIGTERM)


def test_the_server_does_not_start_without_a_bundle_or_a_store(bundles: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="recommender fit"):
        serve(tmp_path / "nothing")
    with pytest.raises(StoreError, match="unable to open"):
        serve(bundles, store="sqlite:////no/such/folder/x.db")


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below one, but for multiprocessing's trackers, which end by themselves."""
    below = [each for child in children(pid) for each in (child, *descendants(child))]
    return [each for each in below if b"resource_tracker" not in Path(f"/proc/{each}/cmdline").read_bytes()]


def is_running(pid: int) -> bool:
    """Return whether there is a process of this id, and not its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], Any]) -> None:
    deadline = monotonic() + SECONDS
    while not condition():
        assert monotonic() < deadline, "it did not come to be"
        sleep(0.05)


def statuses(client: httpx.Client, path: str, count: int = 8) -> set[int]:
    """Return the statuses of requests at once, each on a connection of its own; 0 is no answer."""

    def status(_: int) -> int:
        try:
            return httpx.get(f"{client.base_url}{path}", timeout=SECONDS).status_code
        except httpx.TransportError:
            return 0

    with ThreadPoolExecutor(count) as pool:
        return set(pool.map(status, range(count)))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed from /proc")
def test_workers_that_are_killed_together_and_again_are_replaced_and_all_end_with_their_parent(
    bundles: Path, tmp_path: Path
) -> None:
    with running(bundles, tmp_path / "store.db", workers=2) as (client, process):
        assert process.pid is not None
        for _ in range(2):
            until(lambda: len(descendants(process.pid)) == 2)
            for worker in descendants(process.pid):
                os.kill(worker, signal.SIGKILL)
            until(lambda: statuses(client, "/v1/new") == {200})
        until(lambda: len(descendants(process.pid)) == 2)
        workers = descendants(process.pid)
        process.kill()
        until(lambda: not any(map(is_running, workers)))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{client.base_url}/healthz/live")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed from /proc")
def test_while_the_encoder_starts_the_service_is_not_ready_and_it_ends_with_the_service(
    bundles: Path, tmp_path: Path
) -> None:
    with running(bundles, tmp_path / "store.db", workers=1, query_encoder=True) as (client, process):
        ready = client.get("/healthz/ready")
        assert (ready.status_code, ready.json()["components"]["encoder"]["status"]) == (503, "starting")
        assert client.get("/v1/new").status_code == 200
        assert process.pid is not None
        processes = descendants(process.pid)
        assert len(processes) >= 2
        process.kill()
        until(lambda: not any(map(is_running, processes)))


def test_a_port_is_not_shared(bundles: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: another process listens there"):
            serve(bundles, port=port, store=f"sqlite:///{tmp_path}/store.db")
    check_port("127.0.0.1", port)
    with pytest.raises(ConfigError, match="choose another address"):
        check_port("192.0.2.1", 8000)


def test_a_stop_while_a_worker_starts_is_clean(bundles: Path, tmp_path: Path, capfd: Any) -> None:
    options = {"port": free_port(), "workers": 2, "store": f"sqlite:///{tmp_path}/store.db"}
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(bundles,), kwargs=options)
    process.start()
    assert process.pid is not None
    until(lambda: descendants(process.pid))
    process.terminate()
    process.join(SECONDS)
    assert process.exitcode == 0
    assert "refused to gracefully stop" not in capfd.readouterr().out


def test_a_worker_that_another_thread_waited_for_is_not_alive() -> None:
    process = multiprocessing.get_context("fork").Process(target=os.getpid)
    process.start()
    os.waitpid(process.pid or 0, 0)
    assert process.is_alive()  # else nothing is to be mended
    assert not _is_alive(process)


def test_a_frozen_database_stops_neither_a_start_nor_a_reload_nor_other_requests(
    bundles: Path,
    proxy: Proxy,  # noqa: F811
    capfd: Any,
) -> None:
    item_id = recommender.load(bundles).ids[0]
    similar, user = f"/v1/similar?item_id={item_id}", "/v1/users/u/recommendations"
    event = {"event_id": "e", "event_name": "purchase", "timestamp": "2026-11-23T06:40:00Z", "user_id": "u"}
    event["items"] = [{"item_id": item_id}]  # type: ignore[assignment]
    proxy.freeze()
    with running(bundles, url_of(proxy), workers=1, store_timeout_ms=6000) as (client, process):
        assert process.pid is not None
        assert client.get("/healthz/ready").json()["components"]["store"]["status"] == "down"
        assert statuses(client, user) == statuses(client, similar) == {200}
        (old,) = descendants(process.pid)
        os.kill(process.pid, signal.SIGHUP)
        until(lambda: len(descendants(process.pid)) == 2)
        while is_running(old):
            assert client.get(similar).status_code == 200
            sleep(0.1)
        assert statuses(client, user) == {200}
        proxy.thaw()
        until(lambda: client.get("/healthz/ready").json()["status"] == "ready")
        assert client.post("/v1/events", json=event).status_code == 200
        assert client.get(user).json()["strategy"] == "for_you"
        proxy.freeze()
        with ThreadPoolExecutor(12) as pool:
            busy = [
                pool.submit(httpx.post, f"{client.base_url}/v1/events", json=event, timeout=SECONDS)
                for _ in range(12)
            ]
            for path in ("/healthz/live", similar):
                asked = monotonic()
                assert statuses(client, path) == {200}
                assert monotonic() - asked < 5  # of the six that an event may wait
            assert {each.result().status_code for each in busy} <= {200, 503}
        process.terminate()
        process.join(SECONDS)
        assert process.exitcode == 0
    assert "refused to gracefully stop" not in capfd.readouterr().out


def test_the_page_shows_products_neighbours_and_reasons(bundles: Path, tmp_path: Path, browser: Any) -> None:
    with running(bundles, tmp_path / "store.db", workers=1) as (client, _):
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if "Content Security" in message.text else None,
        )
        page.goto(f"{client.base_url}/")
        page.wait_for_selector("#popular .card")
        assert page.locator("#popular .card").count() == len(
            recommender.load(bundles).recommend(k=36, strategy="popular")
        )
        page.locator("#popular .card").first.click()
        page.wait_for_selector("#product .grid .card")
        title = page.locator("#product h1").inner_text()
        assert page.locator("#product .grid .card").count() == 24
        assert page.locator("#product .parts i").count() >= 24
        assert all(page.locator("#product .why").all_inner_texts())
        page.wait_for_selector("#visit .card")

        slider = page.get_by_label("weight of image")
        slider.fill("1")
        with page.expect_response(lambda answer: "weights=image%3D1" in answer.url) as reweighted:
            slider.dispatch_event("change")
        assert reweighted.value.ok

        page.fill("#narrow input", "prise < 50")
        page.press("#narrow input", "Enter")
        page.wait_for_selector("#trouble:not([hidden])")
        assert "price" in page.locator("#trouble").inner_text()
        page.fill("#narrow input", "price < 50")
        page.press("#narrow input", "Enter")
        page.wait_for_selector("#trouble", state="hidden")
        assert page.locator("#product h1").inner_text() == title
        assert complaints == []
