"""Time and memory of each stage of the index of a large synthetic shop, and the time of its answers.

Wall and CPU seconds, since a machine may be shared; memory is the peak of the process so far, mapped files
included.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import recommender
from recommender.bundle import Staging, write_thumbnails
from recommender.commands.benchmarks.other_libraries import K
from recommender.commands.benchmarks.own_searches import EMPTY, WEIGHTS
from recommender.commands.benchmarks.synthetic import clustered, intrinsic_dimension, segment_of
from recommender.commands.benchmarks.timing import exact, peak_memory, timed
from recommender.config import IndexConfig
from recommender.core.blocks import Float, Rows
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.items.attributes import write_columns
from recommender.progress import notice
from recommender.retrieval.candidates import Index
from recommender.retrieval.codes import Codes
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import RowQuery
from recommender.towers.item import ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.user import UserTower

QUERIES = 400  # half of them stand for users when the build measures, half are timed


def stages() -> tuple[tuple[str, Any, str], ...]:
    """Return the stages: a label, and the object and name of the function that runs it."""
    from training.retrieval import graph, index

    return (
        ("Annoy's trees", Index, "build"),
        ("int8 codes", Codes, "build"),
        ("graph: neighbours by Annoy", graph, "_annoy_lists"),
        ("graph: neighbours of neighbours", graph, "_expand"),
        ("graph, all of it", index, "build_graph"),
        ("neighbour table", index, "with_neighbours"),
        ("exact answers", index, "calibration_queries"),
        ("recall", index, "choose_budget"),
        ("all of the index", index, "build_index"),
    )


def measure_scale(bundles: Path, n: int, dim: int, seed: int) -> dict[str, Any]:
    """Build and publish an index of `n` synthetic products into `bundles`, then time queries."""
    vectors, queries, _ = clustered(n, dim, seed, QUERIES)
    report: dict[str, Any] = {"n": n, "dim": dim, "vectors_mib": peak_memory(), "stages": {}}
    report["intrinsic_dimension"] = intrinsic_dimension(vectors, queries)
    with ExitStack() as stack:
        for label, owner, function in stages():
            measured = measure_stage(report["stages"], label, getattr(owner, function))
            stack.enter_context(patch.object(owner, function, measured))
        publish(bundles, segment_of(vectors), queries[::2], seed)
    return report | time_queries(bundles, vectors, queries[1::2])


def measure_stage(
    stages: dict[str, dict[str, float]], label: str, function: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function that does the same, and adds its time and memory to the stages."""

    def measured(*args: Any, **kwargs: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = function(*args, **kwargs)
        stage = stages.setdefault(label, {"wall_s": 0.0, "cpu_s": 0.0, "peak_mib": 0})
        stage["wall_s"] = round(stage["wall_s"] + time.perf_counter() - wall, 1)
        stage["cpu_s"] = round(stage["cpu_s"] + time.process_time() - cpu, 1)
        stage["peak_mib"] = peak_memory()
        notice(f"{label}: {stage['wall_s']} s, {stage['cpu_s']} CPU s, peak {stage['peak_mib']} MiB")
        return result

    return measured


def publish(bundles: Path, segment: Segment, queries: Float, seed: int) -> None:
    """Publish the segment with whatever else a bundle must have, synthetic or empty."""
    from training.retrieval import index

    ids = [f"{row:08}" for row in range(segment.n)]
    weights, users = {"item": WEIGHTS, "user": WEIGHTS}, [Query.free(vector) for vector in queries]
    with Staging(bundles) as staging:
        base = staging.part("base")
        built = index.build_index(base, segment, weights, users, IndexConfig(), seed)
        built.segment.save(base)
        (base / "attributes").mkdir()
        prices = {"price": [float(row % 100) for row in range(segment.n)]}
        write_columns(base / "attributes", ids, {"price": "number"}, prices)
        ItemTower(segment.layout, {}, None, None, BlockPredictor({}, segment.layout)).save(staging.part("towers"))
        write_thumbnails(staging.part("thumbnails"), [b""] * segment.n)
        staging.publish(
            {
                "n": segment.n,
                "blocks": dict(segment.layout.dims),
                "weights": weights,
                "metrics": {"recall": built.metrics},
                "user_tower": UserTower({"view_item": 1.0}).to_dict(),
                "index": {"budgets": built.metrics["budgets"]},
            }
        )


def time_queries(bundles: Path, vectors: Float, queries: Float) -> dict[str, Any]:
    """Time queries that took no part in the build, at the operating point that it chose."""
    rec = recommender.load(bundles)
    planner, eligibility = rec.planner, Eligibility(rec.segment)
    scorer = Scorer(rec.segment.vectors, rec.segment.prior, rec.layout, rec.weights["user"])

    def search(vector: Float) -> Rows:
        return planner.search(scorer, RowQuery(Query.free(vector), K, EMPTY), eligibility).selection.rows

    recall, p50 = timed(search, queries, exact(vectors, queries))
    return {"budgets": rec.manifest.extra["index"]["budgets"], "recall": recall, "p50_us": p50}


def table(report: Mapping[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['n']:,} x {report['dim']}, intrinsic dimension {report['intrinsic_dimension']:.1f}"]
    lines.append(f"{'':34}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}")
    lines += [
        f"{label:34}{stage['wall_s']:>9}{stage['cpu_s']:>9}{stage['peak_mib']:>10}"
        for label, stage in report["stages"].items()
    ]
    lines.append(f"budgets chosen by the build: {report['budgets']}")
    lines.append(f"new queries: recall@{K} {report['recall']}, p50 {report['p50_us']} us, one thread")
    return "\n".join(lines)
