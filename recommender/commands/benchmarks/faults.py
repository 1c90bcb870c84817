"""Fault injection on a running service: killed processes, damaged bundles, a database that stops or hangs.

Everything runs on copies in a temporary folder. Each experiment reports its counts and whether it passed.
PostgreSQL's own programs are needed for its part, which is left out where they are not installed.
"""

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import linear_regression, quantiles
from threading import Event, Thread
from typing import Any

import httpx

from recommender.bundle import Staging, open_bundle, prune
from recommender.commands.benchmarks.malformed import MalformedRequests
from recommender.commands.benchmarks.postgres import Postgres, missing
from recommender.commands.benchmarks.proxy import Proxy
from recommender.commands.benchmarks.service import (
    WORKERS,
    ServiceProcess,
    running,
    status,
    wait_until,
    written_kib,
)
from recommender.progress import notice, progress
from recommender.recommender import load
from recommender.stores import open_store

THREADS = 4
ENOUGH = 20  # answers between two faults, so that each comes under load on a slow machine, too
USERS = 20  # so few that their histories soon are as long as the service reads
SHARE = 100  # malformed requests of one connection, and so of one worker
SAMPLES = 40  # of the memory
SECONDS = 10.0  # of load on a healthy database, and on one that hangs


def measure_faults(source: Path, kills: int, swaps: int, requests: int, minutes: float) -> dict[str, Any]:
    """Run the experiments on a copy of the bundles; each reports its counts and whether it passed.

    Parameters
    ----------
    kills
        How often a worker is killed, before the whole service is.
    swaps
        How often a generation is published under load.
    requests
        How many malformed requests are sent.
    minutes
        How long memory is watched under load; 0 leaves that out.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundles = Path(shutil.copytree(source, Path(folder) / "bundles"))
        experiments: dict[str, Callable[[], dict[str, Any]]] = {
            "kill -9 under event ingest": partial(killed, bundles, kills),
            "bundle swapped under load": partial(swapped, bundles, swaps),
            "damaged bundle published": partial(damaged, bundles),
            "database stopped and started": partial(without_database, bundles),
            "database hangs": partial(frozen_database, bundles),
            "malformed requests": partial(malformed, bundles, requests),
        }
        if minutes:
            experiments["memory under load"] = partial(memory, bundles, minutes)
        report = {}
        for name, run in experiments.items():
            report[name] = run()
            notice(f"{name}: {verdict(report[name])}")
        return report


def verdict(result: Mapping[str, Any]) -> str:
    """Return in a word how an experiment ended."""
    return "left out" if "left out" in result else "passed" if result["passed"] else "failed"


def passed(report: Mapping[str, Any]) -> bool:
    """Return whether no experiment failed."""
    return all(verdict(result) != "failed" for result in report.values())


def table(report: Mapping[str, Any]) -> str:
    """Return the report as text."""
    lines = []
    for name, result in report.items():
        facts = ", ".join(f"{fact} {value}" for fact, value in result.items() if fact != "passed")
        lines.append(f"{name}: {verdict(result)}\n  {facts}")
    return "\n".join(lines)


@contextmanager
def load_on(work: Callable[[httpx.Client, int], None], url: str) -> Iterator[None]:
    """Call `work` repeatedly from a few threads; a refused connection is retried."""
    stopped = Event()

    def repeat(thread: int) -> None:
        number = thread
        while not stopped.is_set():
            with httpx.Client(base_url=url, timeout=10) as client:
                try:
                    while not stopped.is_set():
                        work(client, number)
                        number += THREADS
                except httpx.TransportError:
                    time.sleep(0.01)

    threads = [Thread(target=repeat, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def wait_for_more(count: Callable[[], int]) -> None:
    """Wait until `count` has grown by `ENOUGH`."""
    enough = count() + ENOUGH
    wait_until(lambda: count() >= enough)


def health(url: str) -> str:
    """Return the status that the service reports."""
    status_text: str = httpx.get(f"{url}/healthz/ready", timeout=10).json()["status"]
    return status_text


def event(number: int, item_id: str) -> dict[str, Any]:
    """Return the event of a number, as JSON."""
    return {
        "event_id": f"e-{number}",
        "user_id": f"u-{number % USERS}",
        "event_name": "view_item",
        "timestamp": "2026-11-23T06:40:00Z",
        "items": [{"item_id": item_id}],
    }


def killed(bundles: Path, kills: int) -> dict[str, Any]:
    """Kill workers, then the whole service, during ingest; each acknowledged event must be stored exactly once."""
    item_id = load(bundles).ids[0]
    store = f"sqlite:///{bundles.parent}/killed.sqlite"
    acknowledged: set[str] = set()

    def send(client: httpx.Client, number: int) -> None:
        answer = client.post("/v1/events", json=event(number, item_id))
        if answer.status_code == 200:
            acknowledged.add(f"e-{number}")

    service = ServiceProcess(bundles, store)
    service.start()
    with load_on(send, service.url):
        for _ in progress(range(kills), "kills", kills, "kill"):
            wait_for_more(acknowledged.__len__)
            os.kill(service.worker_pids()[0], signal.SIGKILL)
            wait_until(lambda: len(service.worker_pids()) == WORKERS)
        wait_for_more(acknowledged.__len__)
        service.kill()
        service.start()
        wait_for_more(acknowledged.__len__)
    service.stop()
    with open_store(store) as opened:
        stored = Counter(each.event_id for each in opened.events.scan())
    lost, twice = len(acknowledged - stored.keys()), sum(count > 1 for count in stored.values())
    facts = {"acknowledged": len(acknowledged), "lost": lost, "twice": twice, "kills": kills + 1}
    return facts | {"passed": lost == twice == 0}


def swapped(bundles: Path, swaps: int) -> dict[str, Any]:
    """Publish repeatedly under load; no request may fail, and each answer must be of a published generation."""
    item_id = load(bundles).ids[0]
    answers: Counter[tuple[int, str]] = Counter()
    published = {load(bundles).generation}

    def get(client: httpx.Client, number: int) -> None:
        answer = client.get("/v1/similar", params={"item_id": item_id, "fields": "title"})
        answers[answer.status_code, answer.json().get("bundle", "")] += 1

    with running(bundles, f"sqlite:///{bundles.parent}/swapped.sqlite") as service, load_on(get, service.url):
        for _ in progress(range(swaps), "swaps", swaps, "swap"):
            published.add(republish(bundles))
            prune(bundles, keep=2)
            time.sleep(0.2)
            wait_for_more(answers.total)
    failed = sum(count for (code, _), count in answers.items() if code != 200)
    strange = {bundle for _, bundle in answers} - published
    facts = {"swaps": swaps, "answers": answers.total(), "failed": failed, "seen": len({b for _, b in answers})}
    return facts | {"passed": failed == 0 and not strange and facts["seen"] > 1}


def republish(bundles: Path) -> str:
    """Publish the same parts as a new generation."""
    old = open_bundle(bundles)
    with Staging(bundles) as staging:
        name = staging.publish(old.manifest.to_dict(), parent=old, reuse=old.manifest.parts)
    old.close()
    return name


def damaged(bundles: Path) -> dict[str, Any]:
    """Publish a generation whose files disagree with its manifest, then a sound one, under load."""
    item_id, before = load(bundles).ids[0], load(bundles).generation
    answers: Counter[tuple[int, str]] = Counter()

    def get(client: httpx.Client, number: int) -> None:
        answer = client.get("/v1/similar", params={"item_id": item_id})
        answers[answer.status_code, answer.json().get("bundle", "")] += 1

    store = f"sqlite:///{bundles.parent}/damaged.sqlite"
    with running(bundles, store) as service, load_on(get, service.url):
        manifests, name = bundles / "generations", "20991231T000000Z-00000000"
        manifest = (manifests / f"{before}.json").read_text().replace(before, name)
        (manifests / f"{name}.json").write_text(manifest.replace('"bytes": ', '"bytes": 1'))
        (bundles / "CURRENT").write_text(name)
        wait_until(lambda: health(service.url) == "degraded")
        answers.clear()
        time.sleep(2)
        seen = {bundle for _, bundle in answers}
        (manifests / f"{name}.json").unlink()
        (bundles / "CURRENT").write_text(before)
        wait_until(lambda: health(service.url) == "ready")
    failed = sum(count for (code, _), count in answers.items() if code != 200)
    facts = {"answers": answers.total(), "failed": failed, "answered by": sorted(seen), "reported": "degraded"}
    return facts | {"passed": failed == 0 and seen == {before}}


def malformed(bundles: Path, count: int) -> dict[str, Any]:
    """Send malformed requests; none may crash the service, reveal internals, or leak memory."""
    answers: Counter[int] = Counter()
    leaks: list[str] = []
    with running(bundles, f"sqlite:///{bundles.parent}/malformed.sqlite") as service:
        document = httpx.get(f"{service.url}/openapi.json", timeout=30).json()
        memory_kib = [[*map(written_kib, service.worker_pids())]]
        connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
        for half in range(2):  # caches fill during the first half
            requests = MalformedRequests(document, seed=half).requests(count // 2)
            for number, request in enumerate(progress(requests, "malformed requests", count // 2, "request")):
                if number % SHARE == 0:
                    connection.close()  # the next connection may be another worker's
                headers = {"Content-Type": request.content_type.encode()}
                connection.request(request.method, request.path, request.body, headers)
                answer = connection.getresponse()
                body = answer.read()
                answers[answer.status] += 1
                if any(word in body for word in (b"Traceback", b"site-packages", str(bundles).encode())):
                    leaks.append(f"{request}: {body[:200]!r}")
            memory_kib.append([*map(written_kib, service.worker_pids())])
        connection.close()
    failed = sum(times for code, times in answers.items() if code >= 500 and code != 501)
    facts: dict[str, Any] = {
        "answers": {str(code): n for code, n in sorted(answers.items())},
        "failed": failed,
        "revealing": leaks[:3],
    }
    facts["MiB of the workers at first, half-way, at the end"] = [
        [kib >> 10 for kib in each] for each in memory_kib
    ]
    return facts | {"passed": failed == 0 and not leaks and sum(memory_kib[2]) < 1.1 * sum(memory_kib[1])}


def without_database(bundles: Path) -> dict[str, Any]:
    """Stop PostgreSQL and start it again; only what needs it may fail meanwhile."""
    if reason := missing():
        return {"left out": reason}
    item_id = load(bundles).ids[0]
    with tempfile.TemporaryDirectory(prefix="faults-pg-") as folder:
        database = Postgres(Path(folder))
        database.start()
        with running(bundles, database.url) as service:

            def post(number: int) -> httpx.Response:
                return httpx.post(f"{service.url}/v1/events", json=event(number, item_id), timeout=30)

            before = post(1).status_code
            database.stop()
            meanwhile = post(2)
            similar = status(service.url, f"/v1/similar?item_id={item_id}")
            user = status(service.url, "/v1/users/u-1/recommendations")
            wait_until(lambda: health(service.url) == "degraded")
            database.start()
            wait_until(lambda: health(service.url) == "ready")
            after = post(2).status_code
        database.stop()
    facts = {
        "event before, meanwhile, after": [before, meanwhile.status_code, after],
        "Retry-After": meanwhile.headers.get("Retry-After"),
        "similar and for a user meanwhile": [similar, user],
    }
    right = (before, meanwhile.status_code, after, similar, user) == (200, 503, 200, 200, 200)
    return facts | {"passed": right and facts["Retry-After"] is not None}


def frozen_database(bundles: Path) -> dict[str, Any]:
    """Let PostgreSQL hang under load, behind a proxy that stops forwarding; only what needs it may notice."""
    if reason := missing():
        return {"left out": reason}
    item_id = load(bundles).ids[0]
    paths = {"similar": f"/v1/similar?item_id={item_id}", "user": "/v1/users/u-1/recommendations"}
    paths["live"] = "/healthz/live"
    taken: dict[str, list[float]] = {}
    statuses: Counter[tuple[str, int]] = Counter()

    def get(client: httpx.Client, number: int) -> None:
        name = [*paths, "event"][number % 4]
        start = time.perf_counter()
        if name == "event":
            answer = client.post("/v1/events", json=event(number, item_id))
        else:
            answer = client.get(paths[name])
        taken.setdefault(name, []).append(1e3 * (time.perf_counter() - start))
        statuses[name, answer.status_code] += 1

    def measured(url: str) -> tuple[dict[str, dict[str, float]], Counter[tuple[str, int]]]:
        taken.clear()
        statuses.clear()
        with load_on(get, url):
            time.sleep(SECONDS)
        ms = {name: {"p99": quantiles(times, n=100)[98], "max": max(times)} for name, times in taken.items()}
        return {n: {k: round(v, 1) for k, v in each.items()} for n, each in ms.items()}, statuses.copy()

    with tempfile.TemporaryDirectory(prefix="faults-pg-") as folder:
        database = Postgres(Path(folder))
        database.start()
        with Proxy.to_unix_socket(database.socket) as proxy:
            url = f"postgresql://shop@127.0.0.1:{proxy.port}/postgres"
            with running(bundles, url) as service:
                measured(service.url)  # warms up
                healthy, _ = measured(service.url)
                proxy.freeze()
                hanging, answered = measured(service.url)
                proxy.thaw()
                start = time.monotonic()
                wait_until(lambda: health(service.url) == "ready")
                wait_until(
                    lambda: httpx.post(f"{service.url}/v1/events", json=event(0, item_id)).status_code == 200
                )
                whole = round(time.monotonic() - start, 1)
        database.stop()
    wrong = sum(
        count for (name, code), count in answered.items() if code not in (200, 503 if name == "event" else 200)
    )
    facts = {"ms healthy": healthy, "ms hanging": hanging, "failed": wrong, "seconds until whole": whole}
    # a machine that is busy with other things is slow on a healthy database, too
    bounds = {"similar": 0.0, "user": 250.0, "live": 50.0}
    right = all(hanging[name]["p99"] <= max(ms, 2 * healthy[name]["p99"]) for name, ms in bounds.items())
    return facts | {"passed": right and not wrong and whole <= 5}


def memory(bundles: Path, minutes: float) -> dict[str, Any]:
    """Request products and histories for some minutes; the memory of the workers must stay flat."""
    ids = load(bundles).ids

    def get(client: httpx.Client, number: int) -> None:
        client.get("/v1/similar", params={"item_id": ids[number % len(ids)], "filter": f"price < {number % 500}"})
        client.post("/v1/events", json=event(number, ids[number * 7 % len(ids)]))
        client.get(f"/v1/users/u-{number % USERS}/recommendations")

    with running(bundles, f"sqlite:///{bundles.parent}/memory.sqlite") as service, load_on(get, service.url):
        time.sleep(minutes * 60 / 3)  # caches fill up
        kib = []
        for _ in progress(range(SAMPLES), "memory", SAMPLES, "sample"):
            kib.append(sum(map(written_kib, service.worker_pids())))
            time.sleep(minutes * 60 * 2 / 3 / SAMPLES)
    slope = linear_regression([minutes * 2 / 3 / SAMPLES * sample for sample in range(SAMPLES)], kib).slope
    facts = {"minutes": minutes, "MiB early, late": [kib[0] >> 10, kib[-1] >> 10], "KiB a minute": round(slope)}
    return facts | {"passed": kib[-1] < 1.1 * kib[0]}
