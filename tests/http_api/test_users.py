"""A user's events: stored, listed, merged, erased."""

from flask.testing import FlaskClient

from tests.http_api.helpers import NOW, post, rec_of, send


def test_the_events_of_a_user_are_listed_merged_and_erased(client: FlaskClient) -> None:
    a, b = rec_of(client).ids[:2]
    send(client, "u/1", [("view_item", a)])
    event = {"event_id": "s", "event_name": "view_item", "timestamp": NOW.isoformat(), "session_id": "s1"}
    post(client, "events", **event, items=[{"item_id": b}])
    assert post(client, "users:merge", session_id="s1", user_id="u/1") == {"merged": 1}
    results = client.get("/v1/events?user_id=u/1").json["events"]
    assert [event["item_id"] for event in results] == [a, b]
    receipt = post(client, "users:erase", user_id="u/1")
    assert receipt["events"] == 2
    assert client.get("/v1/events?user_id=u/1").json["events"] == []
    again = post(client, "events", **event, user_id="u/1", items=[{"item_id": b}])
    assert again["status"] == "known"
    assert client.delete("/v1/users/u2").json["events"] == 0


def test_a_batch_of_events_stores_the_valid_and_reports_the_invalid(client: FlaskClient) -> None:
    right = {"event_id": "e", "event_name": "view_item", "timestamp": NOW.isoformat(), "user_id": "u"}
    events = [{**right, "items": [{"item_id": "x"}]}, {**right, "event_name": "vew_item"}, 7]
    results = post(client, "events:batch", events=events)["events"]
    assert [each["status"] for each in results] == ["stored", "invalid", "invalid"]
    assert results[1]["errors"][0]["suggestion"] == "view_item"
