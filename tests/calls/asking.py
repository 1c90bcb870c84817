"""Asking the service, and telling it of events."""

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


def ask(client: FlaskClient, path: str = "recommendations", **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.json
    told: dict[str, Any] = answer.json
    return told


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def send(client: FlaskClient, user: str, told: list[tuple[str, str]], **more: Any) -> None:
    events = [
        {
            "event_id": f"{user}-{place}",
            "event_name": name,
            "timestamp": (NOW - timedelta(hours=len(told) - place)).isoformat(),
            "user_id": user,
            "items": [{"item_id": item_id}],
            **more,
        }
        for place, (name, item_id) in enumerate(told)
    ]
    receipts = ask(client, "events:batch", events=events)["events"]
    assert {receipt["status"] for receipt in receipts} == {"stored"}
