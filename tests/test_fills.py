"""Positions that are filled from a collection, against a plain reading of the fills one after the other."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recommender
from recommender.filters import SharedFilter, parse
from recommender.filters.conditions import IdIn
from recommender.ranking.request import Boost, Fill, Request, SharedBoosts
from recommender.recommender import Recommender
from recommender.stores import Store


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


def filled(rec: Recommender, request: Request, lists: list[list[str]]) -> list[str]:
    """Read fills aloud: each takes its ids in order, then the rest follow by score."""
    variants = {item_id: rec.product(item_id)["item_group_id"] or item_id for item_id in rec.ids}
    eligible = [*rec.similar(request.items[0], rec.n, variants="all").item_ids]
    at = {position: item_id for position, item_id in (request.pin or {}).items() if item_id in eligible}
    at = {position: item_id for position, item_id in at.items() if position <= request.k}
    taken = {variants[item_id] for item_id in at.values()}
    for fill, ids in zip(request.fill, lists, strict=True):
        free = [p for p in range(fill.position, min(fill.position + fill.count - 1, request.k) + 1) if p not in at]
        for item_id in ids:
            if free and item_id in eligible and variants[item_id] not in taken:
                at[free.pop(0)] = item_id
                taken.add(variants[item_id])
    rest = []
    for item_id in eligible:
        if variants[item_id] not in taken:
            taken.add(variants[item_id])
            rest.append(item_id)
    shown = [at[p] if p in at else (rest.pop(0) if rest else None) for p in range(1, request.k + 1)]
    return [item_id for item_id in shown if item_id is not None]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_fills_equal_a_plain_reading_of_them(rec: Recommender, data: st.DataObject) -> None:
    ids = st.sampled_from(rec.ids)
    lists = data.draw(st.lists(st.lists(st.one_of(ids, st.just("unknown")), max_size=5, unique=True), max_size=3))
    fills = [
        Fill(IdIn(tuple(each)), data.draw(st.integers(1, 8)), data.draw(st.integers(1, 6)), tuple(each))
        for each in lists
    ]
    fills = [fill for fill in fills if fill.order]
    pins = data.draw(st.dictionaries(st.integers(1, 8), ids, max_size=2))
    pins = {position: item_id for position, item_id in pins.items() if [*pins.values()].count(item_id) == 1}
    groups = [rec.product(item_id)["item_group_id"] or item_id for item_id in pins.values()]
    pins = pins if len(set(groups)) == len(groups) else {}
    requests = [Request(items=(data.draw(ids),), k=8, fill=fills, pin=pins) for _ in range(2)]
    expected = [filled(rec, request, [each for each in lists if each]) for request in requests]
    assert [[*rec.run(request).item_ids] for request in requests] == expected
    table = rec.run_many(requests)
    assert [[*row] for row in table.item_ids] == expected


def test_a_fill_by_a_filter_takes_the_best_that_match(rec: Recommender) -> None:
    seed = rec.ids[0]
    cheap = parse("price < 25")
    best = [*rec.similar(seed, 3, filter="price < 25").item_ids]
    shown = [*rec.run(Request(items=(seed,), k=6, fill=[Fill(SharedFilter(cheap), 2, 3)])).item_ids]
    assert shown[1:4] == best
    assert len({*shown}) == 6


def test_shared_boosts_follow_live_changes(demo_bundles: Path, store: Store) -> None:
    rec = recommender.load(demo_bundles, store.overlay)
    seed = rec.ids[0]
    boosts: Any = [Boost(parse("price > 500"), 50.0), Boost(parse('brand = "none"'), 1.0)]
    shared = Request(items=(seed,), k=3, boost=[SharedBoosts(tuple(boosts))])
    plain = Request(items=(seed,), k=3, boost=boosts)
    before = rec.run(shared).item_ids
    assert before == rec.run(plain).item_ids == rec.similar(seed, 3).item_ids
    dear = rec.similar(seed, 20).item_ids[-1]
    store.overlay.put({dear: {"price": 900.0}})
    assert rec.run(shared).item_ids == rec.run(plain).item_ids == [dear, *before[:2]]
