"""A published bundle: by id, by history, at weights nobody learned, and what its workers share of the memory."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from memory import memory
from rivals import K
from vectors import intrinsic_dimension

import recommender
from recommender.core.blocks import BLOCKS, unit
from recommender.ranking.results import Recommendations

RANDOM_WEIGHTS = 20
PER_WEIGHTS = 50


def of_bundle(bundles: Path, queries: int, seed: int) -> dict:
    """Time products from id to ids and scores, histories, and products at other weights.

    A history is a product and two of its neighbours, or three products at random, which no shopper has.
    """
    rec = recommender.load(bundles)
    generator = np.random.default_rng(seed)
    ids = [rec.ids[row] for row in generator.integers(0, len(rec), queries)]
    alike = [[*rec.similar(item_id, 2).item_ids, item_id] for item_id in ids]
    mixed = [[rec.ids[row] for row in generator.integers(0, len(rec), 3)] for _ in range(queries)]
    report: dict = {"n": rec.n, "dim": rec.layout.d, "manifest": rec.manifest.metrics["recall"]}
    vectors = unit(np.asarray(rec.segment.vectors))
    report["intrinsic_dimension"] = intrinsic_dimension(vectors, vectors[generator.integers(0, rec.n, 100)])
    report["bundle"] = {"similar": answers(rec.similar, ids), "recommend": answers(rec.recommend, alike)}
    report["bundle"]["recommend, at random"] = answers(rec.recommend, mixed)
    for name, weights in other_weights(rec.weights["item"], generator).items():
        report["bundle"][name] = answers(rec.similar, ids[:PER_WEIGHTS], weights=weights)
    return report | {"memory": memory(bundles, ids)}


def answers(ask: Callable[..., Recommendations], asked: Iterable[Any], **options: Any) -> dict:
    """Return recall against the exact plan, counted by score, and p50, which a first round has warmed up."""
    found = [(ask(one, K, **options), ask(one, K, **options, plan="exact")) for one in asked]
    shares = [
        sum(item.score >= right[-1].score for item in answer) / len(right) for answer, right in found if len(right)
    ]
    seconds = []
    for one in asked:
        started = time.perf_counter()
        ask(one, K, **options)
        seconds.append(time.perf_counter() - started)
    return {
        "recall": round(float(np.mean(shares)), 4),
        "p50_us": round(float(np.median(seconds)) * 1e6, 1),
        "plans": sorted({answer.plan for answer, _ in found}),
    }


def other_weights(learned: dict[str, float], generator: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return each block alone, and random weightings."""
    blocks = [block for block in BLOCKS if block in learned]
    return {f"{block} alone": {name: float(name == block) for name in learned} for block in blocks} | {
        f"random {number}": dict(zip(learned, generator.random(len(learned)).tolist(), strict=True))
        for number in range(1, RANDOM_WEIGHTS + 1)
    }
