"""Orders and what they are credited to: the SQL of every store against a plain count, and rules by small cases."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

# ruff: noqa: F811  # fixtures
from recommender.events import Event
from recommender.stores import Store
from recommender.stores.attribution import DRAWN, Attribution
from serving.order_report import DIMENSIONS, attributed, shop_totals
from tests.order_events import KEY, START, counted_plainly, simulated
from tests.test_stores import postgres, store, url  # noqa: F401

HOME, PDP = Attribution("g1", "home", "for_you", "a"), Attribution("g1", "pdp", "similar")
CLICK_DAYS, VIEW_DAYS = 7, 1


def event(name: str, hours: float, rec: str = "", **more: Any) -> Event:
    values = {"user_id": "u", "event_id": f"{name}{hours}", "recommendation_id": rec, **more}
    return Event(values.pop("item_id", "A"), name, START + timedelta(hours=hours), **values)


def sold(store: Store, *by: str, start: datetime = START, days: int = 30) -> list[dict[str, Any]]:
    lines = store.events.orders(start, start + timedelta(days=days), max(CLICK_DAYS, VIEW_DAYS))
    return attributed(lines, by, CLICK_DAYS, VIEW_DAYS)


def check_against_a_plain_count(store: Store, n: int) -> None:
    events, counted = simulated(n)
    for at in range(0, len(events), 5000):
        batch = slice(at, at + 5000)
        store.events.add(events[batch], counted[batch])
        store.events.add(events[batch][::7], counted[batch][::7])  # sent twice
    start, end = START + timedelta(days=8), START + timedelta(days=33)
    expected, shop = counted_plainly(events, counted, start, end, CLICK_DAYS, VIEW_DAYS)
    lines = store.events.orders(start, end, max(CLICK_DAYS, VIEW_DAYS))
    found = {
        tuple(line[name] for name in (*DIMENSIONS, "currency")): line
        for line in attributed(lines, DIMENSIONS, CLICK_DAYS, VIEW_DAYS)
    }
    assert len(expected) > 20
    assert found.keys() == expected.keys()
    for key, amounts in expected.items():
        assert {name: found[key][name] for name in ("orders", "users", "units")} == {
            name: amounts[name] for name in ("orders", "users", "units")
        }
        assert found[key]["revenue"] == pytest.approx(amounts["revenue"], abs=0.01)
    totals = {(line["currency"],): line for line in shop_totals(lines, CLICK_DAYS, VIEW_DAYS)}
    assert totals.keys() == shop.keys() == {("",), ("EUR",), ("USD",)}
    for key, amounts in shop.items():
        assert (totals[key]["orders"], totals[key]["users"]) == (amounts["orders"], amounts["users"])
        assert totals[key]["revenue"] == pytest.approx(amounts["revenue"], abs=0.01)


def test_orders_equal_a_plain_count(store: Store) -> None:
    check_against_a_plain_count(store, 2500)


@pytest.mark.slow
def test_orders_of_100_000_events_equal_a_plain_count(store: Store) -> None:
    check_against_a_plain_count(store, 50_000)  # each with one to three products


def test_a_click_goes_before_a_later_view_and_the_latest_counts(store: Store) -> None:
    first, second, seen = HOME.new_id(KEY), PDP.new_id(KEY), Attribution("g1", "cart", "cart").new_id(KEY)
    store.events.add(
        [event("select_item", 0, first), event("view_item", 1, second), event("view_item_list", 2, seen)]
    )
    store.events.add([event("purchase", 3, price=10.0, quantity=2.0, currency="EUR")])
    (line,) = sold(store, "placement", "strategy", "arm", "day")
    key = {"placement": "pdp", "strategy": "similar", "arm": "", "day": "2026-09-01", "currency": "EUR"}
    amounts = {"orders": 1, "units": 2.0, "revenue": 20.0, "average_order_value": 20.0, "users": 1}
    assert line == {**key, **amounts, "unpriced_units": 0.0}


@pytest.mark.parametrize(
    ("name", "hours", "credited"),
    [
        ("select_item", 7 * 24, True), ("select_item", 7 * 24 + 0.01, False), ("view_item_list", 24, True),
        ("view_item_list", 24.01, False), ("add_to_cart", 150, True), ("dismiss", 1, False), ("refund", 1, False),
        ("purchase", 1, True), ("view_item_list", -0.01, False),
    ],
)  # fmt: skip
def test_windows(store: Store, name: str, hours: float, credited: bool) -> None:
    touch = event(name, 200 - hours, HOME.new_id(KEY), transaction_id="t0" if name == "purchase" else None)
    store.events.add([touch, event("purchase", 200, transaction_id="t1")])
    lines = store.events.orders(START + timedelta(hours=200), START + timedelta(days=30), CLICK_DAYS)
    assert bool(attributed(lines, ("placement",), CLICK_DAYS, VIEW_DAYS)) is credited


def test_who_is_the_same_shopper(store: Store) -> None:
    rec = HOME.new_id(KEY)
    store.events.add([
        event("select_item", 0, rec, user_id="u1", session_id="s1", item_id="A"),
        event("select_item", 0, rec, user_id="", session_id="s2", item_id="B", event_id="b"),
        event("purchase", 1, user_id="u1", session_id="other", item_id="A", event_id="same user"),
        event("purchase", 1, user_id="", session_id="s1", item_id="A", event_id="same session"),
        event("purchase", 1, user_id="u9", session_id="s2", item_id="B", event_id="logged in since"),
        event("purchase", 1, user_id="u2", session_id="s1", item_id="A", event_id="another user of the session"),
        event("purchase", 1, user_id="u1", session_id="s1", item_id="C", event_id="another product"),
    ])  # fmt: skip
    lines = store.events.orders(START, START + timedelta(days=1), CLICK_DAYS)
    credited = {line.order_id for line in lines if line.credited_to(CLICK_DAYS, VIEW_DAYS)}
    assert credited == {"same user", "same session", "logged in since"}


def test_a_transaction_counts_once_and_late_events_count(store: Store) -> None:
    rec = HOME.new_id(KEY)
    order = event("purchase", 5, price=10.0, transaction_id="t", event_id="browser")
    store.events.add([order])
    store.events.add([order, replace(order, event_id="server", timestamp=order.timestamp + timedelta(days=2))])
    assert sold(store, "day") == []
    store.events.add([event("select_item", 1, rec)])  # comes last, was first
    (line,) = sold(store, "day")
    assert (line["orders"], line["revenue"], line["day"]) == (1, 10.0, "2026-09-01")
    assert sold(store, "day", start=START + timedelta(days=1)) == []  # the later one is the same order


def test_refunds_subtract_no_more_than_was_bought(store: Store) -> None:
    rec = HOME.new_id(KEY)
    order = {"transaction_id": "t", "currency": "EUR"}
    store.events.add([event("select_item", 0, rec), event("purchase", 1, price=10.0, quantity=3.0, **order)])
    store.events.add([event("refund", 40 * 24, quantity=1.0, **order)])  # after the period of the report
    (line,) = sold(store, "placement")
    assert (line["orders"], line["units"], line["revenue"]) == (1, 2.0, 20.0)
    store.events.add([event("refund", 41 * 24, quantity=1.0, price=4.0, **order)])
    (line,) = sold(store, "placement")
    assert (line["units"], line["revenue"]) == (1.0, 16.0)
    store.events.add([event("refund", 42 * 24, quantity=9.0, **order)])
    assert sold(store, "placement") == []


def test_a_refund_without_a_transaction_is_of_the_latest_order(store: Store) -> None:
    rec = HOME.new_id(KEY)
    store.events.add(
        [event("select_item", 0, rec), event("purchase", 1, price=10.0), event("purchase", 2, price=7.0)]
    )
    store.events.add([event("refund", 3, user_id="somebody"), event("refund", 4)])
    (line,) = sold(store, "placement")
    assert (line["orders"], line["revenue"]) == (1, 10.0)


def test_currencies_are_never_added_up(store: Store) -> None:
    rec = HOME.new_id(KEY)
    store.events.add([event("select_item", 0, rec)])
    store.events.add([
        event("purchase", n, price=10.0, currency=currency) for n, currency in enumerate(["EUR", "USD", None], 1)
    ])  # fmt: skip
    assert [(line["currency"], line["revenue"]) for line in sold(store)] == [
        ("", 10.0),
        ("EUR", 10.0),
        ("USD", 10.0),
    ]


def test_drawn_arms_and_foreign_ids_are_credited_with_nothing(store: Store) -> None:
    drawn = Attribution("g1", "home", "for_you", DRAWN).new_id(KEY)
    ids = [HOME.new_id(KEY), drawn, "a-foreign-id-that-is-long", "a~b~c~d", "~"]
    store.events.add([event("select_item", n, rec) for n, rec in enumerate(ids)])
    store.events.add([event("purchase", 9, price=1.0)])
    assert [line["placement"] for line in sold(store, "placement")] == ["home"]


def test_an_order_with_products_of_two_placements_counts_in_both_and_once_in_all(store: Store) -> None:
    store.events.add([
        event("select_item", 0, HOME.new_id(KEY)),
        event("select_item", 0, PDP.new_id(KEY), item_id="B", event_id="b"),
    ])  # fmt: skip
    order = [event("purchase", 1, item_id=item, event_id="o", price=5.0) for item in "AB"]
    store.events.add(order)
    assert [line["orders"] for line in sold(store, "placement")] == [1, 1]
    assert [(line["orders"], line["average_order_value"]) for line in sold(store)] == [(1, 10.0)]
