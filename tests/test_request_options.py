"""Options of a request beside its seeds: stock, boosts, diversity, pins; and orders other than similarity."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recommender
from recommender.errors import RequestError, UnknownItemError
from recommender.recommender import Recommender
from recommender.stores import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def rec(demo_bundles: Path, store: Store) -> Recommender:
    return recommender.load(demo_bundles, store.overlay)


def values(rec: Recommender, ids: list[str], name: str) -> list[Any]:
    return [rec.product(item_id)[name] for item_id in ids]


# Stock


def test_out_of_stock_items_are_excluded_unless_requested(rec: Recommender, store: Store) -> None:
    seed = rec.ids[0]
    removed, *rest = rec.similar(seed, 5, variants="all").item_ids
    store.overlay.put({removed: {"availability": "out_of_stock"}})
    assert removed not in rec.similar(seed, 100, variants="all").item_ids
    assert removed not in rec.recommend(k=100, strategy="popular", variants="all").item_ids
    assert removed not in rec.recommend([seed], 100, filter="price > 0", variants="all").item_ids
    assert rec.similar(seed, 4, variants="all").item_ids == rest
    assert removed in rec.similar(seed, 5, variants="all", stock="all").item_ids
    listed = 'availability: ANY("out_of_stock", "in_stock")'
    assert removed in rec.recommend(k=100, strategy="popular", filter=listed, variants="all").item_ids
    store.overlay.put({removed: {"availability": "in_stock"}})
    assert rec.similar(seed, 5, variants="all").item_ids[0] == removed


def test_a_removed_product_is_never_recommended(rec: Recommender, store: Store) -> None:
    seed = rec.ids[0]
    removed = rec.similar(seed, 1, variants="all").item_ids[0]
    store.overlay.put({removed: None})
    assert removed not in rec.similar(seed, 100, variants="all", stock="all").item_ids
    assert removed not in rec.recommend(k=100, strategy="popular", filter="price > 0", variants="all").item_ids
    with pytest.raises(UnknownItemError):
        rec.product(removed)
    store.overlay.put({removed: {"price": 5.0}})
    assert removed in rec.similar(seed, 5, variants="all", stock="all").item_ids


def test_lists_are_full_with_little_stock(rec: Recommender, store: Store) -> None:
    left = rec.ids[-7:]
    store.overlay.put({item_id: {"availability": "out_of_stock"} for item_id in rec.ids if item_id not in left})
    answer = rec.similar(rec.ids[0], 50, variants="all")
    assert sorted(answer.item_ids) == left
    assert answer.eligible == 7


# Boosts


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, 79),
    boosts=st.lists(
        st.tuples(
            st.sampled_from(["price < 20", 'brand: ANY("Nara")', "price > 1000000"]),
            st.sampled_from([-0.5, 0.05, 3.0]),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_a_boost_adds_to_the_score_and_is_explained(rec: Recommender, place: int, boosts: list[Any]) -> None:
    seed = rec.ids[place % rec.n]
    rules = [{"when": when, "add": add} for when, add in boosts]
    plain = {item.item_id: item.score for item in rec.similar(seed, 100, variants="all")}
    meets = {
        when: set(rec.recommend(k=100, strategy="popular", filter=when, variants="all").item_ids)
        for when, _ in boosts
    }
    expected = {i: s + sum(add for when, add in boosts if i in meets[when]) for i, s in plain.items()}
    answer = rec.similar(seed, 100, variants="all", boost=rules, explain=True)
    assert {item.item_id: item.score for item in answer} == pytest.approx(expected, abs=1e-9)
    assert [item.score for item in answer] == sorted((item.score for item in answer), reverse=True)
    for item in answer:
        assert sum((item.parts or {}).values()) == pytest.approx(item.score, abs=1e-9)
        assert (item.parts or {})["boost"] == pytest.approx(item.score - plain[item.item_id], abs=1e-9)
    if answer[0].parts and answer[0].parts["boost"] >= 3:
        assert answer[0].reasons[0].code == "promoted"


# Diversity and pins


def test_max_per_holds_where_possible(rec: Recommender) -> None:
    answer = rec.recommend(k=12, strategy="popular", diversity={"max_per": {"brand": 2}})
    assert len(answer) == 12
    assert max(Counter(values(rec, answer.item_ids, "brand")).values()) == 2
    assert answer.warnings == ()


def test_max_per_is_relaxed_rather_than_shorten_the_list(rec: Recommender) -> None:
    answer = rec.recommend(
        k=12, strategy="popular", filter='brand: ANY("Nara", "Kestrel")', diversity={"max_per": {"brand": 1}}
    )
    assert len(answer) == min(12, answer.eligible)
    assert set(values(rec, answer.item_ids[:2], "brand")) == {"Nara", "Kestrel"}
    assert "max_per" in answer.warnings[0]


def test_diversity_makes_a_list_more_varied(rec: Recommender) -> None:
    def similarity(ids: list[str]) -> float:
        vectors = rec.segment.vectors[[rec.attributes.row_of(item_id) for item_id in ids]].astype(float)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return float((vectors @ vectors.T).mean())

    plain, varied = rec.similar(rec.ids[3], 8), rec.similar(rec.ids[3], 8, diversity={"mmr": 0.7})
    assert varied.item_ids[0] == plain.item_ids[0]
    assert similarity(varied.item_ids) < similarity(plain.item_ids)


def test_an_unknown_field_of_max_per_is_named(rec: Recommender) -> None:
    with pytest.raises(RequestError, match="brand") as caught:
        rec.recommend(strategy="popular", diversity={"max_per": {"brend": 1}})
    assert caught.value.pointer == "/diversity/max_per/brend"


def test_eligible_pins_have_their_rank(rec: Recommender) -> None:
    seed = rec.ids[0]
    plain = rec.similar(seed, 100, variants="all").item_ids
    last, other = plain[-1], plain[-2]
    answer = rec.similar(seed, 6, variants="all", pin={3: last, 1: other, 50: plain[0]}, explain=True)
    assert answer.item_ids == [other, plain[0], last, *plain[1:4]]
    assert answer[2].reasons[0].code == "promoted"
    assert sum((answer[2].parts or {}).values()) == pytest.approx(answer[2].score)
    assert [item.rank for item in answer] == [1, 2, 3, 4, 5, 6]
    pinned = rec.similar(seed, 6, variants="all", pin={1: last, 2: seed, 3: "nowhere"}, exclude=[last])
    assert pinned.item_ids == plain[:6]
    all_pinned = rec.similar(seed, 1, pin={1: last})
    assert all_pinned.item_ids == [last]


# Orders


def test_the_newest_come_first(rec: Recommender) -> None:
    answer = rec.recommend(k=80, strategy="new", variants="all", explain=True)
    dates = values(rec, answer.item_ids, "published_at")
    assert dates == sorted(dates, reverse=True)
    assert answer.strategy == "new"
    assert answer[0].reasons[0].code == "new_item"


def test_trending_ranks_by_the_given_weights(rec: Recommender) -> None:
    trending = [(rec.ids[5], 0.5), (rec.ids[6], 1.0), (rec.ids[7], 0.25), ("unknown", 9.0)]
    answer = rec.recommend(
        k=3, strategy="trending", trending=trending, variants="all", explain=True, exclude=[rec.ids[5]]
    )
    assert answer.item_ids[:2] == [rec.ids[6], rec.ids[7]]
    assert answer[0].reasons[0].code == "trending"


def test_recently_viewed_lists_the_viewed_products_alone(rec: Recommender) -> None:
    answer = rec.recommend([rec.ids[5], rec.ids[7], rec.ids[6]], 10, strategy="recently_viewed", variants="all")
    assert answer.item_ids == [rec.ids[6], rec.ids[7], rec.ids[5]]


def test_complementary_ranks_co_occurring_items_first(rec: Recommender) -> None:
    for seed in rec.ids[:20]:
        answer = rec.recommend([seed], 15, strategy="complementary", variants="all", stock="all", explain=True)
        row = rec.attributes.row_of(seed)
        together = {
            rec.attributes.id_of(r): float(v) for r, v in zip(*rec.segment.complements.row(row), strict=True)
        }
        together.pop(seed, None)
        assert len(answer) == 15
        strongest = sorted(together.values(), reverse=True)[:5]
        assert [(item.parts or {})["cooccurrence"] for item in answer[: len(strongest)]] == pytest.approx(
            strongest, abs=5e-3
        )


def test_history_weights_scale_the_seeds(rec: Recommender) -> None:
    first, second = rec.ids[0], rec.ids[40]
    alone = rec.recommend([first], 10, exclude_history=False, variants="all", history_weights=[1.0])
    both = rec.recommend([first, second], 10, exclude_history=False, variants="all", history_weights=[1.0, 0.0])
    assert both.item_ids == alone.item_ids


# Why, and why not


def test_why_not_gives_the_rank_or_the_reason(rec: Recommender, store: Store) -> None:
    seed = rec.ids[0]
    ranked = rec.similar(seed, 100, variants="all").item_ids
    store.overlay.put({ranked[3]: {"availability": "out_of_stock"}, ranked[4]: None, "fresh": {"price": 3}})
    ids = [ranked[0], ranked[3], ranked[4], seed, "fresh", "nowhere", ranked[1]]
    placed = rec.explain(ids, [seed], exclude=[ranked[1]])
    left_out = {one.item_id: one.left_out for one in placed}
    assert left_out == {
        ranked[0]: (),
        ranked[3]: ("out_of_stock",),
        ranked[4]: ("removed",),
        seed: ("excluded",),
        "fresh": ("not_embedded_yet",),
        "nowhere": ("unknown",),
        ranked[1]: ("excluded",),
    }
    assert placed[0].recommendation is not None
    assert placed[0].recommendation.rank == 1
    price = rec.product(ranked[0])["price"]
    (filtered,) = rec.explain([ranked[0]], [seed], filter=f'price > {price} AND brand: ANY("x")')
    assert (filtered.left_out, filtered.failed) == (("filter",), ("brand", "price"))
