"""Re-rankers: the conformance suite on every module of the folder, and what each of them is for."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.errors import RequestError
from recommender.ranking.rerankers import Pool, create, names
from recommender.testing import check_reranker

EXAMPLES: dict[str, list[Any]] = {"mmr": [0, 0.3, 1], "max_per": [{}, {"brand": 1}, {"brand": 2, "color": 1}]}


def pool(scores: list[float], angles: list[float], values: dict[str, list[Any]] | None = None) -> Pool:
    turned = np.array(angles)
    vectors = np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)
    return Pool(np.arange(len(scores), dtype=np.int32), np.array(scores), vectors, (values or {}).__getitem__)


@pytest.mark.parametrize("name", names())
def test_every_reranker_conforms(name: str) -> None:
    assert EXAMPLES[name], f"give {name} settings to be tested with"
    for value in EXAMPLES[name]:
        (reranker,) = create({name: value})
        check_reranker(reranker)


def test_mmr_prefers_dissimilar_items() -> None:
    twins = pool([1.0, 0.99, 0.9], [0.0, 0.01, 1.5])
    assert create({"mmr": 0.0})[0].order(twins, 3).positions == [0, 1, 2]
    assert create({"mmr": 0.6})[0].order(twins, 3).positions == [0, 2, 1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 6)), min_size=1, max_size=12),
    st.sampled_from([0.2, 0.5, 0.9]),
)
def test_mmr_follows_the_formula(products: list[tuple[float, float]], strength: float) -> None:
    products.sort(reverse=True)
    given_pool = pool(*map(list, zip(*products, strict=True)))
    order = create({"mmr": strength})[0].order(given_pool, len(products)).positions
    scores = given_pool.scores
    relevance = (scores - scores.min()) / max(np.ptp(scores), 1e-12)
    similarity = given_pool.vectors @ given_pool.vectors.T
    chosen: list[int] = []
    for place in order:
        left = [other for other in range(len(products)) if other not in chosen]
        worth = {
            other: (1 - strength) * relevance[other] - (strength * max(similarity[other, chosen]) if chosen else 0)
            for other in left
        }
        assert worth[place] >= max(worth.values()) - 1e-5
        chosen.append(place)


def test_max_per_holds_and_reports_how_far() -> None:
    kinds = {"brand": ["a", "a", "b", None, "a"], "tags": [["x"], ["y"], ["x", "z"], None, ["w"]]}
    many = pool([5, 4, 3, 2, 1], [0.0] * 5, kinds)
    assert create({"max_per": {"brand": 1}})[0].order(many, 5) == ([0, 2, 3, 1, 4], 3)
    assert create({"max_per": {"brand": 2, "tags": 1}})[0].order(many, 5) == ([0, 1, 3, 2, 4], 3)


@pytest.mark.parametrize(
    ("diversity", "pointer", "suggestion"),
    [
        ({"mrr": 0.3}, "/diversity/mrr", "mmr"),
        ({"mmr": 1.5}, "/diversity/mmr", None),
        ({"mmr": True}, "/diversity/mmr", None),
        ({"max_per": 3}, "/diversity/max_per", None),
        ({"max_per": {"brand": 0}}, "/diversity/max_per/brand", None),
    ],
)
def test_invalid_values_are_named(diversity: dict[str, Any], pointer: str, suggestion: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        create(diversity)
    assert (caught.value.pointer, caught.value.suggestion) == (pointer, suggestion)
