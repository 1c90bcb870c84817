"""A service beside `recommender refresh`: it swaps by itself, and what some did is an answer for others."""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import httpx
from test_serving_server import SECONDS, running

from tests.refreshable import publish_shop, write

BUYERS = range(8)


def buy(client: httpx.Client, user: int) -> None:
    """Post two purchases of one shopper."""
    for row, second in ((4, 0), (17, 30)):
        event = {
            "event_id": f"e-{user}-{row}",
            "event_name": "purchase",
            "timestamp": f"2026-11-23T06:41:{second:02}Z",
            "user_id": f"buyer{user}",
            "items": [{"item_id": f"p{row:03}"}],
        }
        assert client.post("/v1/events", json=event).json()["status"] == "stored"


def test_what_some_shoppers_do_becomes_an_answer_for_another_one(tmp_path: Path) -> None:
    root, store = tmp_path / "bundles", tmp_path / "store.db"
    publish_shop(root, write(tmp_path / "log.csv", [(0, 0, 0, "purchase"), (0, 1, 1, "purchase")]))
    request = {"seeds": {"items": [{"item_id": "p004"}]}, "limit": 1, "weights": {"cooccurrence": 20}}
    with running(root, store, workers=1) as (client, _):
        before = client.post("/v1/recommendations", json=request).json()
        command = [sys.executable, "-m", "recommender.cli", "refresh", str(root), "--json", "--watch", "0.2"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        watcher = subprocess.Popen([*command, "--store", f"sqlite:///{store}"], env=environment, cwd=tmp_path)
        try:
            for user in BUYERS:
                buy(client, user)
            deadline = monotonic() + 4 * SECONDS
            answer = before
            while answer["items"][0]["item_id"] != "p017" and monotonic() < deadline:
                sleep(0.2)
                answer = client.post("/v1/recommendations", json=request).json()
        finally:
            watcher.terminate()
            watcher.wait(SECONDS)
        assert answer["items"][0]["item_id"] == "p017"
        assert answer["bundle"] != before["bundle"]
        assert before["items"][0]["item_id"] != "p017"
