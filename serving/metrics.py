"""What the service counts: for Prometheus, summed over its worker processes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from serving.tracing import span

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

    from recommender.ranking.results import Recommendations
    from serving.hot_reload import Engine

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_among_workers() -> Iterator[None]:
    """Let the workers that are started inside count together; to be entered before the first import."""
    with tempfile.TemporaryDirectory(prefix="recommender-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


class Metrics:
    """All counters; made when the first is needed, since where they are kept is decided then."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        buckets = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
        self.requests = Histogram(
            "recommender_request_seconds", "Requests by route and status", ["route", "status"], buckets=buckets
        )
        self.stages = Histogram(
            "recommender_stage_seconds", "Parts of a request: history, search, encode", ["stage"], buckets=buckets
        )
        self.answers = Counter("recommender_answers", "Answers", ["placement", "strategy", "plan", "fallback"])
        self.short = Counter("recommender_short_lists", "Answers with fewer products than could be; must stay 0")
        self.events = Counter("recommender_events", "Events received", ["event_name", "status"])
        self.refused = Counter("recommender_refused", "Requests refused for their key or their rate", ["why"])
        self.recall = Gauge(
            "recommender_bundle_recall", "Recall measured at the build", multiprocess_mode="mostrecent"
        )
        self.published = Gauge(
            "recommender_bundle_published_seconds", "When it was published", multiprocess_mode="mostrecent"
        )
        self.problems = Gauge(
            "recommender_problems",
            "Whether something is wrong, see /healthz/ready",
            ["concern"],
            multiprocess_mode="livemax",
        )


@cache
def metrics() -> Metrics:
    """Return the counters of this process."""
    return Metrics()


@cache
def requests(route: str, status: int) -> "Histogram":
    """Return the requests of one kind."""
    return metrics().requests.labels(route, status)


@cache
def _stages(name: str) -> "Histogram":
    return metrics().stages.labels(name)


@cache
def _answers(placement: str, strategy: str, plan: str, fallback: str) -> "Counter":
    return metrics().answers.labels(placement, strategy, plan, fallback)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time a part of a request."""
    start = perf_counter()
    with span(name):
        yield
    _stages(name).observe(perf_counter() - start)


def answered(placement: str, found: "Recommendations", wanted: int) -> None:
    """Count an answer."""
    _answers(placement, found.strategy, found.plan, found.fallback_used or "").inc()
    if len(found) < wanted:
        metrics().short.inc()


def watch(engine: "Engine") -> None:
    """Tell of the bundle in service, and of problems."""
    manifest = engine.recommender.manifest
    told = metrics()
    measured = manifest.metrics.get("recall", {}).get("recall")
    if measured is not None:
        told.recall.set(measured)
    told.published.set(datetime.fromisoformat(manifest.created_at).timestamp())
    for concern in ("bundle", "experiment", "store", "events"):
        told.problems.labels(concern).set(concern in engine.problems)


def exposition() -> bytes:
    """Return the metrics of all workers in Prometheus' text format."""
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry: CollectorRegistry = REGISTRY
    if folder := os.environ.get(FOLDER):
        _forget_the_dead(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return bytes(generate_latest(registry))


def _forget_the_dead(folder: Path) -> None:
    """Let go of what was wrong with workers that are gone."""
    for file in folder.glob("gauge_livemax_*.db"):
        try:
            os.kill(int(file.stem.rpartition("_")[2]), 0)  # asks whether there is such a process, no more
        except (ProcessLookupError, PermissionError):  # none, or somebody else's by now
            file.unlink(missing_ok=True)
