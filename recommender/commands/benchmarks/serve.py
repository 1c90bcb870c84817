"""Requests per second and latency of the service, beside a bare Flask route on the same server.

Requests are similar items by id, and recommendations for a user whose history is in the store: 2,000 ids and 1,000
users at random, three fields of each product, with keys, limits, validation, metrics and logs on. Workers remember
answers until something changes, so that most of these are repeated. Of the "new" ones hardly any is: similar items
of all products, and users who each have one more event, of this moment. The bare route sends as many bytes as one
answer. Rounds alternate, so that a busy machine slows all; shown are the medians of the rounds, and the CPU time
of a request in the service (all its processes) and in the load generator. Every answer must be a 200.
"""

import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from urllib.parse import quote

import recommender
from recommender.commands.benchmarks.load_generator import get, load, post
from recommender.commands.benchmarks.service import STDERR, cpu_seconds, free_port, running, status, wait_until
from recommender.events import Event
from recommender.progress import progress
from recommender.recommender import Recommender
from recommender.stores import open_store

IDS, USERS = 2000, 1000
HISTORY = (3, 30)  # events of a user, from and to
FIELDS = ("title", "price", "image_link", "product_type", "brand")
KEYS = {name: f"{name}-key-of-the-benchmark" for name in ("public", "server")}


@dataclass(frozen=True)
class Setup:
    """Processes of each server, connections of the load, and how long and how often it runs."""

    workers: int
    connections: int
    seconds: float
    rounds: int


def measure_service(bundles: Path, setup: Setup) -> dict[str, Any]:
    """Return requests per second, latencies and CPU time of the requests and of the bare route."""
    rec = recommender.load(bundles)
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/store.db"
        users = write_users(rec, store)
        measured = compare(rec, bundles, store, users, setup)
    report: dict[str, Any] = {"products": rec.n, "workers": setup.workers, "connections": setup.connections}
    report |= {name: summary(each) for name, each in measured.items()}
    for name in measured.keys() - {"bare"}:
        report[name]["share_of_bare"] = round(report[name]["rate"] / report["bare"]["rate"], 3)
    return report


def write_users(rec: Recommender, store: str) -> list[str]:
    """Write users with random histories into the store; return their ids."""
    random, now = Random(1), datetime.now(UTC)
    users = [f"user {number}" for number in range(USERS)]
    names = ("view_item", "view_item", "add_to_cart", "purchase")
    events = [
        Event(item_id, random.choice(names), now - timedelta(hours=age), user, event_id=f"{user} {age}")
        for user in users
        for age, item_id in enumerate(random.sample(rec.ids, min(rec.n, random.randint(*HISTORY))))
    ]
    with open_store(store) as opened:
        opened.events.add(events)
    return users


def compare(
    rec: Recommender, bundles: Path, store: str, users: Sequence[str], setup: Setup
) -> dict[str, list[dict[str, float]]]:
    """Return the rounds of the requests and of the bare route, which take turns."""
    fields = ",".join([name for name in FIELDS if name in rec.attributes.names][:3])
    ids = [quote(item_id) for item_id in Random(0).sample(rec.ids, rec.n) if "/" not in item_id]
    similar = [get(f"/v1/items/{item_id}/similar?fields={fields}", KEYS["public"]) for item_id in ids]
    for_you = [get(f"/v1/users/{quote(user)}/recommendations?fields={fields}", KEYS["server"]) for user in users]
    for_you_new = [post("/v1/recommendations", one_more(rec, user, fields), KEYS["server"]) for user in users]
    body = body_of(bundles, store, f"/v1/items/{ids[0]}/similar?fields={fields}")
    log = Path(store.removeprefix("sqlite:///")).with_name("log")
    with (
        running(bundles, store, workers=setup.workers, settings=keys(), log=log) as service,
        bare(body, setup.workers) as bare_server,
    ):
        server = (service.port, service.process.pid)
        turns = {
            "similar": (similar[:IDS], *server),
            "similar, new": (similar, *server),
            "for_you": (for_you, *server),
            "for_you, new": (for_you_new, *server),
            "bare": (similar, *bare_server),
        }
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in turns}
        for number in progress(range(setup.rounds + 1), "rounds", setup.rounds + 1, "round"):
            for name, (requests, port, pid) in turns.items():
                before = cpu_seconds(pid)
                result = load(port, requests, setup.connections, setup.seconds, seed=number)
                cores = {"server": (cpu_seconds(pid) - before) / setup.seconds, "load": result.cpu}
                per_request = {f"{who}_cpu_ms": 1e3 * share / result.rate for who, share in cores.items()}
                if number > 0:  # the first one warms up
                    measured[name].append(asdict(result) | per_request)
    return measured


def one_more(rec: Recommender, user: str, fields: str) -> bytes:
    """Return the body of a request for a user who has just viewed another product, which is not stored."""
    seeds = {"user_id": user, "events": [{"item_id": Random(user).choice(rec.ids)}]}
    return json.dumps({"seeds": seeds, "strategy": "for_you", "fields": fields.split(",")}).encode()


def keys() -> dict[str, str]:
    """Return the environment variable that gives the service its keys."""
    from serving.settings import Key

    scopes = {"public": ["public"], "server": ["public", "server"]}
    entries = {name: {"sha256": Key.hash(key), "scopes": scopes[name]} for name, key in KEYS.items()}
    return {"RECOMMENDER_KEYS": json.dumps(entries)}


def serve_bare(body: bytes, workers: int, port: int) -> None:
    """Serve one Flask route that answers with `body` and does nothing."""
    from serving.server import granian

    os.dup2(STDERR, 1)  # the server logs to stdout, which is the benchmark's answer
    granian("127.0.0.1", port, workers).serve(target_loader=partial(bare_app, body), wrap_loader=False)


def bare_app(body: bytes) -> Any:
    """Make the bare app, in its worker."""
    from flask import Flask, Response

    from serving.bodies import BodyReader
    from serving.rsgi import Application

    app = Flask("bare")

    @app.get("/v1/items/<item_id>/similar")
    def similar(item_id: str) -> Response:
        return Response(body, content_type="application/json")

    return Application(app, BodyReader(limit=0, seconds=1))


def body_of(bundles: Path, store: str, path: str) -> bytes:
    """Return an answer of the service; the bare route sends as many bytes."""
    from serving.app import create_app
    from serving.settings import Settings

    body: bytes = create_app(bundles, Settings.load(store=store), watch_seconds=None).test_client().get(path).data
    return body


@contextmanager
def bare(body: bytes, workers: int) -> Iterator[tuple[int, int]]:
    """Run the bare server in processes of its own; yields its port and process once it answers."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=serve_bare, args=(body, workers, port))
    process.start()
    try:
        wait_until(lambda: status(f"http://127.0.0.1:{port}", "/healthz/live") > 0)
        assert process.pid is not None
        yield port, process.pid
    finally:
        process.terminate()
        process.join()


COLUMNS = {
    "rate": "req/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu_ms": "server CPU ms/req",
    "load_cpu_ms": "load CPU ms/req",
}


def summary(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the rounds."""
    return {name: round(median(each[name] for each in rounds), 3) for name in COLUMNS}


def table(report: Mapping[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['products']:,} products, {report['workers']} workers, {report['connections']} connections"]
    lines += [" ".join([f"{'':12}", *(f"{title:>18}" for title in COLUMNS.values()), f"{'share of bare':>18}"])]
    for name in ("similar", "similar, new", "for_you", "for_you, new", "bare"):
        figures = [f"{report[name][column]:18,.2f}" for column in COLUMNS]
        lines.append(" ".join([f"{name:12}", *figures, f"{report[name].get('share_of_bare', 1):18.0%}"]))
    return "\n".join(lines)
