"""Rules on real servers: every worker of every replica has a change."""

from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import recommender
from tests.test_serving_server import running
from tests.test_stores import fresh_schema, postgres  # noqa: F401

SECONDS = 30.0
ASKS = 12  # of each replica: about as many as make sure that each of its workers has answered


def put(client: httpx.Client, revision: int, *rules: dict[str, Any]) -> int:
    body = {"question": {"strategy": "popular", "limit": 6}, "rules": [*rules]}
    answer = client.put("/v1/placements/home", json=body, headers={"If-Match": str(revision)})
    assert answer.status_code == 200, answer.text
    found: int = answer.json()["revision"]
    return found


def answers(url: str) -> set[tuple[str, ...]]:
    """Return what the workers of a server answer, each question on a connection of its own."""
    found = set()
    for _ in range(ASKS):
        answer = httpx.post(f"{url}/v1/placements/home/recommendations", json={}, timeout=SECONDS)
        if answer.status_code == 200:
            found.add(tuple(item["item_id"] for item in answer.json()["items"]))
        else:
            found.add((str(answer.status_code),))
    return found


def await_all(clients: list[httpx.Client], expected: tuple[str, ...]) -> None:
    deadline = monotonic() + SECONDS
    while (seen := [answers(str(client.base_url)) for client in clients]) != [{expected}] * len(clients):
        assert monotonic() < deadline, f"{seen}, expected {expected}"
        sleep(0.05)


def follow(bundles: Path, store: Path | str) -> None:
    """Change a placement at one of two servers of two workers, undo it at the other; both follow."""
    rec = recommender.load(bundles)
    plain = rec.recommend(k=6, strategy="popular").item_ids
    pinned = next(item_id for item_id in rec.recommend(k=40, strategy="popular").item_ids if item_id not in plain)
    rule = {"name": "p", "action": "pin", "item_id": pinned, "position": 1}
    with running(bundles, store, 2) as (first, _), running(bundles, store, 2) as (second, _):
        revision = put(first, put(first, 0), rule)
        await_all([first, second], (pinned, *plain[:5]))
        undone = second.post("/v1/placements/home:undo", headers={"If-Match": str(revision)})
        assert undone.status_code == 200, undone.text
        await_all([first, second], tuple(plain))


def test_every_worker_of_two_servers_has_a_change_and_its_undo(demo_bundles: Path, tmp_path: Path) -> None:
    follow(demo_bundles, tmp_path / "store.db")


@pytest.mark.slow
def test_replicas_on_postgresql_have_a_change_and_its_undo(
    demo_bundles: Path,
    postgres: sa.URL,  # noqa: F811
) -> None:
    with fresh_schema(postgres) as store:
        follow(demo_bundles, store)
