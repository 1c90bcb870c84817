"""Events stored under a session count in its answers as if they were sent, once, and can be merged and erased."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.settings import Key
from tests.http_api.helpers import NOW, Start, ids, post, rec_of, send

VIEWED = 4


def stored(item_id: str, n: int = 0, **more: Any) -> dict[str, Any]:
    moment = (NOW - timedelta(minutes=VIEWED - n)).isoformat()
    return {
        "event_id": f"e{n}",
        "event_name": "view_item",
        "timestamp": moment,
        "items": [{"item_id": item_id}],
        **more,
    }


def visit(client: FlaskClient, session_id: str = "s") -> list[dict[str, Any]]:
    """Store views of a session, and return them as a request would send them."""
    viewed = rec_of(client).ids[:VIEWED]
    events = [stored(item_id, n, session_id=session_id) for n, item_id in enumerate(viewed)]
    post(client, "events:batch", events=events)
    names = ("event_name", "timestamp")
    return [{**{name: event[name] for name in names}, "item_id": event["items"][0]["item_id"]} for event in events]


def scores(answer: dict[str, Any]) -> list[tuple[str, float]]:
    """Return products and scores; the moment of the request is in the latter."""
    return [(item["item_id"], round(item["score"], 4)) for item in answer["items"]]


@pytest.mark.parametrize("strategy", [None, "for_you", "session", "recently_viewed", "complementary"])
@pytest.mark.parametrize("times", [True, False], ids=["times", "no times"])
def test_the_stored_events_of_a_session_count_as_if_they_were_sent(
    client: FlaskClient, strategy: str | None, times: bool
) -> None:
    anonymous = post(client, strategy=strategy)
    events = visit(client)
    sent = post(client, strategy=strategy, seeds={"events": events})
    named = post(client, strategy=strategy, session_id="s")
    assert scores(named) == scores(sent)
    assert ids(named) != ids(anonymous)
    again = events if times else [{**event, "timestamp": None} for event in events]
    assert scores(post(client, strategy=strategy, session_id="s", seeds={"events": again})) == scores(sent)
    assert post(client, strategy=strategy, session_id="nobody")["items"] == anonymous["items"]


def test_get_requests_take_a_session_too(client: FlaskClient) -> None:
    item_id = rec_of(client).ids[10]
    plain = client.get(f"/v1/items/{item_id}/complementary").json
    visit(client)
    seeds = {"items": [{"item_id": item_id}]}
    for strategy in ("similar", "complementary"):
        named = client.get(f"/v1/items/{item_id}/{strategy}?session_id=s").json
        assert scores(named) == scores(post(client, strategy=strategy, seeds=seeds, session_id="s"))
    assert scores(named) != scores(plain)
    user = client.get("/v1/users/nobody/recommendations?session_id=s").json
    assert scores(user) == scores(post(client, session_id="s"))
    assert user["fallback_used"] is None


def test_of_sent_events_those_that_are_not_stored_yet_count_too(client: FlaskClient) -> None:
    events = visit(client)
    other = {"item_id": rec_of(client).ids[VIEWED], "event_name": "add_to_cart"}
    once_more = {"item_id": events[0]["item_id"], "event_id": "not stored"}
    for new in ([other], [once_more], [other, once_more]):
        sent = post(client, seeds={"events": [*events, *new]})
        named = post(client, session_id="s", seeds={"events": [*new, {**events[1], "timestamp": None}]})
        assert scores(named) == scores(sent)
    known = {"item_id": events[0]["item_id"], "event_id": "e0"}
    assert scores(post(client, session_id="s", seeds={"events": [known]})) == scores(post(client, session_id="s"))


def test_a_session_and_its_user_count_together_before_and_after_the_login(client: FlaskClient) -> None:
    bought = rec_of(client).ids[10:13]
    send(client, "u", [("purchase", item_id) for item_id in bought])
    visit(client)
    both = post(client, session_id="s", seeds={"user_id": "u"})
    assert scores(both) != scores(post(client, seeds={"user_id": "u"}))
    assert post(client, "users:merge", session_id="s", user_id="u") == {"merged": VIEWED}
    assert scores(post(client, session_id="s", seeds={"user_id": "u"})) == scores(both)
    assert ids(post(client, seeds={"user_id": "u"})) == ids(both)  # the session is the user's now
    seen = post(client, strategy="recently_viewed", session_id="s", seeds={"user_id": "u"})
    assert set(ids(seen)) <= set(rec_of(client).ids[:VIEWED])


def test_another_user_of_a_session_is_not_seen(client: FlaskClient) -> None:
    theirs, other = rec_of(client).ids[0], rec_of(client).ids[1]
    post(client, "events", **stored(theirs, 0, session_id="s", user_id="u1"))
    post(client, "events", **stored(other, 1, session_id="s"))
    seen = post(client, strategy="recently_viewed", session_id="s", seeds={"user_id": "u2"})
    assert ids(seen) == [other]


def test_a_session_with_unknown_products_alone_has_popular_ones(client: FlaskClient) -> None:
    post(client, "events", **stored("nowhere", session_id="s"))
    answer = post(client, session_id="s")
    assert answer["items"] == post(client)["items"]


def test_placements_pages_search_and_explanations_take_a_session(start: Start) -> None:
    client = start(placements={"home": {"question": {"strategy": "for_you"}}})
    sent = visit(client)
    plain = post(client, "placements/home/recommendations", seeds={"events": sent})
    assert scores(post(client, "placements/home/recommendations", session_id="s")) == scores(plain)
    page = post(client, "pages/recommendations", session_id="s", placements=[{"placement": "home"}])
    assert scores(page["placements"][0]) == scores(plain)
    explained = post(client, "explanations", item_ids=ids(plain)[:2], session_id="s")
    assert [each["rank"] for each in explained["items"]] == [1, 2]


def test_an_erased_session_says_nothing_and_is_not_stored_again(client: FlaskClient) -> None:
    visit(client, "s/1")
    visit(client, "t")
    receipt = post(client, "sessions:erase", session_id="s/1")
    assert receipt["events"] == VIEWED
    assert "s/1" not in str(receipt)
    assert post(client, session_id="s/1")["items"] == post(client)["items"]
    again = post(client, "events", **stored(rec_of(client).ids[0], 0, session_id="s/1"))
    assert again["status"] == "known"
    assert post(client, "users:merge", session_id="s/1", user_id="u") == {"merged": 0}
    assert client.delete("/v1/sessions/t").json["events"] == 0  # the same events were the other session's


def test_a_session_needs_no_server_key_but_its_erasure_does(start: Start) -> None:
    keys = {"shop": {"sha256": Key.hash("secret"), "scopes": ["public"]}}
    client = start(keys=keys)
    headers = {"Authorization": "Bearer secret"}
    assert client.post("/v1/recommendations", json={"session_id": "s"}, headers=headers).status_code == 200
    assert client.delete("/v1/sessions/s", headers=headers).status_code == 403
    assert client.post("/v1/sessions:erase", json={"session_id": "s"}, headers=headers).status_code == 403


def test_a_merge_after_an_erasure_brings_no_old_event_back(client: FlaskClient) -> None:
    visit(client)
    client.delete("/v1/users/u")
    assert post(client, "users:merge", session_id="s", user_id="u") == {"merged": 0}
    assert client.get("/v1/users/u/events").json["events"] == []
    assert post(client, session_id="s")["items"] == post(client)["items"]  # the session was the erased user's
