"""What each strategy goes by, and what the general question may say."""

import pytest
from flask.testing import FlaskClient

from serving.service import KEY
from tests.http_api.helpers import ids, post, rec_of, send


def test_visually_similar_uses_images_only(client: FlaskClient) -> None:
    rec = rec_of(client)
    seed = next(item_id for item_id in rec.ids if rec.thumbnail(item_id))
    answer = post(client, seeds={"items": [{"item_id": seed}]}, strategy="visually_similar", explain="summary")
    assert answer["strategy"] == "visually_similar"
    for item in answer["items"]:
        assert item["explanation"]["parts"]["image"] == pytest.approx(item["score"])


def test_complementary_cart_and_variants(client: FlaskClient) -> None:
    seed = rec_of(client).ids[0]
    by_path = client.get(f"/v1/items/{seed}/complementary").json
    assert ids(by_path) == ids(client.get(f"/v1/complementary?item_id={seed}").json)
    assert by_path["strategy"] == "complementary"
    assert client.get("/v1/items/nowhere/complementary").status_code == 404
    other = rec_of(client).ids[30]
    events = [{"event_name": name, "item_id": i} for name, i in [("add_to_cart", seed), ("add_to_cart", other)]]
    removed = [*events, {"event_name": "remove_from_cart", "item_id": other}]
    with_both = post(client, seeds={"events": events}, strategy="cart")
    assert with_both["strategy"] == "cart"
    question = {"strategy": "cart", "exclude": {"item_ids": [other]}}
    assert ids(post(client, seeds={"events": removed}, **question)) == ids(
        post(client, seeds={"events": events[:1]}, **question)
    )


def test_trending_new_and_popular(client: FlaskClient) -> None:
    rec = rec_of(client)
    assert client.get("/v1/trending").json["fallback_used"] == "popular"
    hot = rec.recommend(k=80, strategy="popular", variants="all").item_ids[-1]
    send(client, "u", [("purchase", hot)])
    trending = client.application.extensions[KEY].trending
    trending._count_at = 0.0
    trending.refresh()
    body = client.get("/v1/trending?explain=summary").json
    assert (body["strategy"], body["items"][0]["item_id"]) == ("trending", hot)
    assert body["items"][0]["explanation"]["reasons"][0]["code"] == "trending"
    assert ids(client.get("/v1/new?limit=5").json) == rec.recommend(k=5, strategy="new").item_ids


def test_buy_again_includes_the_history(client: FlaskClient) -> None:
    a, b, c = rec_of(client).recommend(k=3, strategy="popular").item_ids
    send(client, "u", [("view_item", a), ("purchase", b), ("view_item", c), ("view_item", a), ("purchase", b)])
    seeds = {"user_id": "u"}
    assert ids(post(client, seeds=seeds, strategy="recently_viewed")) == [a, c]
    assert ids(post(client, seeds=seeds, strategy="buy_again")) == [b]
    assert not {a, c} & set(ids(post(client, seeds=seeds, strategy="for_you")))
    assert not {a, b, c} & set(ids(post(client, seeds=seeds, strategy="for_you", exclude={"seen": True})))
    assert post(client, seeds={"user_id": "nobody"}, strategy="buy_again")["fallback_used"] == "popular"


def test_a_session_leaves_the_stored_events_out(client: FlaskClient) -> None:
    rec = rec_of(client)
    send(client, "u", [("purchase", rec.ids[0])])
    seeds = {"events": [{"item_id": rec.ids[40]}]}
    session = post(client, seeds={**seeds, "user_id": "u"}, strategy="session", exclude={"seen": False})
    alone = post(client, seeds=seeds, strategy="session", exclude={"seen": False})
    assert ids(session) == ids(alone)
    assert session["strategy"] == "session"


def test_fallbacks_are_tried_in_turn(client: FlaskClient) -> None:
    rec = rec_of(client)
    kind = rec.product(rec.ids[0])["product_type"]
    client.put("/v1/items/fresh", json={"product_type": kind, "title": "Fresh"})
    chain = ["popular_in_category", "popular"]
    answer = post(client, seeds={"events": [{"item_id": "fresh"}]}, fallback=chain, limit=3)
    assert answer["fallback_used"] == "popular_in_category"
    assert {rec.product(item_id)["product_type"] for item_id in ids(answer)} == {kind}
    assert post(client, seeds={"user_id": "nobody"}, fallback=chain)["fallback_used"] == "popular"


def test_negative_and_weighted_seeds(client: FlaskClient) -> None:
    a, b = rec_of(client).ids[0], rec_of(client).ids[40]
    both = [{"item_id": a, "weight": 100}, {"item_id": b, "weight": 0.01}]
    weighted = {"items": [{"item_id": a, "weight": 100}]}
    alone = post(client, seeds=weighted, strategy="for_you", limit=3, exclude={"item_ids": [b]})
    assert ids(post(client, seeds={"items": both}, limit=3)) == ids(alone)
    unwanted = ids(alone)[0]
    seeds = {"items": [{"item_id": a}], "negative_items": [{"item_id": unwanted}]}
    assert unwanted not in ids(post(client, seeds=seeds, limit=100))


def test_boost_and_diversity_reach_the_library(client: FlaskClient) -> None:
    rec, boost = rec_of(client), [{"when": "price < 15", "add": 5}]
    answer = post(client, boost=boost, explain="summary", limit=3)
    assert all(item["explanation"]["parts"]["boost"] == 5 for item in answer["items"])
    varied = post(client, diversity={"max_per": {"brand": 1}}, limit=4, fields=["brand"])
    assert len({item["fields"]["brand"] for item in varied["items"]}) == 4
    wrong = client.post("/v1/recommendations", json={"boost": [{"when": "prise <", "add": 1}]}).json
    assert wrong["errors"][0]["pointer"].startswith("/boost/0/when")
    assert rec.n


def test_why_and_why_not(client: FlaskClient) -> None:
    seed = rec_of(client).ids[0]
    best = ids(post(client, seeds={"items": [{"item_id": seed}]}))[0]
    body = post(client, "explanations", item_ids=[best, seed, "nowhere"], seeds={"items": [{"item_id": seed}]})
    first, second, third = body["items"]
    assert sum(first["explanation"]["parts"].values()) == pytest.approx(first["score"])
    assert (second["left_out"], third["left_out"]) == (["excluded"], ["unknown"])


def test_text_is_searched_by_words_without_an_encoder(client: FlaskClient) -> None:
    assert "no query encoder: searched by words alone" in post(client, "search", text="dress")["warnings"]
    assert client.post("/v1/search", json={"image": "aGVsbG8="}).status_code == 501
    assert client.post("/v1/search", json={}).status_code == 422
