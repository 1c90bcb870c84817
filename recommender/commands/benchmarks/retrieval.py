"""Time of a search at equal recall, beside the libraries made for it, and with filters.

One thread, one query per call, the methods in turn over the same queries in one process; p50 in microseconds.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recommender.commands.benchmarks.filtered import with_filters
from recommender.commands.benchmarks.other_libraries import LIBRARIES
from recommender.commands.benchmarks.own_searches import WEIGHTS, index_alone, walk, whole_query, without_numba
from recommender.commands.benchmarks.synthetic import clustered, intrinsic_dimension, segment_of
from recommender.commands.benchmarks.timing import (
    at_targets,
    cpu,
    exact,
    measure,
    peak_memory,
    speedup_of_two_threads,
)
from recommender.core.scoring import Scorer
from recommender.progress import notice, progress
from recommender.retrieval.planner import Planner

TARGETS = (0.90, 0.95, 0.98, 0.99)
TREES = 16
FILTERED_QUERIES = 200


def measure_search(n: int, dim: int, queries: int, seed: int) -> dict[str, Any]:
    """Build an index of synthetic vectors by every library, and time them at equal recall."""
    from training.retrieval.index import make_index
    from training.retrieval.neighbours import with_neighbours

    vectors, query_vectors, clusters = clustered(n, dim, seed, queries)
    segment = segment_of(vectors)
    scorer = Scorer(vectors, segment.prior, segment.layout, WEIGHTS)
    build: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        with cpu(build, "ours"):
            index = make_index(Path(folder), segment, WEIGHTS, TREES, seed)
        with cpu(build, "ours, neighbour table"):
            tabled = with_neighbours(segment, {"item": WEIGHTS}, index)
        peak = peak_memory()
        planner = Planner(segment, index, learned=(WEIGHTS,))
        methods = {"ours, whole query": whole_query(planner, scorer), "ours, index": index_alone(planner, scorer)}
        methods["ours, without numba"] = without_numba(replace(planner, segment=tabled), scorer)
        built = {}
        for name, (make, search) in progress(LIBRARIES.items(), "other libraries", len(LIBRARIES), "index"):
            try:
                with cpu(build, name):
                    built[name] = make(vectors)
            except ImportError as error:
                notice(f"{name} is left out: {error} (pip install 'hybrid-recommender[benchmark]')")
            else:
                methods[name] = search(built[name])
        curves = measure(methods, query_vectors, exact(vectors, query_vectors))
        few = query_vectors[:FILTERED_QUERIES]
        filters = with_filters(replace(planner, segment=tabled), scorer, built, few, clusters, seed)
    return {
        "n": n,
        "dim": dim,
        "intrinsic_dimension": intrinsic_dimension(vectors, query_vectors),
        "build_cpu_seconds": build,
        "build_peak_mib": peak,
        "p50_us": {name: at_targets(curve, TARGETS) for name, curve in curves.items()},
        "speedup_of_two_threads": speedup_of_two_threads(partial(walk, planner, scorer, 96), query_vectors),
        "curves": curves,
        "filters": filters,
    }


def table(report: Mapping[str, Any]) -> str:
    """Return the report as text."""
    seconds = report["build_cpu_seconds"]
    lines = [f"{report['n']:,} x {report['dim']}, intrinsic dimension {report['intrinsic_dimension']:.1f}", ""]
    lines.append(f"{'p50 us at recall':22}" + "".join(f"{target:>9.2f}" for target in TARGETS) + "   build s")
    for name, row in report["p50_us"].items():
        cells = "".join(f"{'never' if p50 is None else f'{p50:.0f}':>9}" for p50 in row.values())
        lines.append(f"{name:22}{cells}{seconds['ours' if name.startswith('ours') else name]:>10}")
    lines.append(f"the neighbour table took {seconds['ours, neighbour table']} s more")
    lines.append(f"peak memory of our build: {report['build_peak_mib']} MiB, the vectors included")
    lines.append(f"throughput of two threads: {report['speedup_of_two_threads']} times that of one")
    lines += ["", "filters: recall, p50 us"]
    for name, row in report["filters"].items():
        points = [(method, *row[method]) for method in row if method not in ("retained", "width")]
        lines.append(
            f"{name:20} {'   '.join(f'{method} {recall:.3f} {p50:.0f}' for method, recall, p50 in points)}"
        )
    return "\n".join(lines)
