"""Measure latency and throughput of a bundle on this machine."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from recommender.recommender import Recommender

T = TypeVar("T")
REQUESTS = 200
K = 10


@dataclass(frozen=True)
class Latency:
    """Latency of single requests, and throughput of one batch.

    Attributes
    ----------
    p50_ms, p95_ms
        Quantiles in milliseconds.
    requests_per_second
        Of one batched call.
    """

    p50_ms: float
    p95_ms: float
    requests_per_second: float


@dataclass(frozen=True)
class LatencyReport:
    """Latency by kind of request.

    Attributes
    ----------
    similar, recommend
        Similar items of a product, and recommendations for a history of three products.
    """

    similar: Latency
    recommend: Latency

    def to_dict(self) -> dict[str, Any]:
        """Return kind of request to the fields of its `Latency`."""
        return asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per kind of request."""
        return pd.DataFrame.from_dict(self.to_dict(), orient="index")

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html())


def latency(recommender: "Recommender", seed: int = 0) -> LatencyReport:
    """Time requests of ten items for random products, one by one and in a batch, in one thread.

    Parameters
    ----------
    recommender
        To be measured.
    seed
        Of the products drawn.
    """
    generator = np.random.default_rng(seed)
    histories: list[list[str]] = generator.choice(np.array(recommender.ids, object), (REQUESTS, 3)).tolist()
    seeds = [history[0] for history in histories]
    recommender.similar(seeds[0], K)  # warm up: map the files
    recommender.recommend(histories[0], K)
    return LatencyReport(
        _measure(
            lambda item_id: recommender.similar(item_id, K), lambda: recommender.similar_many(seeds, K), seeds
        ),
        _measure(
            lambda history: recommender.recommend(history, K),
            lambda: recommender.recommend_many(histories, K),
            histories,
        ),
    )


def _measure(single: Callable[[T], object], batch: Callable[[], object], requests: Sequence[T]) -> Latency:
    seconds = []
    for request in requests:
        started = perf_counter()
        single(request)
        seconds.append(perf_counter() - started)
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1e3
    started = perf_counter()
    batch()
    return Latency(round(float(p50), 2), round(float(p95), 2), round(len(requests) / (perf_counter() - started)))
