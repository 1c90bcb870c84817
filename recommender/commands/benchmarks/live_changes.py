"""Time of a question after a live change of a product, with an overlay of many entries."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import recommender
from recommender.batch.answers import chunks
from recommender.commands.benchmarks.other_libraries import K
from recommender.items.overlay import OverlaySnapshot
from recommender.recommender import Recommender
from recommender.stores import open_store

CHANGES, ROUNDS, FILTER = 100_000, 200, "price < 50"


def measure_live_changes(bundles: Path, changes: int = CHANGES, seed: int = 0) -> dict[str, Any]:
    """Return milliseconds of similar items: without a change, and each after one more change.

    The changes are of prices and availability, of products of the bundle and then of further ones; with and, where
    the bundle has prices, with a filter on them.
    """
    generator = np.random.default_rng(seed)
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/store.sqlite") as store:
        overlay = OverlaySnapshot(store.overlay)
        rec = recommender.load(bundles, overlay=overlay)
        ids = rec.ids
        for some in chunks(_changes(ids, changes, generator), 5000):
            store.overlay.put(dict(some))
        started = time.perf_counter()
        overlay.refresh()
        rec.similar(ids[0], K)
        figures: dict[str, Any] = {"entries": changes, "first_ms": (time.perf_counter() - started) * 1e3}
        options: dict[str, dict[str, Any]] = {"similar": {}}
        if "price" in rec.attributes.names:
            options["similar with a filter"] = {"filter": FILTER}
        for name, option in options.items():
            seeds = [ids[row] for row in generator.integers(0, len(ids), ROUNDS)]
            figures[name] = _timed(rec, seeds, option, lambda seed: None)
            put = _putting(overlay, generator)
            figures[f"{name}, each after a change"] = _timed(rec, seeds, option, put)
    return figures


def _changes(ids: list[str], n: int, generator: np.random.Generator) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number in range(n):
        yield ids[number] if number < len(ids) else f"new {number:06}", _change(generator)


def _change(generator: np.random.Generator) -> Mapping[str, Any]:
    return {"price": float(generator.integers(100, 10_000)) / 100, "availability": "in_stock"}


def _putting(overlay: OverlaySnapshot, generator: np.random.Generator) -> Callable[[str], Any]:
    return lambda seed: overlay.put({seed: _change(generator)})


def _timed(
    rec: Recommender, seeds: list[str], options: Mapping[str, Any], before: Callable[[str], Any]
) -> dict[str, float]:
    """Return p50 and p99 of the questions, in milliseconds; what comes before each is not counted."""
    seconds = []
    for seed in seeds:
        before(seed)
        started = time.perf_counter()
        rec.similar(seed, K, **options)
        seconds.append(time.perf_counter() - started)
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return {"p50_ms": float(p50), "p99_ms": float(p99)}
