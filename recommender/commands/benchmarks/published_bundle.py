"""Time and recall of a published bundle: by id, history, other weights, after live changes; and its memory."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recommender
from recommender.commands.benchmarks.live_changes import CHANGES, measure_live_changes
from recommender.commands.benchmarks.memory import memory
from recommender.commands.benchmarks.other_libraries import K
from recommender.commands.benchmarks.synthetic import intrinsic_dimension
from recommender.core.blocks import BLOCKS, unit
from recommender.progress import progress
from recommender.ranking.results import Recommendations

RANDOM_WEIGHTS = 20
PER_WEIGHTS = 50


def measure_bundle(bundles: Path, queries: int, seed: int, changes: int = CHANGES) -> dict[str, Any]:
    """Time products from id to ids and scores, histories, products at other weights, and products after changes.

    A history is a product and two of its neighbours, or three products at random, which no shopper has.
    """
    rec = recommender.load(bundles)
    generator = np.random.default_rng(seed)
    ids = [rec.ids[row] for row in generator.integers(0, len(rec), queries)]
    similar = [[*rec.similar(item_id, 2).item_ids, item_id] for item_id in ids]
    mixed = [[rec.ids[row] for row in generator.integers(0, len(rec), 3)] for _ in range(queries)]
    report: dict[str, Any] = {"n": rec.n, "dim": rec.layout.d, "manifest": rec.manifest.metrics["recall"]}
    vectors = unit(np.asarray(rec.segment.vectors))
    report["intrinsic_dimension"] = intrinsic_dimension(vectors, vectors[generator.integers(0, rec.n, 100)])
    bundle = {"similar": answers(rec.similar, ids), "recommend": answers(rec.recommend, similar)}
    bundle["recommend, at random"] = answers(rec.recommend, mixed)
    others = other_weights(rec.weights["item"], generator)
    for name, weights in progress(others.items(), "other weights", len(others), "weighting"):
        bundle[name] = answers(rec.similar, ids[:PER_WEIGHTS], weights=weights)
    live = measure_live_changes(bundles, changes, seed)
    return report | {"bundle": bundle, "live changes": live, "memory": memory(bundles, ids)}


def answers(method: Callable[..., Recommendations], requests: Sequence[Any], **options: Any) -> dict[str, Any]:
    """Return recall against the exact plan, counted by score, and p50 after a first round that warms up."""
    pairs = [(method(one, K, **options), method(one, K, **options, plan="exact")) for one in requests]
    shares = [
        sum(item.score >= right.items[-1].score for item in answer.items) / len(right)
        for answer, right in pairs
        if len(right)
    ]
    seconds = []
    for one in requests:
        started = time.perf_counter()
        method(one, K, **options)
        seconds.append(time.perf_counter() - started)
    return {
        "recall": round(float(np.mean(shares)), 4),
        "p50_us": round(float(np.median(seconds)) * 1e6, 1),
        "plans": sorted({answer.plan for answer, _ in pairs}),
    }


def other_weights(learned: Mapping[str, float], generator: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return the weights of each block alone, and random weights."""
    blocks = [block for block in BLOCKS if block in learned]
    return {f"{block} alone": {name: float(name == block) for name in learned} for block in blocks} | {
        f"random {number}": dict(zip(learned, generator.random(len(learned)).tolist(), strict=True))
        for number in range(1, RANDOM_WEIGHTS + 1)
    }


def table(report: Mapping[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['n']:,} x {report['dim']}, intrinsic dimension {report['intrinsic_dimension']:.1f}"]
    lines += [
        f"{name:20} recall {row['recall']:.4f}  p50 {row['p50_us']:.0f} us  {', '.join(row['plans'])}"
        for name, row in report["bundle"].items()
    ]
    live = dict(report["live changes"])
    lines.append(f"with {live.pop('entries'):,} live changes; the first question {live.pop('first_ms'):.0f} ms")
    lines += [f"{name:45} p50 {row['p50_ms']:.2f} ms  p99 {row['p99_ms']:.2f} ms" for name, row in live.items()]
    return "\n".join([*lines, f"memory, MiB: {report['memory']}"])
