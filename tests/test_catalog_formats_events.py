# Rows of trackers stand as they are:
# ruff: noqa: E501
"""Events of trackers, in the shapes of their specifications and of warehouses."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.errors import DataError

TIME = 1761984000000000  # 2025-11-01T08:00:00Z
ITEMS = [{"item_id": "tee", "quantity": 2, "price": 19.0}, {"item_id": "mug", "quantity": 1, "price": 9.5}]
PURCHASE = {"event_name": "purchase", "event_timestamp": TIME, "user_pseudo_id": "12.34", "items": ITEMS}
USER = [["u1", "mug", "purchase"], ["u1", "tee", "purchase"]]
FOUND = [["12.34", "mug", "purchase"], ["12.34", "tee", "purchase"]]


def load(tmp_path, name, **mapping):
    known = Catalog.from_frame(pd.DataFrame({"id": ["mug", "tee"]}))
    tables = {"catalog": {"path": "p.csv"}, "events": {"path": name, **mapping}, "data_dir": tmp_path}
    return Interactions.load(Config.model_validate(tables), known)


def lines(tmp_path, rows, name="e.jsonl"):
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def triples(found):
    return sorted(found.frame[["user_id", "item_id", "event_name"]].values.tolist())


@pytest.mark.parametrize(
    "items",
    [ITEMS, {"list": [{"element": item} for item in ITEMS]}, {"array": ITEMS}, json.dumps(ITEMS)],
    ids=["list", "wrapped in list and element", "wrapped in array", "text"],
)
@pytest.mark.parametrize("stamp", [TIME, str(TIME)])
@pytest.mark.parametrize("format", ["ga4", None])
def test_ga4_items_in_each_shape(tmp_path, items, stamp, format):
    row = PURCHASE | {"items": items, "event_timestamp": stamp}
    found = load(tmp_path, lines(tmp_path, [row, row | {"event_name": "page_view", "items": []}]), format=format)
    assert triples(found) == FOUND
    assert set(found.frame["timestamp"]) == {pd.Timestamp("2025-11-01T08:00:00")}
    assert found.report.facts["rows that name no product"] == 1
    assert not found.report.errors


def test_ga4_in_parquet_of_arrow_lists(tmp_path):
    pq.write_table(pa.Table.from_pylist([PURCHASE, PURCHASE | {"items": None}]), tmp_path / "e.parquet")
    assert triples(load(tmp_path, "e.parquet", format="ga4")) == FOUND


def test_ga4_in_csv_with_items_as_json(tmp_path):
    frame = pd.DataFrame([PURCHASE | {"items": json.dumps(ITEMS)}, PURCHASE | {"items": "[{"}])
    frame.to_csv(tmp_path / "e.csv", index=False)
    found = load(tmp_path, "e.csv", format="ga4")
    assert triples(found) == FOUND
    assert found.report.counts["bad items"] == 1


def test_ga4_in_csv_with_items_of_python_is_refused(tmp_path):
    pd.DataFrame([PURCHASE]).to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(
        DataError, match=r"items is .*expected JSON .*export a GA4 export as JSON Lines or Parquet"
    ):
        load(tmp_path, "e.csv", format="ga4")


def test_ga4_unnested_by_a_query(tmp_path):
    rows = [PURCHASE | item | {"user_id": "u1", "ga_session_id": 7} for item in ITEMS]
    frame = pd.DataFrame(rows).drop(columns="items")
    frame.to_csv(tmp_path / "e.csv", index=False)
    assert triples(load(tmp_path, "e.csv", format="ga4")) == [
        [*("u1", "mug", "purchase")],
        ["u1", "tee", "purchase"],
    ]


def test_ga4_events_without_an_id_are_reported(tmp_path):
    row = PURCHASE | {"items": [{"item_id": "(not set)"}, {"item_id": "tee"}], "event_name": "refund"}
    found = load(tmp_path, lines(tmp_path, [row]), format="ga4")
    assert triples(found) == [["12.34", "tee", "refund"]]
    assert found.report.counts["event without a product"] == 1


CALL = {"type": "track", "userId": "u1", "anonymousId": "a", "timestamp": "2025-11-01T08:00:00.000Z"}
PRODUCTS = [{"product_id": "tee", "sku": "T", "quantity": 2, "price": 19}, {"product_id": "mug"}]


def test_segment_calls(tmp_path):
    rows = [
        CALL | {"messageId": "1", "event": "Product Viewed", "properties": {"product_id": "tee", "price": 19}},
        CALL
        | {"messageId": "2", "event": "Order Completed", "properties": {"order_id": "o", "products": PRODUCTS}},
        CALL
        | {"messageId": "2", "event": "Order Completed", "properties": {"order_id": "o", "products": PRODUCTS}},
        CALL | {"messageId": "3", "event": "Added Product", "properties": {"sku": "mug", "quantity": 1}},
        CALL | {"messageId": "4", "event": "Order Refunded", "properties": {"products": PRODUCTS[1:]}},
        CALL | {"messageId": "5", "event": "Checkout Started", "properties": {"products": PRODUCTS}},
        CALL | {"messageId": "6", "type": "page", "name": "Home"},
        CALL | {"messageId": "7", "userId": None, "event": "Product Clicked", "properties": {"product_id": "mug"}},
    ]
    found = load(tmp_path, lines(tmp_path, rows))
    assert triples(found) == [
        ["session:a", "mug", "select_item"],
        ["u1", "mug", "add_to_cart"],
        ["u1", "mug", "refund"],  # the purchase counts for nothing
        ["u1", "tee", "purchase"],
        ["u1", "tee", "view_item"],
    ]
    assert found.report.facts["rows of other calls"] == 2
    assert found.report.facts["rows read as Segment's calls"] == len(rows)


def test_segment_in_a_warehouse(tmp_path):
    row = {"id": "m", "received_at": "2025-11-01", "timestamp": "2025-11-01T08:00:00Z", "anonymous_id": "a"}
    row |= {"user_id": "u1", "event": "order_completed", "event_text": "Order Completed", "order_id": "o"}
    pd.DataFrame([row | {"products": json.dumps(PRODUCTS)}]).to_csv(tmp_path / "order_completed.csv", index=False)
    found = load(tmp_path, "order_completed.csv", format="segment")
    assert triples(found) == USER


def test_snowplow_actions_and_older_transactions(tmp_path):
    product = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
    action = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
    base = {
        "event_id": "",
        "collector_tstamp": "2025-11-01 08:00:00.000",
        "domain_userid": "d1",
        "event_name": "x",
    }
    rows = [
        base | {"event_id": "1", action: {"type": "product_view"}, product: [{"id": "tee", "price": 19}]},
        base | {"event_id": "2", action: {"type": "transaction"}, product: [{"id": "tee"}, {"id": "mug"}]},
        base | {"event_id": "3", action: {"type": "checkout_step"}},
        base | {"event_id": "4", "user_id": "u1", "ti_sku": "mug", "ti_quantity": 2, "ti_orderid": "o"},
        base | {"event_id": "5", "event_name": "page_ping"},
    ]
    found = load(tmp_path, lines(tmp_path, rows), format="snowplow")
    assert triples(found) == [
        ["d1", "mug", "purchase"],
        ["d1", "tee", "purchase"],
        ["d1", "tee", "view_item"],
        ["u1", "mug", "purchase"],
    ]
    assert found.report.facts["rows of other events"] == 2


def test_events_without_an_id_of_their_own_are_all_read(tmp_path):
    rows = [CALL | {"event": "Product Viewed", "properties": {"product_id": "tee"}}] * 3
    found = load(tmp_path, lines(tmp_path, rows), format="segment")
    assert len(found) == 3


def test_recbole_interactions(tmp_path):
    text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ttee\t5\t1761984000\nu1\tmug\t1\t1761984001\n"
    (tmp_path / "shop.inter").write_text(text, encoding="utf-8")
    found = load(tmp_path, "shop.inter")
    assert triples(found) == [["u1", "mug", "rate"], ["u1", "tee", "rate"]]
    assert found.event_weights().tolist() == sorted(found.event_weights().tolist(), key=lambda weight: -weight)
    assert np.isfinite(found.event_weights()).all()
