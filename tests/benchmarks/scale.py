"""A large made-up shop through the index that `fit` builds: where time and memory go, and what an answer takes.

    python tests/benchmarks/scale.py [--n 1000000] [--dim 256] [--out BUNDLES] [--json]

Wall and CPU seconds, since a machine may be shared; memory is the most that the process has had so far, mapped
files included. What is kept by `--out` can be asked by `retrieval.py --bundles BUNDLES`.
"""

# ruff: noqa: E402 (the number of threads is read when numpy is imported)
import argparse
import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

from rivals import K
from searches import NOTHING, WEIGHTS
from stopwatch import exact, peak_memory, timed
from vectors import clustered, intrinsic_dimension, segment_of

import recommender
import training.retrieval.graph
import training.retrieval.index
from recommender.bundle import Staging, write_thumbnails
from recommender.config import IndexConfig
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.items.attributes import write_columns
from recommender.retrieval.candidates import Index
from recommender.retrieval.codes import Codes
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import RowQuery
from recommender.towers.item import ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.user import UserTower

QUERIES = 400  # half of them stand for users when the build measures, half are timed
STAGES: tuple[tuple[str, Any, str], ...] = (
    ("Annoy's trees", Index, "build"),
    ("vectors in 8 bits", Codes, "build"),
    ("graph: neighbours by Annoy", training.graph, "_listed_by_annoy"),
    ("graph: neighbours of neighbours", training.graph, "_expanded"),
    ("graph, all of it", training.index, "build_graph"),
    ("neighbour table", training.index, "with_neighbours"),
    ("exact answers", training.index, "questions_of"),
    ("recall", training.index, "operating_point"),
    ("all of the index", training.index, "build_index"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the bundle here")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        report = at_scale(asked.out or Path(folder), asked.n, asked.dim, asked.seed)
    print(json.dumps(report, indent=1) if asked.json else table(report))


def at_scale(bundles: Path, n: int, dim: int, seed: int) -> dict[str, Any]:
    vectors, queries, _ = clustered(n, dim, seed, QUERIES)
    report: dict[str, Any] = {"n": n, "dim": dim, "vectors_mib": peak_memory(), "stages": {}}
    report["intrinsic_dimension"] = intrinsic_dimension(vectors, queries)
    with ExitStack() as stack:
        for label, owner, function in STAGES:
            watched = watch(report["stages"], label, getattr(owner, function))
            stack.enter_context(patch.object(owner, function, watched))
        publish(bundles, segment_of(vectors), queries[::2], seed)
    return report | answered(bundles, vectors, queries[1::2])


def watch(stages: dict[str, dict[str, float]], label: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does the same, and adds what it took to the stages."""

    def watched(*given: Any, **named: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        done = function(*given, **named)
        stage = stages.setdefault(label, {"wall_s": 0.0, "cpu_s": 0.0, "peak_mib": 0})
        stage["wall_s"] = round(stage["wall_s"] + time.perf_counter() - wall, 1)
        stage["cpu_s"] = round(stage["cpu_s"] + time.process_time() - cpu, 1)
        stage["peak_mib"] = peak_memory()
        print(label, stage, flush=True)
        return done

    return watched


def publish(bundles: Path, segment: Segment, queries: Any, seed: int) -> None:
    """Publish the segment with what else a bundle must have, made up or empty."""
    ids = [f"{row:08}" for row in range(segment.n)]
    weights, users = {"item": WEIGHTS, "user": WEIGHTS}, [Query.free(vector) for vector in queries]
    with Staging(bundles) as staging:
        base = staging.part("base")
        built = training.index.build_index(base, segment, weights, users, IndexConfig(), seed)
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
                "metrics": {"recall": built.stated},
                "user_tower": UserTower({"view_item": 1.0}).to_dict(),
                "index": {"budgets": built.stated["budgets"]},
            }
        )


def answered(bundles: Path, vectors: Any, queries: Any) -> dict[str, Any]:
    """Time questions that took no part in the build, at the operating point that it chose."""
    rec = recommender.load(bundles)
    search, rules = rec.planner, Eligibility(rec.segment)
    scorer = Scorer(rec.segment.vectors, rec.segment.prior, rec.layout, rec.weights["user"])

    def ask(vector: Any) -> Any:
        return search.search(scorer, RowQuery(Query.free(vector), K, NOTHING), rules).selection.rows

    recall, p50 = timed(ask, queries, exact(vectors, queries))
    return {"budgets": rec.manifest.extra["index"]["budgets"], "recall": recall, "p50_us": p50}


def table(report: dict[str, Any]) -> str:
    lines = [f"{report['n']:,} x {report['dim']}, intrinsic dimension {report['intrinsic_dimension']:.1f}"]
    lines.append(f"{'':34}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}")
    lines += [
        f"{label:34}{stage['wall_s']:>9}{stage['cpu_s']:>9}{stage['peak_mib']:>10}"
        for label, stage in report["stages"].items()
    ]
    lines.append(f"chosen by the build: {report['budgets']}")
    lines.append(f"new questions: recall@{K} {report['recall']}, p50 {report['p50_us']} us, one thread")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
