"""A user's events: kept, shown, joined, erased."""

from flask.testing import FlaskClient

from tests.calls.asking import NOW, ask, rec_of, send


def test_a_users_events_are_shown_joined_and_erased(client: FlaskClient) -> None:
    a, b = rec_of(client).ids[:2]
    send(client, "u/1", [("view_item", a)])
    event = {"event_id": "s", "event_name": "view_item", "timestamp": NOW.isoformat(), "session_id": "s1"}
    ask(client, "events", **event, items=[{"item_id": b}])
    assert ask(client, "users:merge", session_id="s1", user_id="u/1") == {"merged": 1}
    told = client.get("/v1/events?user_id=u/1").json["events"]
    assert [event["item_id"] for event in told] == [a, b]
    receipt = ask(client, "users:erase", user_id="u/1")
    assert receipt["events"] == 2
    assert client.get("/v1/events?user_id=u/1").json["events"] == []
    again = ask(client, "events", **event, user_id="u/1", items=[{"item_id": b}])
    assert again["status"] == "known"
    assert client.delete("/v1/users/u2").json["events"] == 0


def test_a_batch_keeps_the_right_and_tells_of_the_wrong(client: FlaskClient) -> None:
    right = {"event_id": "e", "event_name": "view_item", "timestamp": NOW.isoformat(), "user_id": "u"}
    events = [{**right, "items": [{"item_id": "x"}]}, {**right, "event_name": "vew_item"}, 7]
    told = ask(client, "events:batch", events=events)["events"]
    assert [each["status"] for each in told] == ["stored", "invalid", "invalid"]
    assert told[1]["errors"][0]["suggestion"] == "view_item"
