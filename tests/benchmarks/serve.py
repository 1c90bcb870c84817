"""Requests per second and latency of similar items by id, beside a bare Flask route on the same server.

    python tests/benchmarks/serve.py BUNDLES [--workers 2] [--connections 16] [--seconds 8] [--rounds 3] [--json]

The rounds of both alternate, so that a busy machine slows both; the medians of the rounds are shown. Load comes
from wrk where it is installed, otherwise from Python processes, which take more of the machine themselves. Every
answer must be a 200.
"""

import argparse
import json
import multiprocessing
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from statistics import median, quantiles
from urllib.parse import quote

import recommender

IDS = 2000
WRK = """
local paths, place = {{}}, 0
for line in io.lines("{file}") do paths[#paths + 1] = line end
function init(args) math.randomseed({seed}) ; place = math.random(#paths) end
function request() place = place % #paths + 1 ; return wrk.format("GET", paths[place]) end
"""


@dataclass(frozen=True)
class Round:
    """What one round of load met: requests per second, and latency in milliseconds."""

    rate: float
    p50: float
    p99: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rec = recommender.load(asked.bundles)
    ids = [item_id for item_id in Random(0).sample(rec.ids, min(IDS, rec.n)) if "/" not in item_id]
    paths = [f"/v1/items/{quote(item_id, safe='')}/similar" for item_id in ids]
    load = partial(
        by_wrk if shutil.which("wrk") else by_python, connections=asked.connections, seconds=asked.seconds
    )
    measured = compare(asked.bundles, paths, asked.workers, asked.rounds, load)
    facts = {
        "products": rec.n,
        "workers": asked.workers,
        "connections": asked.connections,
        "load": load.func.__name__,
    }
    report = facts | {name: summary(rounds) for name, rounds in measured.items()}
    report["share"] = report["similar"]["rate"] / report["bare"]["rate"]
    print(json.dumps(report, indent=2) if asked.json else table(report))


def compare(
    bundles: Path, paths: list[str], workers: int, rounds: int, load: Callable[[int, list[str]], Round]
) -> dict[str, list[Round]]:
    """Return the rounds of the service and of the bare route, taken in turns."""
    measured: dict[str, list[Round]] = {"similar": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/store.db"
        with (
            served(service, bundles, workers, store, probe=paths[0]) as port,
            served(bare, body_of(bundles, paths[0], store), workers, probe=paths[0]) as bare_port,
        ):
            for round_ in range(rounds + 1):
                for name, at in (("similar", port), ("bare", bare_port)):
                    measured[name].append(load(at, paths))
                    if round_ == 0:
                        measured[name].clear()  # the first one warms up
    return measured


# The two servers


def service(bundles: Path, workers: int, store: str, port: int) -> None:
    """Serve the product."""
    from serving.server import serve

    serve(bundles, port=port, workers=workers, store=store, rate=1e6, burst=10**6)


def bare(body: bytes, workers: int, port: int) -> None:
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


def body_of(bundles: Path, path: str, store: str) -> bytes:
    """Return an answer of the service, for the bare route to send as many bytes."""
    from serving.app import create_app
    from serving.settings import Settings

    body: bytes = create_app(bundles, Settings(store=store), watch_seconds=None).test_client().get(path).data
    return body


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def served(target: Callable[..., None], *arguments: object, probe: str) -> Iterator[int]:
    """Run a server in processes of its own, and yield its port once it answers."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(*arguments, port))
    process.start()
    try:
        for _ in range(300):
            time.sleep(0.1)
            try:
                if get(HTTPConnection("127.0.0.1", port, timeout=5), probe):
                    break
            except OSError:
                continue
        yield port
    finally:
        process.terminate()
        process.join()


def get(connection: HTTPConnection, path: str) -> bool:
    """Ask once; True for a 200."""
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status == 200


# The two sources of load


def by_wrk(port: int, paths: list[str], connections: int, seconds: int) -> Round:
    """Load by wrk, one thread."""
    with tempfile.TemporaryDirectory() as folder:
        file, script = Path(folder, "paths"), Path(folder, "ask.lua")
        file.write_text("\n".join(paths))
        script.write_text(WRK.format(file=file, seed=time.time_ns() % 1_000_000))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
        said = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True)
    if "Non-2xx" in said.stdout or "Socket errors" in said.stdout:
        raise SystemExit(said.stdout)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said.stdout)[1])
    return Round(rate, percentile(said.stdout, 50), percentile(said.stdout, 99))


def percentile(said: str, q: int) -> float:
    """Return a percentile of wrk's latencies, in milliseconds."""
    value, unit = re.search(rf"^\s+{q}%\s+([\d.]+)(us|ms|s)$", said, re.MULTILINE).groups()
    return float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def by_python(port: int, paths: list[str], connections: int, seconds: int) -> Round:
    """Load by Python processes, one connection each."""
    with multiprocessing.get_context("spawn").Pool(connections) as pool:
        asked = pool.starmap(keep_asking, [(port, paths, seconds, seed) for seed in range(connections)])
    latencies = [latency for one in asked for latency in one]
    cuts = quantiles(latencies, n=100)
    return Round(len(latencies) / seconds, 1e3 * cuts[49], 1e3 * cuts[98])


def keep_asking(port: int, paths: list[str], seconds: int, seed: int) -> list[float]:
    """Ask again and again over one connection, and return the latencies in seconds."""
    choose, latencies, connection = Random(seed), [], HTTPConnection("127.0.0.1", port, timeout=30)
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        if not get(connection, choose.choice(paths)):
            raise SystemExit("an answer was no 200")
        latencies.append(time.perf_counter() - start)
    return latencies


# What is shown


def summary(rounds: list[Round]) -> dict[str, float]:
    """Return the medians of the rounds."""
    return {name: round(median(getattr(r, name) for r in rounds), 2) for name in ("rate", "p50", "p99")}


def table(report: dict) -> str:
    """Return the report as lines."""
    lines = [f"{report['products']:,} products, {report['workers']} workers, load {report['load']}"]
    lines += [f"{'':8} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8}"]
    for name in ("similar", "bare"):
        figures = report[name]
        lines.append(f"{name:8} {figures['rate']:8,.0f} {figures['p50']:8.2f} {figures['p99']:8.2f}")
    return "\n".join([*lines, f"similar is {report['share']:.0%} of bare"])


if __name__ == "__main__":
    main()
