"""What happens to a running service when things break: killed processes, damaged bundles, a database that stops.

    python tests/benchmarks/faults.py BUNDLES [--kills 5] [--swaps 100] [--malformed 10000] [--minutes 0] [--json]

Everything runs on copies in a temporary folder. Each experiment says what it counted and whether that is as it
must be; the exit code is 1 if one is not. PostgreSQL's own programs are needed for its part, which is left out
where they are not installed.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import linear_regression
from threading import Event, Thread
from typing import Any

import httpx
from malformed import Maker
from postgres import Postgres, missing
from running import WORKERS, Service, running, status, until, written_kib

from recommender.bundle import Staging, open_bundle, prune
from recommender.recommender import load
from recommender.stores import open_store

THREADS = 4
ENOUGH = 20  # answers between two faults, so that each comes under load on a slow machine, too
USERS = 20  # so few that their histories soon are as long as the service reads
SHARE = 100  # malformed requests of one connection, and so of one worker
SAMPLES = 40  # of the memory held


def main() -> None:
    """Run the experiments and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--kills", type=int, default=5, help="of a worker, and once more of the whole service")
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--malformed", type=int, default=10_000, help="requests that nobody of good will sends")
    parser.add_argument("--minutes", type=float, default=0.0, help="of load under which memory must stay flat")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundles = Path(shutil.copytree(asked.bundles, Path(folder) / "bundles"))
        experiments = {
            "kill -9 under event ingest": partial(killed, bundles, asked.kills),
            "bundle swapped under load": partial(swapped, bundles, asked.swaps),
            "damaged bundle published": partial(damaged, bundles),
            "database stopped and started": partial(without_database, bundles),
            "malformed requests": partial(malformed, bundles, asked.malformed),
        }
        if asked.minutes:
            experiments["memory under load"] = partial(memory, bundles, asked.minutes)
        report = {}
        for name, run in experiments.items():
            report[name] = run()
            print(f"{name}: {report[name]}", file=sys.stderr if asked.json else sys.stdout, flush=True)
    if asked.json:
        print(json.dumps(report, indent=2))
    sys.exit(0 if all(each.get("as it must be", True) for each in report.values()) else 1)


# The load


@contextmanager
def load_on(work: Callable[[httpx.Client, int], None], url: str) -> Iterator[None]:
    """Call `work` again and again from a few threads; a refused connection is tried again."""
    stopped = Event()

    def go_on(thread: int) -> None:
        number = thread
        while not stopped.is_set():
            with httpx.Client(base_url=url, timeout=10) as client:
                try:
                    while not stopped.is_set():
                        work(client, number)
                        number += THREADS
                except httpx.TransportError:
                    time.sleep(0.01)

    threads = [Thread(target=go_on, args=(place,)) for place in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def more(count: Callable[[], int]) -> None:
    """Wait until some more is counted."""
    enough = count() + ENOUGH
    until(lambda: count() >= enough)


def health(url: str) -> str:
    """Return what the service says of itself."""
    told: str = httpx.get(f"{url}/healthz/ready", timeout=10).json()["status"]
    return told


def event(number: int, item_id: str) -> dict[str, Any]:
    """Return an event that has a number."""
    who = {"event_id": f"e-{number}", "user_id": f"u-{number % USERS}"}
    return {**who, "event_name": "view_item", "timestamp": "2026-11-23T06:40:00Z", "items": [{"item_id": item_id}]}


# The experiments


def killed(bundles: Path, kills: int) -> dict[str, Any]:
    """Kill workers, and then the whole, while events come in; each acknowledged one must be there, once."""
    item_id = load(bundles).ids[0]
    store = f"sqlite:///{bundles.parent}/killed.sqlite"
    acknowledged: set[str] = set()

    def send(client: httpx.Client, number: int) -> None:
        answer = client.post("/v1/events", json=event(number, item_id))
        if answer.status_code == 200:
            acknowledged.add(f"e-{number}")

    service = Service(bundles, store)
    service.start()
    with load_on(send, service.url):
        for _ in range(kills):
            more(acknowledged.__len__)
            os.kill(service.worker_pids()[0], signal.SIGKILL)
            until(lambda: len(service.worker_pids()) == WORKERS)
        more(acknowledged.__len__)
        service.kill()
        service.start()
        more(acknowledged.__len__)
    service.stop()
    with open_store(store) as opened:
        kept = Counter(one.event_id for one in opened.events.scan())
    missing, twice = len(acknowledged - kept.keys()), sum(count > 1 for count in kept.values())
    facts = {"acknowledged": len(acknowledged), "missing": missing, "twice": twice, "kills": kills + 1}
    return facts | {"as it must be": missing == twice == 0}


def swapped(bundles: Path, swaps: int) -> dict[str, Any]:
    """Publish again and again under load; no request may fail, and each answer is of one generation."""
    item_id = load(bundles).ids[0]
    answers: Counter[tuple[int, str]] = Counter()
    published = {load(bundles).generation}

    def ask(client: httpx.Client, number: int) -> None:
        answer = client.get("/v1/similar", params={"item_id": item_id, "fields": "title"})
        answers[answer.status_code, answer.json().get("bundle", "")] += 1

    with running(bundles, f"sqlite:///{bundles.parent}/swapped.sqlite") as service, load_on(ask, service.url):
        for _ in range(swaps):
            published.add(republish(bundles))
            prune(bundles, keep=2)
            time.sleep(0.2)
            more(answers.total)
    failed = sum(count for (code, _), count in answers.items() if code != 200)
    strange = {bundle for _, bundle in answers} - published
    facts = {"swaps": swaps, "answers": answers.total(), "failed": failed, "seen": len({b for _, b in answers})}
    return facts | {"as it must be": failed == 0 and not strange and facts["seen"] > 1}


def republish(bundles: Path) -> str:
    """Publish the same parts once more."""
    old = open_bundle(bundles)
    with Staging(bundles) as staging:
        name = staging.publish(old.manifest.to_dict(), parent=old, reuse=old.manifest.parts)
    old.close()
    return name


def damaged(bundles: Path) -> dict[str, Any]:
    """Publish a generation whose files are not as its manifest says, and then a sound one, under load."""
    item_id, before = load(bundles).ids[0], load(bundles).generation
    answers: Counter[tuple[int, str]] = Counter()

    def ask(client: httpx.Client, number: int) -> None:
        answer = client.get("/v1/similar", params={"item_id": item_id})
        answers[answer.status_code, answer.json().get("bundle", "")] += 1

    store = f"sqlite:///{bundles.parent}/damaged.sqlite"
    with running(bundles, store) as service, load_on(ask, service.url):
        manifests, name = bundles / "generations", "20991231T000000Z-00000000"
        manifest = (manifests / f"{before}.json").read_text().replace(before, name)
        (manifests / f"{name}.json").write_text(manifest.replace('"bytes": ', '"bytes": 1'))
        (bundles / "CURRENT").write_text(name)
        until(lambda: health(service.url) == "degraded")
        answers.clear()
        time.sleep(2)
        seen = {bundle for _, bundle in answers}
        (manifests / f"{name}.json").unlink()
        (bundles / "CURRENT").write_text(before)
        until(lambda: health(service.url) == "ready")
    failed = sum(count for (code, _), count in answers.items() if code != 200)
    facts = {"answers": answers.total(), "failed": failed, "answered by": sorted(seen), "told": "degraded"}
    return facts | {"as it must be": failed == 0 and seen == {before}}


def malformed(bundles: Path, count: int) -> dict[str, Any]:
    """Send what is wrong in every way; nothing may fail, tell of the inside, or keep memory."""
    answers: Counter[int] = Counter()
    tells: list[str] = []
    with running(bundles, f"sqlite:///{bundles.parent}/malformed.sqlite") as service:
        document = httpx.get(f"{service.url}/openapi.json", timeout=30).json()
        kept = [[*map(written_kib, service.worker_pids())]]
        connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
        for half in range(2):  # the first fills what is filled once
            for number, sent in enumerate(Maker(document, seed=half).requests(count // 2)):
                if number % SHARE == 0:
                    connection.close()  # the next one may be another worker's
                kind = {"Content-Type": sent.content_type.encode()}
                connection.request(sent.method, sent.path, sent.body, kind)
                answer = connection.getresponse()
                body = answer.read()
                answers[answer.status] += 1
                if any(word in body for word in (b"Traceback", b"site-packages", str(bundles).encode())):
                    tells.append(f"{sent}: {body[:200]!r}")
            kept.append([*map(written_kib, service.worker_pids())])
        connection.close()
    failed = sum(times for code, times in answers.items() if code >= 500 and code != 501)
    facts = {"answers": dict(sorted(answers.items())), "failed": failed, "telling": tells[:3]}
    facts["MiB of the workers at first, half-way, at the end"] = [[kib >> 10 for kib in each] for each in kept]
    return facts | {"as it must be": failed == 0 and not tells and sum(kept[2]) < 1.1 * sum(kept[1])}


def without_database(bundles: Path) -> dict[str, Any]:
    """Stop PostgreSQL and start it again."""
    if lacks := missing():
        return {"left out": lacks}
    item_id = load(bundles).ids[0]
    with tempfile.TemporaryDirectory(prefix="faults-pg-") as folder:
        database = Postgres(Path(folder))
        database.start()
        with running(bundles, database.url) as service:

            def post(number: int) -> httpx.Response:
                return httpx.post(f"{service.url}/v1/events", json=event(number, item_id), timeout=30)

            kept = post(1).status_code
            database.stop()
            refused = post(2)
            asked = status(service.url, f"/v1/similar?item_id={item_id}")
            user = status(service.url, "/v1/users/u-1/recommendations")
            until(lambda: health(service.url) == "degraded")
            database.start()
            until(lambda: health(service.url) == "ready")
            again = post(2).status_code
        database.stop()
    facts = {
        "event before, meanwhile, after": [kept, refused.status_code, again],
        "Retry-After": refused.headers.get("Retry-After"),
        "similar and for a user meanwhile": [asked, user],
    }
    right = (kept, refused.status_code, again, asked, user) == (200, 503, 200, 200, 200)
    return facts | {"as it must be": right and facts["Retry-After"] is not None}


def memory(bundles: Path, minutes: float) -> dict[str, Any]:
    """Ask for products and histories at random for some minutes; what the workers hold must stay flat."""
    ids = load(bundles).ids

    def ask(client: httpx.Client, number: int) -> None:
        client.get("/v1/similar", params={"item_id": ids[number % len(ids)], "filter": f"price < {number % 500}"})
        client.post("/v1/events", json=event(number, ids[number * 7 % len(ids)]))
        client.get(f"/v1/users/u-{number % USERS}/recommendations")

    with running(bundles, f"sqlite:///{bundles.parent}/memory.sqlite") as service, load_on(ask, service.url):
        time.sleep(minutes * 60 / 3)  # caches fill up
        held = []
        for _ in range(SAMPLES):
            held.append(sum(map(written_kib, service.worker_pids())))
            time.sleep(minutes * 60 * 2 / 3 / SAMPLES)
    slope = linear_regression([minutes * 2 / 3 / SAMPLES * place for place in range(SAMPLES)], held).slope
    facts = {"minutes": minutes, "MiB early, late": [held[0] >> 10, held[-1] >> 10], "KiB a minute": round(slope)}
    return facts | {"as it must be": held[-1] < 1.1 * held[0]}


if __name__ == "__main__":
    main()
