"""Memory that further markets of a service cost a worker: with the same bundle, and with bundles of their own."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

import recommender
from recommender.commands.benchmarks.memory import mapped
from recommender.commands.benchmarks.service import running
from recommender.progress import progress

REQUESTS = 200  # of each market, once


def measure_markets(bundles: Path, count: int) -> dict[str, dict[str, float]]:
    """Return what one worker has in memory without markets, and what each of `count` markets adds, in MiB.

    Each market answers the same requests for similar products, half of them with weights. Another bundle is a
    copy. ``mapped`` are pages of files of bundles, each counted once, which the workers of a machine share;
    ``own`` is the worker's other memory, without libraries.
    """
    rec = recommender.load(bundles)
    weights = f"{next(iter(rec.layout.dims))}=0.5"
    requests = [
        {"item_id": item_id, **more} for item_id in rec.ids[: REQUESTS // 2] for more in ({}, {"weights": weights})
    ]
    with TemporaryDirectory(dir=bundles.resolve().parent) as folder:
        copies = [Path(folder, name) for name in ("own", *(f"m{number}" for number in range(count)))]
        for copy in copies:
            shutil.copytree(bundles, copy)
        kinds: dict[str, dict[str, Any]] = {
            "without markets": {},
            "same bundle": {copy.name: {} for copy in copies[1:]},
            "another bundle": {copy.name: {"bundles": str(copy)} for copy in copies[1:]},
        }
        _memory(Path(folder), {}, requests)  # what is compiled on first use is cached from now on
        shown = progress(kinds.items(), "services", len(kinds), "service")
        found = {kind: _memory(Path(folder), markets, requests) for kind, markets in shown}
    base = found.pop("without markets")
    further = {
        f"each market, {kind}": {name: round((each[name] - base[name]) / count, 2) for name in base}
        for kind, each in found.items()
    }
    return {"a worker without markets": base, **further}


def _memory(folder: Path, markets: Mapping[str, Any], requests: Sequence[dict[str, str]]) -> dict[str, float]:
    """Return the memory of a worker that serves the folder ``own`` and some markets, after requests to each."""
    settings = {"RECOMMENDER_MARKETS": json.dumps(markets)}
    with (
        TemporaryDirectory() as stores,
        running(folder / "own", f"sqlite:///{stores}/s.sqlite", workers=1, settings=settings) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        for market in ("", *markets):
            for params in requests:
                client.get("/v1/similar", params=params, headers={"X-Market": market}).raise_for_status()
        (pid,) = service.worker_pids()
        memory = mapped(pid, folder)
    return {"own": round(memory["all", "own"], 1), "mapped": round(memory["proportional", "bundle"], 1)}
