"""Returns, repeated transactions, ratings and amounts of events: what counts, and what is reported."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.catalog import Catalog, Interactions, read_events
from recommender.config import EventsConfig
from recommender.events import Event
from training.prior import PriorShape

CATALOG = Catalog.from_frame(pd.DataFrame({"id": ["a", "b", "c"]}))
EVENT = {"user_id": "u", "item_id": "a", "event_name": "purchase", "timestamp": "2026-01-01"}


def load(*events, **mapping):
    return Interactions.from_frame(pd.DataFrame([EVENT | event for event in events]), CATALOG, **mapping)


def popularity(found):
    return dict(zip(CATALOG.ids, PriorShape(30.0).fit(found, len(CATALOG))[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        ({"quantity": "-1"}, "negative quantity"),
        ({"price": "-9.90"}, "negative price"),
        ({"value": -9.9}, "negative value"),
        ({"event_name": "return"}, "return"),
        ({"event_name": "Order Cancelled"}, "return"),
        ({"event_name": "chargeback"}, "return"),
        ({"event_name": "refund", "quantity": "-1"}, None),
        ({"event_name": "refund"}, None),
    ],
)
def test_what_was_only_returned_is_not_popular(returned, kind):
    found = load({"item_id": "b"}, *[{"user_id": f"u{n}", **returned} for n in range(40)])
    assert popularity(found) == {"a": 0.0, "b": 1.0, "c": 0.0}
    assert (found.event_weights() > 0).sum() == 1
    assert found.report.counts == ({kind: 40} if kind else {})
    assert not found.report.errors


def test_a_name_of_the_shop_s_own_is_no_return():
    found = load({"event_name": "return"}, weights={"return": 2.0})
    assert found.event_weights().tolist() == [2.0]


def test_a_return_cancels_the_purchase_before_it():
    found = load(
        {"timestamp": "2026-01-01", "quantity": 1},
        {"timestamp": "2026-01-05", "quantity": -1},
        {"timestamp": "2026-01-09", "quantity": 1},  # bought again, and kept
        {"user_id": "v", "item_id": "a", "quantity": 1},  # somebody else's
        {"user_id": "v", "item_id": "b", "quantity": 10},
        {"user_id": "v", "item_id": "b", "quantity": -1},  # nine of them are kept
        {"user_id": "w", "event_name": "view_item"},
        {"user_id": "w", "event_name": "refund"},  # of an order before this file
    )
    bought = found.frame[found.frame["event_name"] == "purchase"]
    assert list(zip(bought["user_id"], bought["item_id"], bought["timestamp"].dt.day, strict=True)) == [
        ("u", "a", 9),
        ("v", "a", 1),
        ("v", "b", 1),
    ]
    assert found.report.counts == {"negative quantity": 2, "returned purchase": 1}


orders = st.lists(st.tuples(st.sampled_from("uv"), st.sampled_from("ab"), st.booleans()), max_size=30)


@given(orders)
def test_of_each_user_and_product_no_more_is_cancelled_than_was_returned(lines):
    events = [
        Event(item, "refund" if back else "purchase", pd.Timestamp(f"2026-01-01T00:{n:02}Z"), user)
        for n, (user, item, back) in enumerate(lines)
    ]
    frame = Interactions.from_events(events, CATALOG).frame
    for user in "uv":
        for item in "ab":
            held = 0
            for _, _, back in (line for line in lines if line[:2] == (user, item)):
                held = max(held - 1, 0) if back else held + 1
            left = (frame["user_id"] == user) & (frame["item_id"] == item) & (frame["event_name"] == "purchase")
            assert left.sum() == held


def test_amounts_that_cannot_be_are_missing_and_nothing_bought_is_left_out():
    found = load({"quantity": 0}, {"event_name": "view_item", "quantity": -1}, {"event_name": "view_item"})
    assert found.report.counts == {"bad quantity": 1, "zero quantity": 1}
    assert found.frame["event_name"].tolist() == ["view_item", "view_item"]


def test_one_transaction_counts_once():
    order = [{"order_id": "o1", "item_id": item, "quantity": 2} for item in "ab"]
    again = [{**line, "timestamp": "2026-01-02"} for line in order]  # the page of thanks, loaded again
    other = [{"order_id": "o2", "quantity": 2}, {"order_id": "o1", "quantity": 3}, {"order_id": "", "quantity": 2}]
    found = load(*order, *again, *other, {"order_id": "", "quantity": 2})
    assert len(found) == 6
    assert found.report.counts == {"repeated order_id": 2}
    assert not found.report.errors
    named = load(*[{"InvoiceNo": "i"}] * 3, transaction_id="InvoiceNo")
    assert len(named) == 1
    # what has no id of its own may well happen twice
    assert len(load({"event_name": "view_item"}, {"event_name": "view_item"}, EVENT, EVENT)) == 4


def test_one_event_id_counts_once_for_each_product():
    found = load(*[{"event_id": "e", "item_id": item} for item in "aab"], {"event_id": ""}, {"event_id": ""})
    assert found.frame["item_id"].tolist() == ["a", "b", "a", "a"]
    assert found.report.counts == {"repeated event_id": 1}


@pytest.mark.parametrize(
    ("ratings", "stars"),
    [
        ([1, 3, 5, 4.5], [1, 3, 5, 4.5]),
        ([1, 1, 1], [1, 1, 1]),
        ([0, 5, 2.5], [0, 5, 2.5]),  # as some shops do
        ([1, 10, 5.5], [1, 5, 3]),
        ([0, 10, 5], [1, 5, 3]),
        ([0, 100, 50], [1, 5, 3]),
        ([-1, 1, 0], [1, 5, 3]),
        ([0, 1, 1], [1, 5, 5]),
        ([3, 1e6, -7], [np.nan] * 3),
        ([4] * 199 + [45], [4] * 199 + [np.nan]),  # one bad cell
    ],
)
def test_ratings_of_any_scale_are_stars(ratings, stars):
    found = load(*[{"event_name": "rate", "value": rating} for rating in ratings])
    np.testing.assert_allclose(found.frame["value"], stars)
    changed = [a for a, b in zip(ratings, stars, strict=True) if a != b]
    reported = found.report.counts
    assert (sum(reported.values()) > 0) == bool(changed)
    assert reported.get("bad value", 0) == np.isnan(stars).sum()


def test_amounts_are_read_in_any_country_s_form():
    found = load({"price": "12,50 EUR", "currency": "EUR"}, {"price": "1.299,00 EUR", "currency": "USD"})
    assert found.report.counts == {"mixed currencies": 1}
    assert "amounts are in EUR, USD" in found.report.problems[0].message


def test_lines_of_one_product_in_one_event_are_added_up(tmp_path):
    def lines(*items, n=1, **more):
        event = {"event_id": f"e{n}", "event_name": "purchase", "timestamp": f"2026-01-0{n}", "user_id": "u"}
        return {
            **event,
            **more,
            "items": [dict(zip(("item_id", "quantity", "price"), line, strict=False)) for line in items],
        }

    events = [
        lines(("a", 1, 10.0), ("b", 1, 3.0), ("a", 2, 4.0)),
        lines(("a", 1, 10.0), ("b", 1, 3.0), ("a", 2, 4.0)),  # sent again
        lines(("a", 1, 5.0), ("a", 1, 5.0), ("c",), ("c",), n=2),  # equal lines are lines all the same
        lines(("a", 7, 9.0), n=1, timestamp="2026-01-05"),  # an id that was used before
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(map(json.dumps, events)))
    found = list(read_events(path, EventsConfig(path=path)))
    amounts = {(each.event_id, each.item_id): (each.quantity, each.price) for each in found}
    assert len(found) == len(amounts)
    assert amounts == {
        ("e1", "a"): (3.0, 6.0),
        ("e1", "b"): (1.0, 3.0),
        ("e2", "a"): (2.0, 5.0),
        ("e2", "c"): (2.0, None),
    }
    flat = [{"event_id": "o1", "item_id": "a", "quantity": n, "price": n} for n in (1, 3, 1)]
    table = load(*flat)
    assert len(table) == 1
    assert table.report.counts == {"repeated event_id": 1}
    order = {"order_id": "o1", "items": [{"item_id": "a", "quantity": 1}, {"item_id": "a", "quantity": 1}]}
    assert len(load(*[{**order, "event_id": ""}] * 2)) == 2
