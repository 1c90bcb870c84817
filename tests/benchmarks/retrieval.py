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
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from rivals import LADDER, Ask, K, faiss, faiss_index, hnswlib, hnswlib_index, usearch, voyager

from recommender.blocks import Layout
from recommender.cooccurrence import Cooccurrence
from recommender.filters.subset import Subset
from recommender.index.rules import Rules
from recommender.index.search import Budget, Budgets, Question, Search
from recommender.scoring import Query, Scorer
from recommender.segment import Segment
from training.index import HOPS, make_index
from training.neighbours import with_neighbours

TARGETS = (0.90, 0.95, 0.98, 0.99)
SHARES = (0.005, 0.05, 0.5)
WEIGHTS = {"image": 1.0, "cooccurrence": 0.0, "prior": 0.0}
NOTHING = np.empty(0, np.int32)


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


# The data


def clustered(n: int, dim: int, seed: int, queries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors in clusters of clusters with a falling spectrum, queries like them, and their clusters."""
    generator = np.random.default_rng(seed)
    spectrum = (np.arange(1, dim + 1) ** -0.4).astype(np.float32)

    def around(centres: np.ndarray, spread: float) -> np.ndarray:
        return centres + spread * generator.standard_normal((len(centres), dim), dtype=np.float32) * spectrum

    small = max(n // 40, 1)
    large = around(np.zeros((max(small // 30, 1), dim), np.float32), 1.0)
    of_small = generator.integers(0, len(large), small)
    centres = around(large[of_small], 1.0)
    chosen = generator.integers(0, small, n + queries)
    vectors = np.concatenate([around(centres[part], 1.54) for part in np.array_split(chosen, 20)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:n], vectors[n:], of_small[chosen[:n]]


def intrinsic_dimension(vectors: np.ndarray, queries: np.ndarray, near: int = 100) -> float:
    """Local intrinsic dimension by maximum likelihood (Levina and Bickel, NeurIPS 2004)."""
    scores = -np.sort(-(queries[:100] @ vectors.T), axis=1)[:, :near]
    distances = np.sqrt(np.maximum(2 - 2 * scores, 1e-12))
    return float(np.mean(-1 / np.log(distances[:, :-1] / distances[:, -1:]).mean(axis=1)))


def segment_of(vectors: np.ndarray) -> Segment:
    n, dim = vectors.shape
    return Segment(
        vectors=vectors,
        present=np.ones((n, 1), bool),
        prior=np.zeros(n, np.float32),
        groups=np.arange(n, dtype=np.int32),
        neighbours=None,
        cooccurrence=Cooccurrence.empty(n),
        complements=Cooccurrence.empty(n),
        layout=Layout({"image": dim}),
    )


# The methods: a name, and a way of asking for each step of its ladder


def ours(search: Search, scorer: Scorer, subset: Subset | None = None) -> Iterator[Ask]:
    """Annoy, graph and exact scores, as a question of the service goes: all but the ids."""
    rules = Rules(search.segment, subset)

    def ask(budget: Budget, vector: np.ndarray) -> np.ndarray:
        tried = Search(search.segment, search.index, Budgets(budget, budget), (WEIGHTS,))
        return tried.one(scorer, Question(Query.free(vector), K, NOTHING), rules).selection.rows

    return (partial(ask, Budget(width, 0, 0)) for width in LADDER)


def walk(search: Search) -> Iterator[Ask]:
    """The index alone: Annoy, graph, and the order by full vectors."""
    index, vectors = search.index, search.segment.vectors

    def ask(width: int, vector: np.ndarray) -> np.ndarray:
        rows = index.walk(Query.free(vector), WEIGHTS, width)
        return rows[np.argsort(-(vectors[rows] @ vector))[:K]]

    return (partial(ask, width) for width in LADDER)


def hops(search: Search, scorer: Scorer) -> Iterator[Ask]:
    """The index alone where there is no numba: Annoy's rows and a walk over the neighbour table."""
    index, vectors = replace(search.index, codes=None, graph=None), search.segment.vectors
    plain, rules = replace(search, index=index), Rules(search.segment)

    def ask(budget: Budget, vector: np.ndarray) -> np.ndarray:
        rows = plain.candidates(scorer, Question(Query.free(vector), K, NOTHING), rules, budget)
        return rows[np.argsort(-(vectors[rows] @ vector))[:K]]

    return (partial(ask, Budget(0, *hop)) for hop in HOPS)


# The measurements


def of_made_up(n: int, dim: int, queries: int, seed: int) -> dict:
    vectors, asked, clusters = clustered(n, dim, seed, queries)
    segment = segment_of(vectors)
    scorer = Scorer(vectors, segment.prior, segment.layout, WEIGHTS)
    build: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        with cpu(build, "ours"):
            index = make_index(Path(folder), segment, WEIGHTS, trees=16, seed=seed)
        with cpu(build, "ours, neighbour table"):
            tabled = with_neighbours(segment, WEIGHTS, index)
        search = Search(segment, index, learned=(WEIGHTS,))
        methods = {"ours, whole question": ours(search, scorer), "ours, index": walk(search)}
        methods["ours without numba"] = hops(replace(search, segment=tabled), scorer)
        built = {}
        if find_spec("hnswlib"):
            with cpu(build, "hnswlib"):
                built["hnswlib"] = hnswlib_index(vectors)
            methods["hnswlib"] = hnswlib(built["hnswlib"])
        if find_spec("faiss"):
            with cpu(build, "faiss HNSW"):
                built["faiss"] = faiss_index(vectors)
            methods["faiss HNSW"] = faiss(built["faiss"])
        for other in (usearch, voyager):
            if find_spec(other.__name__):
                with cpu(build, other.__name__):
                    methods[other.__name__] = other(vectors)
        curves = measure(methods, asked, exact(vectors, asked))
        filtered = {
            f"{share:.1%} {kind}": with_filter(search, scorer, built, vectors, asked[:200], mask)
            for share in SHARES
            for kind, mask in masks(share, clusters, seed)
        }
    return {
        "n": n,
        "dim": dim,
        "intrinsic_dimension": intrinsic_dimension(vectors, asked),
        "build_cpu_seconds": build,
        "p50_us": {name: at_targets(curve) for name, curve in curves.items()},
        "two_threads": two_threads(partial(next(walk(search)).func, 96), asked),
        "curves": curves,
        "filters": filtered,
    }


def two_threads(ask: Ask, queries: np.ndarray) -> float:
    """Return how many times as many questions two threads answer as one does; the best of some rounds."""

    def answer(part: np.ndarray) -> None:
        for vector in part:
            ask(vector)

    def seconds(parts: list[np.ndarray]) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(answer, parts))
        return time.perf_counter() - started

    many = np.concatenate([queries] * 4)
    ratios = [seconds([many]) / seconds(np.array_split(many, 2)) for _ in range(5)]
    return round(max(ratios), 2)


class cpu:
    """Adds the CPU seconds of a block to a report."""

    def __init__(self, report: dict[str, float], name: str) -> None:
        self.report, self.name = report, name

    def __enter__(self) -> None:
        self.started = time.process_time()

    def __exit__(self, *error: object) -> None:
        self.report[self.name] = round(time.process_time() - self.started, 1)


def exact(vectors: np.ndarray, queries: np.ndarray, rows: np.ndarray | None = None) -> list[set[int]]:
    scores = queries @ (vectors if rows is None else vectors[rows]).T
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    return [set((line if rows is None else rows[line]).tolist()) for line in best]


def measure(
    methods: dict[str, Iterator[Ask]], queries: np.ndarray, best: list[set[int]]
) -> dict[str, list[tuple[float, float]]]:
    """Return each method's curve of recall and p50; a step of every method in turn, so that none has luck."""
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for step in zip_longest(*methods.values()):
        for name, ask in zip(methods, step, strict=True):
            if ask is not None and not (curves[name] and curves[name][-1][0] >= 0.999):
                curves[name].append(timed(ask, queries, best))
    return curves


def timed(ask: Ask, queries: np.ndarray, best: list[set[int]]) -> tuple[float, float]:
    for vector in queries[:20]:
        ask(vector)
    seconds, hits = [], 0
    for vector, right in zip(queries, best, strict=True):
        started = time.perf_counter()
        rows = ask(vector)
        seconds.append(time.perf_counter() - started)
        hits += len(right & set(np.asarray(rows).tolist()))
    return round(hits / (K * len(queries)), 4), round(float(np.median(seconds)) * 1e6, 1)


def at_targets(curve: list[tuple[float, float]]) -> dict[str, float | None]:
    """Return the least p50 at which each recall is reached; None where it is not."""
    return {
        f"{target:.2f}": min((p50 for recall, p50 in curve if recall >= target), default=None)
        for target in TARGETS
    }


def masks(share: float, clusters: np.ndarray, seed: int) -> list[tuple[str, np.ndarray]]:
    """Keep products at random, and whole clusters of them."""
    generator = np.random.default_rng(seed)
    kept = generator.random(clusters.max() + 1) < share
    if not kept.any():
        kept[generator.integers(len(kept))] = True
    return [("random", generator.random(len(clusters)) < share), ("by category", kept[clusters])]


def with_filter(
    search: Search, scorer: Scorer, built: dict, vectors: np.ndarray, queries: np.ndarray, mask: np.ndarray
) -> dict:
    """Time a filter never seen before (rows worked out anew for each question) and a repeated one."""
    subset = Subset(mask, search.segment.groups)
    budgets = Budgets(Budget(96, 0, 0), None)
    chosen = Search(search.segment, search.index, budgets, (WEIGHTS,))

    def ask(kept: Callable[[], Subset], vector: np.ndarray) -> np.ndarray:
        rules = Rules(search.segment, kept())
        return chosen.one(scorer, Question(Query.free(vector), K, NOTHING), rules).selection.rows

    best = exact(vectors, queries, subset.rows)
    report = {
        "ours, first time": timed(partial(ask, lambda: Subset(mask, search.segment.groups)), queries, best),
        "ours, repeated": timed(partial(ask, lambda: subset), queries, best),
    }
    for name, method in (("hnswlib", hnswlib), ("faiss", faiss)):
        if name in built:
            curve = [timed(step, queries[:50], best[:50]) for step in list(method(built[name], mask))[3::2]]
            good = [point for point in curve if point[0] >= report["ours, repeated"][0] - 0.0005]
            report[name] = min(good, key=lambda point: point[1]) if good else max(curve)
    return report


def of_bundle(bundles: Path, queries: int, seed: int) -> dict:
    """Time products of a published bundle, from id to ids and scores, and histories of three of them."""
    import recommender

    rec = recommender.load(bundles)
    generator = np.random.default_rng(seed)
    ids = [rec.ids[row] for row in generator.integers(0, rec.n, queries)]
    mixed = [[rec.ids[row] for row in generator.integers(0, rec.n, 3)] for _ in range(queries)]
    vectors = np.asarray(rec.segment.vectors)
    report: dict = {"n": rec.n, "dim": rec.layout.d, "manifest": rec.manifest.metrics["recall"], "bundle": {}}
    report["intrinsic_dimension"] = intrinsic_dimension(
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        vectors[generator.integers(0, rec.n, 100)] / len(rec.layout.names) ** 0.5,
    )
    for name, ask, asked in (("similar", rec.similar, ids), ("recommend", rec.recommend, mixed)):
        seconds, shares, plans = [], [], set()
        for one in asked:
            started = time.perf_counter()
            answer = ask(one, K)
            seconds.append(time.perf_counter() - started)
            plans.add(answer.plan)
            right = ask(one, K, plan="exact")
            shares.append(sum(item.score >= right[-1].score for item in answer) / len(right) if len(right) else 1)
        p50 = round(float(np.median(seconds)) * 1e6, 1)
        report["bundle"][name] = {"recall": float(np.mean(shares)), "p50_us": p50, "plans": sorted(plans)}
    report["memory"] = memory(bundles, ids)
    return report


def memory(bundles: Path, ids: list[str]) -> dict[str, float]:
    """Return what a first worker has in memory, and what a second one has to itself, in MiB."""
    pipes, first, second = multiprocessing.get_context("spawn"), "Rss", "Private_"
    report = {}
    with ExitStack() as stack:
        for name, kind in (("first, all", first), ("second, unique", second)):
            ours, theirs = pipes.Pipe()
            worker = pipes.Process(target=work, args=(bundles, ids, theirs), daemon=True)
            worker.start()
            stack.callback(worker.terminate)
            ours.recv()
            lines = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()
            report[name] = round(sum(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024, 1)
    return report | {"share": round(report["second, unique"] / report["first, all"], 3)}


def work(bundles: Path, ids: list[str], told: "Connection") -> None:
    """Answer some questions, and wait to be looked at."""
    import recommender

    rec = recommender.load(bundles)
    for place, item_id in enumerate(ids):
        rec.similar(item_id, K)
        rec.recommend([item_id, ids[place - 1]], K)
    told.send("done")
    told.recv()


# What is shown


def table(report: dict) -> str:
    lines = [f"{report['n']:,} x {report['dim']}, intrinsic dimension {report['intrinsic_dimension']:.1f}"]
    for name, found in report.get("bundle", {}).items():
        lines.append(f"{name:10} recall {found['recall']:.4f}  p50 {found['p50_us']:.0f} us  {found['plans']}")
    if "memory" in report:
        lines.append(f"memory, MiB: {report['memory']}")
    if "p50_us" in report:
        lines += ["", f"{'p50 us at recall':22}" + "".join(f"{target:>9.2f}" for target in TARGETS) + "   build s"]
        for name, row in report["p50_us"].items():
            cells = "".join(f"{'never' if p50 is None else f'{p50:.0f}':>9}" for p50 in row.values())
            seconds = report["build_cpu_seconds"].get("ours" if name.startswith("ours") else name, "")
            lines.append(f"{name:22}{cells}{seconds:>10}")
        lines += ["", f"two threads answer {report['two_threads']} times as many", "", "filters: recall, p50 us"]
        for name, row in report["filters"].items():
            cells = "   ".join(f"{who} {recall:.3f} {p50:.0f}" for who, (recall, p50) in row.items())
            lines.append(f"{name:20} {cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
