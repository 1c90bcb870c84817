"""What a shop changes of its products."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.service import KEY
from tests.http_api.helpers import ids, post, rec_of


def test_product_changes_apply_at_once_and_new_products_are_queued(client: FlaskClient) -> None:
    rec = rec_of(client)
    item_id = rec.recommend(k=1, strategy="popular").item_ids[0]
    assert client.patch(f"/v1/items/{item_id}", json={"availability": "out_of_stock"}).json["queued"] == []
    assert item_id not in ids(post(client, limit=60))
    assert client.get(f"/v1/items/{item_id}").json["availability"] == "out_of_stock"
    assert client.put(f"/v1/items/{item_id}", json={"price": 3}).json["queued"] == []
    assert client.get(f"/v1/items/{item_id}").json["availability"] != "out_of_stock"
    assert client.patch(f"/v1/items/{item_id}", json={"title": "Another"}).json["queued"] == [item_id]
    kind = rec.product(rec.ids[0])["product_type"]
    fresh = [{"id": "fresh/1", "title": "Fresh", "product_type": kind, "price": 5}]
    assert post(client, "items:batch", items=fresh)["queued"] == ["fresh/1"]
    like = client.get("/v1/similar?item_id=fresh/1").json
    assert like["fallback_used"] == "similar_by_category"
    assert len(like["items"]) == 12
    store = client.application.extensions[KEY].store
    assert {product.item_id for product in store.overlay.queued()} == {item_id, "fresh/1"}
    assert client.delete(f"/v1/items/{item_id}").status_code == 200
    assert client.get(f"/v1/items/{item_id}").status_code == 404
    assert post(client, "items:delete", item_id="fresh/1")["queued"] == ["fresh/1"]
    assert client.delete("/v1/items/nowhere").status_code == 404


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("In Stock", "in_stock"), (True, "in_stock"), (5, "in_stock"), ("on backorder", "backorder")),
        *(("https://schema.org/SoldOut", "out_of_stock"), ("draft", "out_of_stock"), (0, "out_of_stock")),
        *((False, "out_of_stock"), ("Ausverkauft", "out_of_stock"), ("pre-order", "preorder"), ("", None)),
    ],
)
def test_availability_is_understood_in_any_words(client: FlaskClient, word: Any, value: str | None) -> None:
    rec = rec_of(client)
    item_id = rec.recommend(k=1, strategy="popular").item_ids[0]
    assert client.patch(f"/v1/items/{item_id}", json={"availability": word}).status_code == 200
    assert client.get(f"/v1/items/{item_id}").json["availability"] == value
    assert (item_id in ids(post(client, limit=60))) == (value != "out_of_stock")


def test_prices_may_be_texts(client: FlaskClient) -> None:
    item_id = rec_of(client).ids[0]
    answer = client.patch(f"/v1/items/{item_id}", json={"price": "1.299,00 €", "currency": "euro"})
    assert answer.json["queued"] == []
    product = client.get(f"/v1/items/{item_id}").json
    assert (product["price"], product["currency"]) == (1299.0, "EUR")


@pytest.mark.parametrize(
    ("body", "pointer", "suggestion"),
    [
        ({"prise": 3}, "/prise", "price"),
        ({"price": "about 3"}, "/price", None),
        ({"price": "1.299"}, "/price", None),
        ({"price": -3}, "/price", None),
        ({"currency": "gold"}, "/currency", None),
        ({"availability": "in_stok"}, "/availability", "in_stock"),
        ({"availability": []}, "/availability", None),
        ({"price": True}, "/price", None),
        ({"title": 7}, "/title", None),
        ({"published_at": "yesterday"}, "/published_at", None),
        ({"id": "other"}, "/id", None),
    ],
)
def test_invalid_attributes_are_named(
    client: FlaskClient, body: Any, pointer: str, suggestion: str | None
) -> None:
    answer = client.patch(f"/v1/items/{rec_of(client).ids[0]}", json=body)
    (error,) = answer.json["errors"]
    assert (answer.status_code, error["pointer"], error.get("suggestion")) == (422, pointer, suggestion)
