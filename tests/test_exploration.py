"""Exploration: propensities are the true probabilities, and explored products obey every rule."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recommender
from recommender.commands.benchmarks.protocols.exploration import measure
from recommender.ranking.exploration import (
    Exploration,
    draw,
    inclusion_probabilities,
    softmax_with_floor,
    systematic_sample,
)
from recommender.ranking.request import Request
from recommender.recommender import Recommender
from recommender.stores import Store

SCORES = st.lists(st.floats(-5, 5), min_size=0, max_size=30)


@pytest.fixture(scope="module")
def rec(demo_bundles: object) -> Recommender:
    return recommender.load(demo_bundles)


def seeds(count: int) -> list[bytes]:
    return [number.to_bytes(5, "big") for number in range(count)]


@given(scores=SCORES, count=st.integers(0, 12), share=st.floats(0.01, 1), seed=st.binary(min_size=5, max_size=5))
def test_propensities_of_a_position_sum_to_one(scores: list[float], count: int, share: float, seed: bytes) -> None:
    drawn = draw(np.array(scores), np.arange(count, dtype=np.int32), Exploration(share, seed))
    if count:
        assert drawn.propensities.sum() + drawn.own + (count - 1) * drawn.other == pytest.approx(1)
        assert drawn.own >= drawn.other >= 0
        explored = min(share * count, len(scores))
        assert drawn.propensities.sum() == pytest.approx(explored / count)
        assert sorted(drawn.order.tolist()) == [*range(count)]
        assert explored - 1 < len(drawn.chosen) < explored + 1
    assert len({*drawn.chosen.tolist()}) == len({*drawn.positions.tolist()}) == len(drawn.chosen)
    assert (drawn.propensities[drawn.chosen] > 0).all()


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=20), st.floats(0.01, 25))
def test_inclusion_probabilities_sum_to_the_total(shares: list[float], total: float) -> None:
    found = inclusion_probabilities(np.array(shares), total)
    assert found.sum() == pytest.approx(min(total, len(shares)))
    assert (found > 0).all()
    assert (found <= 1 + 1e-12).all()
    free = found < 1 - 1e-9
    assert np.allclose(found[free] * np.array(shares)[free].sum(), np.array(shares)[free] * found[free].sum())


def test_a_better_score_is_drawn_more_often_and_none_never() -> None:
    shares = softmax_with_floor(np.array([3.0, 1.0, 1.0, -50.0]))
    assert shares[0] > shares[1] == shares[2] > shares[3] >= 0.2 / 4


def test_systematic_samples_have_their_probabilities() -> None:
    inclusion = np.array([0.9, 0.5, 0.05, 0.3, 0.65, 1.0])
    rng = np.random.default_rng(0)
    counts = np.zeros(6)
    for _ in range(4000):
        sample = systematic_sample(inclusion, rng)
        assert len(sample) in (3, 4)
        counts[sample] += 1
    assert np.allclose(counts / 4000, inclusion, atol=4 * 0.5 / 4000**0.5)


def test_products_are_shown_as_often_as_their_propensities_say(rec: Recommender) -> None:
    draws, k = 1500, 5
    shown: dict[tuple[int, str], int] = {}
    propensity: dict[tuple[int, str], float] = {}
    for seed in seeds(draws):
        request = Request(strategy="popular", k=k, exploration=Exploration(0.5, seed))
        for item in rec.run(request):
            key = item.rank, item.item_id
            shown[key] = shown.get(key, 0) + 1
            assert propensity.setdefault(key, item.propensity or 0) == item.propensity
    statistic, cells = 0.0, 0
    for rank in range(1, k + 1):
        of_rank = {key: chance for key, chance in propensity.items() if key[0] == rank}
        assert sum(of_rank.values()) == pytest.approx(1, abs=0.02)  # what was never drawn is missing
        for key, chance in of_rank.items():
            statistic += (shown[key] - draws * chance) ** 2 / (draws * chance)
            cells += 1
    # chi-square of about `cells - k` degrees of freedom: mean plus five standard deviations
    assert statistic < cells - k + 5 * (2 * (cells - k)) ** 0.5
    wrong = sum((shown[key] - draws / len(shown) * k) ** 2 / (draws / len(shown) * k) for key in shown)
    assert wrong > 10 * cells  # of even propensities it would be large


def test_a_seed_draws_the_same_list_again(rec: Recommender) -> None:
    lists = [
        [
            rec.run(Request(strategy="popular", k=8, exploration=Exploration(0.4, seed))).to_dict()
            for seed in seeds(5)
        ]
        for _ in range(2)
    ]
    assert lists[0] == lists[1]
    assert lists[0][0] != lists[0][1]


def test_explored_products_obey_the_rules(demo_bundles: object, store: Store) -> None:
    rec = recommender.load(demo_bundles, store.overlay)
    ranked = rec.recommend(k=70, strategy="popular").item_ids
    removed, hidden, pinned = ranked[7], ranked[9], ranked[11]
    store.overlay.put({removed: {"availability": "out_of_stock"}})
    rules = {"filter": "price > 12", "exclude": [hidden], "pin": {2: pinned}}
    plain = rec.run(Request(strategy="popular", k=6, **rules))
    seen: set[str] = set()
    for seed in seeds(80):
        request = Request(strategy="popular", k=6, exploration=Exploration(0.6, seed), explain=True, **rules)
        answer = rec.run(request)
        products = [rec.product(item_id) for item_id in answer.item_ids]
        groups = [product["item_group_id"] or product["id"] for product in products]
        assert len(groups) == len({*groups}) == 6
        assert all(product["price"] > 12 for product in products)
        assert not {removed, hidden} & {*answer.item_ids}
        assert answer.item_ids[1] == plain.item_ids[1]
        assert answer[1].propensity == 1 or plain.item_ids[1] != pinned
        for item in answer:
            assert item.explored == (item.item_id not in plain.item_ids)
            assert (item.reasons[0].code == "explored") == item.explored
            assert sum((item.parts or {}).values()) == pytest.approx(item.score)
        seen.update(item.item_id for item in answer if item.explored)
    assert len(seen) > 10


def test_demoted_products_are_not_drawn(rec: Recommender) -> None:
    boost: Any = [{"when": "price < 30", "add": -100.0}]
    cheap = {*rec.recommend(k=100, strategy="popular", filter="price < 30", variants="all").item_ids}
    drawn: set[str] = set()
    for seed in seeds(60):
        answer = rec.run(Request(strategy="popular", k=6, boost=boost, exploration=Exploration(0.5, seed)))
        drawn.update(item.item_id for item in answer if item.explored)
    assert len(drawn) > 5
    assert not drawn & cheap


def test_where_nothing_else_is_eligible_nothing_is_explored(rec: Recommender) -> None:
    ids = [*dict.fromkeys(rec.recommend(k=4, strategy="popular").item_ids)]
    request = Request(
        strategy="popular", k=9, filter={"must": [{"ids": ids}]}, exploration=Exploration(1.0, b"abcde")
    )
    answer = rec.run(request)
    assert {*answer.item_ids} == {*ids}
    assert all(item.propensity == pytest.approx(1 / 4) for item in answer)  # shuffled always


def test_a_batch_explores_alike(rec: Recommender) -> None:
    requests = [Request(strategy="popular", k=6, exploration=Exploration(0.5, seed)) for seed in seeds(4)]
    table = rec.run_many(requests)
    for position, request in enumerate(requests):
        assert table.item_ids[position].tolist() == rec.run(request).item_ids


@pytest.mark.slow
def test_softmax_finds_the_best_new_products_as_thompson_does() -> None:
    ways = measure(runs=3)["ways"]
    assert ways["none"]["found"] < 0.5 * ways["softmax"]["found"]
    assert ways["softmax"]["found"] > 0.8 * ways["Thompson"]["found"]
