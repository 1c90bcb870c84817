"""Times and recall of ways to search: methods in turn over the same queries, one query per call."""

import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import numpy as np
from rivals import Ask, K

Curve = list[tuple[float, float]]  # recall@10 and p50 in microseconds, a point per step


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


def measure(methods: dict[str, Iterator[Ask]], queries: np.ndarray, best: list[set[int]]) -> dict[str, Curve]:
    """Return each method's curve of recall and p50; a step of every method in turn, so that none has luck."""
    curves: dict[str, Curve] = {name: [] for name in methods}
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


def at_targets(curve: Curve, targets: Sequence[float]) -> dict[str, float | None]:
    """Return the least p50 at which each recall is reached; None where it is not."""
    return {
        f"{target:.2f}": min((p50 for recall, p50 in curve if recall >= target), default=None)
        for target in targets
    }


def peak_memory() -> int:
    """Return the most that this process had in memory, in MiB, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


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
