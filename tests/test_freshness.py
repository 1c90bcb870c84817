"""A floor of positions for new products: it holds where it can, breaks no rule, and says where it cannot."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recommender
from recommender.errors import RequestError
from recommender.ranking.request import Request
from recommender.recommender import Recommender
from recommender.stores import Store

NOW = datetime(2026, 6, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def rec(demo_bundles: object) -> Recommender:
    return recommender.load(demo_bundles)


def is_new(rec: Recommender, item_id: str, days: int) -> bool:
    moment = rec.product(item_id)["published_at"]
    return moment is not None and datetime.fromisoformat(moment) > NOW - timedelta(days=days)


def ask(rec: Recommender, **options: Any) -> Any:
    return rec.run(Request(**{"strategy": "popular", "now": NOW, **options}))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    k=st.integers(1, 12),
    places=st.integers(1, 8),
    days=st.sampled_from([25, 60, 120]),
    filter=st.sampled_from([None, "price < 40", "price < 15"]),
    pins=st.dictionaries(st.integers(1, 4), st.integers(0, 79), max_size=2),
)
def test_the_floor_holds_and_breaks_no_rule(
    rec: Recommender, k: int, places: int, days: int, filter: str | None, pins: dict[int, int]
) -> None:
    pinned = {position: rec.ids[row % rec.n] for position, row in pins.items()}
    pinned = dict(zip(pinned, dict.fromkeys(pinned.values()), strict=False))
    rules: dict[str, Any] = {"k": k, "filter": filter, "pin": pinned}
    plain, fresh = ask(rec, **rules), ask(rec, freshness={"days": days, "places": places}, **rules)
    assert len(fresh) == len(plain)
    groups = [rec.product(item_id)["item_group_id"] or item_id for item_id in fresh.item_ids]
    assert len(groups) == len({*groups})
    everything = ask(rec, k=100, filter=filter).item_ids
    assert {*fresh.item_ids} <= {*ask(rec, k=100, filter=filter, variants="all").item_ids}
    new = sum(is_new(rec, item_id, days) for item_id in fresh.item_ids)
    assert new >= sum(is_new(rec, item_id, days) for item_id in plain.item_ids)
    floor = [item_id for item_id in everything if is_new(rec, item_id, days)]
    if not pinned:
        assert new >= min(places, k, len(floor))
        assert [item.score for item in fresh] == sorted((item.score for item in fresh), reverse=True)
    assert bool(fresh.warnings) == (new < places)
    for position, item_id in pinned.items():
        if position <= len(plain) and plain.item_ids[position - 1] == item_id:
            assert fresh.item_ids[position - 1] == item_id


def test_the_best_new_products_take_the_last_positions(rec: Recommender) -> None:
    everything = ask(rec, k=100).item_ids
    new = [item_id for item_id in everything if is_new(rec, item_id, 60)]
    assert len(new) == 2
    k = next(position for position, item_id in enumerate(everything) if item_id == new[0])
    assert k > 2
    fresh = ask(rec, k=k, freshness={"days": 60, "places": 2}).item_ids
    assert fresh == [*everything[: k - 2], *new[:2]]


def test_fewer_new_products_are_told(rec: Recommender) -> None:
    answer = ask(rec, k=5, now=NOW + timedelta(days=900), freshness={"days": 30, "places": 2})
    assert answer.item_ids == ask(rec, k=5).item_ids
    assert "0 of 2 places have products under 30 days old" in answer.warnings[0]


def test_live_dates_count(demo_bundles: object, store: Store) -> None:
    rec = recommender.load(demo_bundles, store.overlay)
    last = ask(rec, k=100).item_ids[-1]
    assert last not in ask(rec, k=5, freshness={"days": 3, "places": 1}).item_ids
    store.overlay.put({last: {"published_at": (NOW - timedelta(days=1)).isoformat()}})
    assert ask(rec, k=5, freshness={"days": 3, "places": 1}).item_ids[-1] == last


@pytest.mark.parametrize("value", [{"days": 3}, {"days": 0, "places": 1}, {"days": 3, "places": True}, 7])
def test_wrong_values_are_refused(value: Any) -> None:
    with pytest.raises(RequestError, match=r"freshness is .*; expected such as"):
        Request(freshness=value)
