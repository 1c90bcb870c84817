"""Time and memory of each stage of a fit, of made-up shops of several sizes, and how they grow with the size."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

import recommender
from recommender.commands.benchmarks.timing import resident_memory
from recommender.progress import notice

SIZES = (2_000, 4_000, 8_000)  # products
EVENTS_PER_PRODUCT = 20  # and as many users as products
PRODUCTS_PER_TYPE = 40
TASTES = 3  # product types of a user
MAX_EXPONENT = 1.15  # of what counts as linear
MINIMA = {"cpu_s": 1.0, "mib": 32.0}  # of the largest shop: below, an exponent says nothing
SAMPLING_SECONDS = 0.01

Stages = dict[str, dict[str, float]]


def made_up_shop(n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return n products with texts, brands, types and prices; and events of n users with tastes for types."""
    generator = np.random.default_rng(seed)
    types = max(n // PRODUCTS_PER_TYPE, 1)
    kind, style = generator.permutation(n) % types, generator.integers(0, 50, n)
    brand = generator.zipf(1.4, n) % 300
    products = pd.DataFrame(
        {
            "id": [f"P{row:07}" for row in range(n)],
            "title": [f"brand{b} kind{k} style{s}" for b, k, s in zip(brand, kind, style, strict=True)],
            "brand": [f"brand{b}" for b in brand],
            "product_type": [f"D{k // 10} > K{k}" for k in kind],
            "price": np.round(np.exp(generator.normal(3.2, 0.7, n)), 2),
        }
    )
    events = EVENTS_PER_PRODUCT * n
    users = generator.integers(0, n, events)
    wanted = generator.integers(0, types, (n, TASTES))[users, generator.integers(0, TASTES, events)]
    of_type, counts = np.argsort(kind, kind="stable"), np.bincount(kind, minlength=types)
    # the first products of a type are the popular ones
    position = (counts[wanted] * generator.random(events) ** 2).astype(int)
    rows = of_type[(np.cumsum(counts) - counts)[wanted] + position]
    seconds = pd.to_timedelta(np.sort(generator.integers(0, 365 * 86_400, events)), unit="s")
    return products, pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": products["id"].to_numpy()[rows],
            "event_name": np.where(generator.random(events) < 0.15, "purchase", "view_item"),
            "timestamp": pd.Timestamp("2025-01-01", tz="UTC") + seconds,
        }
    )


def measure_growth(sizes: Sequence[int], seed: int) -> dict[str, Any]:
    """Fit a made-up shop of each number of products, and return the figures and growth of each stage."""
    with TemporaryDirectory() as folder:
        _fit(min(sizes), seed, Path(folder) / "warm-up")  # loads and compiles what the others use
        fits = {n: _fit(n, seed, Path(folder) / str(n)) for n in sorted(sizes)}
    return {"fits": {str(n): stages for n, stages in fits.items()}, "growth": growth(fits)}


def _fit(n: int, seed: int, folder: Path) -> Stages:
    products, events = made_up_shop(n, seed)
    notice(f"fit of {n:,} products and users, {len(events):,} events")
    stages: Stages = {}
    with _recorded(stages), stage_recorded(stages, "whole fit"):
        recommender.fit(products, events, out=folder / "bundles", encoder="tfidf", cache=folder / "cache")
    return stages


@contextmanager
def _recorded(stages: Stages) -> Iterator[None]:
    """Record every stage of a fit, and the publishing."""
    from training import fit
    from training.monitor import StageTimer

    timed, publish = StageTimer.stage, fit.publish

    @contextmanager
    def stage(timer: StageTimer, name: str) -> Iterator[None]:
        with stage_recorded(stages, name), timed(timer, name):
            yield

    def published(*args: Any, **kwargs: Any) -> str:
        # a fit publishes twice, first for its evaluation
        with stage_recorded(stages, "publishing" if "evaluation" in stages else "evaluation: publishing"):
            return publish(*args, **kwargs)

    with patch.object(StageTimer, "stage", stage), patch.object(fit, "publish", published):
        yield


@contextmanager
def stage_recorded(stages: Stages, name: str) -> Iterator[None]:
    """Write the seconds of a stage and by how much it raised the memory at most, in MiB, into `stages`."""
    before, wall, cpu, ended = resident_memory(), time.perf_counter(), time.process_time(), Event()
    peak = [before]

    def sample() -> None:
        while not ended.wait(SAMPLING_SECONDS):
            peak[0] = max(peak[0], resident_memory())

    sampler = Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield
    finally:
        ended.set()
        sampler.join()
        stages[name] = {
            "wall_s": round(time.perf_counter() - wall, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
            "mib": round(max(peak[0], resident_memory()) - before, 1),
        }


def growth(fits: Mapping[int, Stages]) -> dict[str, dict[str, float | None]]:
    """Return the exponent of each stage's CPU seconds and memory: e, where they grow as n to the power of e.

    Least squares over the logarithms; None where the largest shop's are too small to tell.
    """
    return {
        name: {
            figure: _exponent({n: stages[name][figure] for n, stages in fits.items() if name in stages}, minimum)
            for figure, minimum in MINIMA.items()
        }
        for name in fits[max(fits)]
    }


def _exponent(figures: Mapping[int, float], minimum: float) -> float | None:
    if len(figures) < 2 or figures[max(figures)] < minimum or min(figures.values()) <= 0:
        return None
    return round(float(np.polyfit(np.log([*figures]), np.log([*figures.values()]), 1)[0]), 2)


def table(report: Mapping[str, Any]) -> str:
    """Return the report as text; what grows faster than linearly is marked."""
    fits, exponents = report["fits"], report["growth"]
    lines = [f"{'CPU s / MiB at products':28}" + "".join(f"{int(n):>16,}" for n in fits) + f"{'exponents':>18}"]
    for name, growing in exponents.items():
        cells = [_cell(stages.get(name)) for stages in fits.values()]
        powers = " ".join("-" if power is None else f"{power:.2f}" for power in growing.values())
        mark = " !" if any(power is not None and power > MAX_EXPONENT for power in growing.values()) else "  "
        lines.append(f"{name:28}" + "".join(f"{cell:>16}" for cell in cells) + f"{powers + mark:>18}")
    lines.append(f"exponents of CPU s and of MiB over the number of products; ! more than {MAX_EXPONENT}")
    return "\n".join(lines)


def _cell(stage: Mapping[str, float] | None) -> str:
    return "" if stage is None else f"{stage['cpu_s']:.1f} / {stage['mib']:,.0f}"
