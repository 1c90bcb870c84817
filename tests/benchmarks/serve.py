"""Requests per second and latency of the service, beside a bare Flask route on the same server.

    python tests/benchmarks/serve.py BUNDLES [--workers 2] [--connections 16] [--seconds 8] [--rounds 3] [--json]

Asked are similar items by id, and what is for a user whose history is in the store: ids at random, three fields
of each product, with keys, limits, validation, metrics and logs on. The bare route sends as many bytes as the
first of them. Rounds alternate, so that a busy machine slows all; shown are the medians of the rounds, and what a
request took of the processors in the service (all its processes) and in the load generator. Every answer must be
a 200.
"""

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from urllib.parse import quote

from load import get, load
from running import cpu_seconds, free_port, running, status, until

import recommender
from recommender.events import Event
from recommender.recommender import Recommender
from recommender.stores import open_store
from serving.settings import Key

IDS, USERS = 2000, 1000
HISTORY = (3, 30)  # events of a user, from and to
FIELDS = ("title", "price", "image_link", "product_type", "brand")
KEYS = {name: f"{name}-key-of-the-benchmark" for name in ("public", "server")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rec = recommender.load(asked.bundles)
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/store.db"
        users = remember(rec, store)
        measured = compare(rec, asked, store, users)
    facts = {"products": rec.n, "workers": asked.workers, "connections": asked.connections}
    report = facts | {name: summary(rounds) for name, rounds in measured.items()}
    for name in ("similar", "for_you"):
        report[name]["share_of_bare"] = round(report[name]["rate"] / report["bare"]["rate"], 3)
    print(json.dumps(report, indent=2) if asked.json else table(report))


def remember(rec: Recommender, store: str) -> list[str]:
    """Give the store users with a history of products at random; return their ids."""
    random, now = Random(1), datetime.now(UTC)
    users = [f"user {number}" for number in range(USERS)]
    names = ("view_item", "view_item", "add_to_cart", "purchase")
    events = [
        Event(item_id, random.choice(names), now - timedelta(hours=place), user, event_id=f"{user} {place}")
        for user in users
        for place, item_id in enumerate(random.sample(rec.ids, min(rec.n, random.randint(*HISTORY))))
    ]
    with open_store(store) as opened:
        opened.events.add(events)
    return users


def compare(
    rec: Recommender, asked: argparse.Namespace, store: str, users: list[str]
) -> dict[str, list[dict[str, float]]]:
    """Return the rounds of both questions and of the bare route, taken in turns."""
    fields = ",".join([name for name in FIELDS if name in rec.attributes.names][:3])
    ids = [quote(item_id) for item_id in Random(0).sample(rec.ids, min(IDS, rec.n)) if "/" not in item_id]
    similar = [get(f"/v1/items/{item_id}/similar?fields={fields}", KEYS["public"]) for item_id in ids]
    for_you = [get(f"/v1/users/{quote(user)}/recommendations?fields={fields}", KEYS["server"]) for user in users]
    body = body_of(asked.bundles, store, f"/v1/items/{ids[0]}/similar?fields={fields}")
    measured: dict[str, list[dict[str, float]]] = {"similar": [], "for_you": [], "bare": []}
    log = Path(store.removeprefix("sqlite:///")).with_name("log")
    with (
        running(asked.bundles, store, workers=asked.workers, settings=keys(), log=log) as service,
        bare(body, asked.workers) as bare_one,
    ):
        product = (service.port, service.process.pid)
        turns = {"similar": (similar, *product), "for_you": (for_you, *product), "bare": (similar, *bare_one)}
        for number in range(asked.rounds + 1):
            for name, (requests, port, pid) in turns.items():
                before = cpu_seconds(pid)
                one = load(port, requests, asked.connections, asked.seconds, seed=number)
                cores = {"server": (cpu_seconds(pid) - before) / asked.seconds, "load": one.own_cpu}
                per_request = {f"{who}_cpu_ms": 1e3 * share / one.rate for who, share in cores.items()}
                if number > 0:  # the first one warms up
                    measured[name].append(asdict(one) | per_request)
    return measured


def keys() -> dict[str, str]:
    """Return the keys as the service's environment has them."""
    entries = {name: {"sha256": Key.hash(key), "scopes": [name]} for name, key in KEYS.items()}
    return {"RECOMMENDER_KEYS": json.dumps(entries)}


# The bare server


def serve_bare(body: bytes, workers: int, port: int) -> None:
    """Serve one Flask route that answers with `body` and does nothing."""
    from serving.server import granian

    granian("127.0.0.1", port, workers).serve(target_loader=partial(bare_app, body), wrap_loader=False)


def bare_app(body: bytes) -> object:
    """Make the bare app, in its worker."""
    from flask import Flask, Response

    app = Flask("bare")

    @app.get("/v1/items/<item_id>/similar")
    def similar(item_id: str) -> Response:
        return Response(body, content_type="application/json")

    return app


def body_of(bundles: Path, store: str, path: str) -> bytes:
    """Return an answer of the service, for the bare route to send as many bytes."""
    from serving.app import create_app
    from serving.settings import Settings

    body: bytes = create_app(bundles, Settings(store=store), watch_seconds=None).test_client().get(path).data
    return body


@contextmanager
def bare(body: bytes, workers: int) -> Iterator[tuple[int, int]]:
    """Run the bare server in processes of its own; yields its port and process once it answers."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=serve_bare, args=(body, workers, port))
    process.start()
    try:
        until(lambda: status(f"http://127.0.0.1:{port}", "/healthz/live") > 0)
        yield port, process.pid
    finally:
        process.terminate()
        process.join()


# What is shown

COLUMNS = {
    "rate": "req/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu_ms": "server CPU ms/req",
    "load_cpu_ms": "load CPU ms/req",
}


def summary(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the medians of the rounds."""
    return {name: round(median(each[name] for each in rounds), 3) for name in COLUMNS}


def table(report: dict) -> str:
    """Return the report as lines."""
    lines = [f"{report['products']:,} products, {report['workers']} workers, {report['connections']} connections"]
    lines += [" ".join([f"{'':8}", *(f"{title:>18}" for title in COLUMNS.values()), f"{'share of bare':>18}"])]
    for name in ("similar", "for_you", "bare"):
        figures = [f"{report[name][column]:18,.2f}" for column in COLUMNS]
        lines.append(" ".join([f"{name:8}", *figures, f"{report[name].get('share_of_bare', 1):18.0%}"]))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
