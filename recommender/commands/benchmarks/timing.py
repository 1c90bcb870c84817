"""Time and recall of ways to search: the methods in turn over the same queries, one query per call."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import numpy as np

from recommender.commands.benchmarks.other_libraries import K, SearchOne, Steps
from recommender.core.blocks import Float, Rows
from recommender.progress import progress

Curve = list[tuple[float, float]]  # recall@10 and p50 in microseconds, a point per step
T = TypeVar("T")


def timed_cpu(work: Callable[[], T]) -> tuple[T, float, float]:
    """Return the result of `work`, and its wall and CPU seconds."""
    wall, used = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - used


@contextmanager
def cpu(report: dict[str, float], name: str) -> Iterator[None]:
    """Write the CPU seconds of a block into a report."""
    started = time.process_time()
    yield
    report[name] = round(time.process_time() - started, 1)


def exact(vectors: Float, queries: Float, rows: Rows | None = None) -> list[set[int]]:
    """Return the rows of the k largest inner products of each query; of `rows` alone if given."""
    scores = queries @ (vectors if rows is None else vectors[rows]).T
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    return [set((line if rows is None else rows[line]).tolist()) for line in best]


def measure(methods: Mapping[str, Steps], queries: Float, best: list[set[int]]) -> dict[str, Curve]:
    """Return each method's curve of recall and p50; the methods take turns, so that none has a quieter machine."""
    curves: dict[str, Curve] = {name: [] for name in methods}
    for step in progress(zip_longest(*methods.values()), "search", unit="step"):
        for name, search in zip(methods, step, strict=True):
            if search is not None and not (curves[name] and curves[name][-1][0] >= 0.999):
                curves[name].append(timed(search, queries, best))
    return curves


def timed(search: SearchOne, queries: Float, best: list[set[int]]) -> tuple[float, float]:
    """Return recall@k and the median time of a query in microseconds, after 20 queries to warm up."""
    for vector in queries[:20]:
        search(vector)
    seconds, hits = [], 0
    for vector, right in zip(queries, best, strict=True):
        started = time.perf_counter()
        rows = search(vector)
        seconds.append(time.perf_counter() - started)
        hits += len(right & set(np.asarray(rows).tolist()))
    return round(hits / (K * len(queries)), 4), round(float(np.median(seconds)) * 1e6, 1)


def at_targets(curve: Curve, targets: Sequence[float]) -> dict[str, float | None]:
    """Return the smallest p50 at which each recall is reached; None where it is not."""
    return {
        f"{target:.2f}": min((p50 for recall, p50 in curve if recall >= target), default=None)
        for target in targets
    }


def peak_memory() -> int:
    """Return the peak memory of this process in MiB, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def resident_memory() -> float:
    """Return the present memory of this process in MiB, mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def speedup_of_two_threads(search: SearchOne, queries: Float) -> float:
    """Return the throughput of two threads by that of one; the best of five rounds."""

    def answer(part: Float) -> None:
        for vector in part:
            search(vector)

    def seconds(parts: Sequence[Float]) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(answer, parts))
        return time.perf_counter() - started

    many = np.concatenate([queries] * 4)
    ratios = [seconds([many]) / seconds(np.array_split(many, 2)) for _ in range(5)]
    return round(max(ratios), 2)
