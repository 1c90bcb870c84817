"""How fast a bundle answers, measured where it is opened."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from recommender.recommender import Recommender

T = TypeVar("T")
ASKED = 200
K = 10


def latency(recommender: "Recommender", seed: int = 0) -> dict[str, dict[str, float]]:
    """Time questions about products drawn at random, one by one and together, in one thread.

    Returns
    -------
    dict
        "similar" and "for a user" to the ``p50`` and ``p95`` of an answer of ten in milliseconds, and the answers
        ``per second`` when many are asked at once.
    """
    generator = np.random.default_rng(seed)
    ids: list[list[str]] = generator.choice(np.array(recommender.ids, object), (ASKED, 3)).tolist()
    firsts = [line[0] for line in ids]
    recommender.similar(firsts[0], K)  # maps the files
    recommender.recommend(ids[0], K)
    return {
        "similar": _timed(lambda one: recommender.similar(one, K), firsts)
        | _rate(lambda: recommender.similar_many(firsts, K)),
        "for a user": _timed(lambda line: recommender.recommend(line, K), ids)
        | _rate(lambda: recommender.recommend_many(ids, K)),
    }


def _timed(ask: Callable[[T], object], questions: Sequence[T]) -> dict[str, float]:
    seconds = []
    for question in questions:
        started = perf_counter()
        ask(question)
        seconds.append(perf_counter() - started)
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1e3
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def _rate(ask: Callable[[], object]) -> dict[str, float]:
    started = perf_counter()
    ask()
    return {"per second": round(ASKED / (perf_counter() - started))}
