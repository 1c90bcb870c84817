"""Helpers that post requests and events to the service."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask.testing import FlaskClient

from recommender.recommender import Recommender
from serving.service import KEY

NOW = datetime.now(UTC)
Start = Callable[..., FlaskClient]


def rec_of(client: FlaskClient) -> Recommender:
    rec: Recommender = client.application.extensions[KEY].live.recommender
    return rec


def post(client: FlaskClient, path: str = "recommendations", **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.json
    result: dict[str, Any] = answer.json
    return result


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def send(client: FlaskClient, user: str, events: list[tuple[str, str]], **more: Any) -> None:
    sent = [
        {
            "event_id": f"{user}-{position}",
            "event_name": name,
            "timestamp": (NOW - timedelta(hours=len(events) - position)).isoformat(),
            "user_id": user,
            "items": [{"item_id": item_id}],
            **more,
        }
        for position, (name, item_id) in enumerate(events)
    ]
    receipts = post(client, "events:batch", events=sent)["events"]
    assert {receipt["status"] for receipt in receipts} == {"stored"}
