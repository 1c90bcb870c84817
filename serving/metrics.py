"""Prometheus metrics, summed over the worker processes."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from serving import tracing
from serving.markets import task_of

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

    from recommender.ranking.results import Recommendations
    from serving.hot_reload import LiveRecommender

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
CONCERNS = ("bundle", "experiment", "store", "events", "encoder", "disk", "replica", "rates")


@contextmanager
def shared_among_workers() -> Iterator[None]:
    """Share the metrics among the workers started inside; to be entered before prometheus_client is imported."""
    with tempfile.TemporaryDirectory(prefix="recommender-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


class Metrics:
    """All metrics; created on first use, when prometheus_client decides whether they are shared."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        buckets = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
        self.requests = Histogram(
            "recommender_request_seconds", "Requests by route and status", ["route", "status"], buckets=buckets
        )
        self.stages = Histogram(
            "recommender_stage_seconds", "Parts of a request: history, search, encode", ["stage"], buckets=buckets
        )
        self.answers = Counter(
            "recommender_answers", "Answers", ["placement", "strategy", "plan", "fallback", "market"]
        )
        self.short = Counter("recommender_short_lists", "Answers with fewer products than eligible; must stay 0")
        self.events = Counter("recommender_events", "Events received", ["event_name", "status", "market"])
        self.uncounted = Counter(
            "recommender_uncounted_events", "Events left out of reports: too many visitors of one address"
        )
        self.refused = Counter("recommender_refused", "Requests refused for their key, scope or rate", ["why"])
        self.recall = Gauge(
            "recommender_bundle_recall",
            "Recall of the retrieval at the build",
            ["market"],
            multiprocess_mode="mostrecent",
        )
        self.published = Gauge(
            "recommender_bundle_published_seconds",
            "Time of the bundle's publication",
            ["market"],
            multiprocess_mode="mostrecent",
        )
        self.problems = Gauge(
            "recommender_problems",
            "1 where something is wrong, see /healthz/ready",
            ["concern"],
            multiprocess_mode="livemax",
        )
        self.circuits = Gauge(
            "recommender_store_circuit_open",
            "1 where an operation of the store keeps failing and is refused",
            ["operation"],
            multiprocess_mode="livemax",
        )


@cache
def metrics() -> Metrics:
    """Return the metrics of this process."""
    return Metrics()


@cache
def requests(route: str, status: int) -> "Histogram":
    """Return the histogram of one route and status."""
    return metrics().requests.labels(route, status)


@cache
def _stages(name: str) -> "Histogram":
    return metrics().stages.labels(name)


@cache
def _answers(*labels: str) -> "Counter":
    return metrics().answers.labels(*labels)


def stage(name: str) -> AbstractContextManager[object]:
    """Time a part of a request, in a span of its own if requests are traced."""
    timer = _stages(name).time()
    return tracing.span(name, timer) if tracing.enabled.is_set() else timer


def count_answer(placement: str, result: "Recommendations", expected: int, market: str = "") -> None:
    """Count an answer, and whether it has fewer products than expected."""
    _answers(placement, result.strategy, result.plan, result.fallback_used or "", market).inc()
    if len(result.items) < expected:
        metrics().short.inc()


def update_gauges(live: "LiveRecommender", market: str, markets: Iterable[str]) -> None:
    """Set the gauges of the bundle in service; and of problems, where it is not that of a market."""
    manifest, gauges = live.recommender.manifest, metrics()
    recall = manifest.metrics.get("recall", {}).get("recall")
    if recall is not None:
        gauges.recall.labels(market).set(recall)
    gauges.published.labels(market).set(datetime.fromisoformat(manifest.created_at).timestamp())
    for concern in () if market else (*CONCERNS, *map(task_of, markets)):
        gauges.problems.labels(concern).set(concern in live.problems)


def exposition() -> bytes:
    """Return the metrics of all workers in Prometheus' text format."""
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry: CollectorRegistry = REGISTRY
    if folder := os.environ.get(FOLDER):
        _remove_dead_workers(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return bytes(generate_latest(registry))


def _remove_dead_workers(folder: Path) -> None:
    """Remove the gauges of workers that have ended."""
    for file in folder.glob("gauge_livemax_*.db"):
        try:
            os.kill(int(file.stem.rpartition("_")[2]), 0)  # signal 0 only tests whether the process exists
        except (ProcessLookupError, PermissionError):  # there is none, or another user's by now
            file.unlink(missing_ok=True)
