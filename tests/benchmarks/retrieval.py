"""How long a search takes at equal recall, beside the libraries made for it, and with filters.

    python tests/benchmarks/retrieval.py [--n 100000] [--dim 512] [--json]
    python tests/benchmarks/retrieval.py --bundles BUNDLES

One thread, one query per call, methods in turn over the same queries in one process; p50 in microseconds. The
others (pip install hnswlib faiss-cpu usearch voyager) are left out of the table where they are not installed.
Nothing is read but what is made from the seed, or the bundle named.
"""

# ruff: noqa: E402 (the number of threads is read when numpy is imported)
import argparse
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

from filtered import with_filters
from published import of_bundle
from rivals import installed
from searches import WEIGHTS, hops, ours, walk
from stopwatch import at_targets, cpu, exact, measure, peak_memory, two_threads
from vectors import clustered, intrinsic_dimension, segment_of

from recommender.core.scoring import Scorer
from recommender.retrieval.planner import Planner
from training.retrieval.index import make_index
from training.retrieval.neighbours import with_neighbours

TARGETS = (0.90, 0.95, 0.98, 0.99)
TREES = 16
FILTERED_QUERIES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundles", type=Path, help="time a published bundle instead")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.bundles is not None:
        report = of_bundle(asked.bundles, asked.queries, asked.seed)
    else:
        report = of_made_up(asked.n, asked.dim, asked.queries, asked.seed)
    print(json.dumps(report, indent=1) if asked.json else table(report))


def of_made_up(n: int, dim: int, queries: int, seed: int) -> dict:
    vectors, asked, clusters = clustered(n, dim, seed, queries)
    segment = segment_of(vectors)
    scorer = Scorer(vectors, segment.prior, segment.layout, WEIGHTS)
    build: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        with cpu(build, "ours"):
            index = make_index(Path(folder), segment, WEIGHTS, TREES, seed)
        with cpu(build, "ours, neighbour table"):
            tabled = with_neighbours(segment, {"item": WEIGHTS}, index)
        peak = peak_memory()
        search = Planner(segment, index, learned=(WEIGHTS,))
        methods = {"ours, whole question": ours(search, scorer), "ours, index": walk(search, scorer)}
        methods["ours without numba"] = hops(replace(search, segment=tabled), scorer)
        built = {}
        for name, (make, ways) in installed().items():
            with cpu(build, name):
                built[name] = make(vectors)
            methods[name] = ways(built[name])
        curves = measure(methods, asked, exact(vectors, asked))
        filters = with_filters(
            replace(search, segment=tabled), scorer, built, asked[:FILTERED_QUERIES], clusters, seed
        )
    return {
        "n": n,
        "dim": dim,
        "intrinsic_dimension": intrinsic_dimension(vectors, asked),
        "build_cpu_seconds": build,
        "build_peak_mib": peak,
        "p50_us": {name: at_targets(curve, TARGETS) for name, curve in curves.items()},
        "two_threads": two_threads(partial(next(walk(search, scorer)).func, 96), asked),
        "curves": curves,
        "filters": filters,
    }


def table(report: dict) -> str:
    lines = [f"{report['n']:,} x {report['dim']}, intrinsic dimension {report['intrinsic_dimension']:.1f}"]
    return "\n".join(lines + (of_bundle_lines(report) if "bundle" in report else of_made_up_lines(report)))


def of_bundle_lines(report: dict) -> list[str]:
    lines = [
        f"{name:16} recall {found['recall']:.4f}  p50 {found['p50_us']:.0f} us  {', '.join(found['plans'])}"
        for name, found in report["bundle"].items()
    ]
    return [*lines, f"memory, MiB: {report['memory']}"]


def of_made_up_lines(report: dict) -> list[str]:
    seconds = report["build_cpu_seconds"]
    lines = ["", f"{'p50 us at recall':22}" + "".join(f"{target:>9.2f}" for target in TARGETS) + "   build s"]
    for name, row in report["p50_us"].items():
        cells = "".join(f"{'never' if p50 is None else f'{p50:.0f}':>9}" for p50 in row.values())
        lines.append(f"{name:22}{cells}{seconds['ours' if name.startswith('ours') else name]:>10}")
    lines.append(f"the neighbour table took {seconds['ours, neighbour table']} s more")
    lines.append(f"our build had at most {report['build_peak_mib']} MiB in memory, the vectors among them")
    lines += [f"two threads answer {report['two_threads']} times as many", "", "filters: recall, p50 us"]
    for name, row in report["filters"].items():
        found = [(who, *row[who]) for who in row if who not in ("kept", "width")]
        lines.append(f"{name:20} {'   '.join(f'{who} {recall:.3f} {p50:.0f}' for who, recall, p50 in found)}")
    return lines


if __name__ == "__main__":
    main()
