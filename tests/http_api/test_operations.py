"""Keys, rate limits, metrics, logs and generations."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from serving.access import RateLimiter
from serving.settings import Key
from tests.http_api.helpers import Start, post


def test_keys_admit_what_their_scopes_name(start: Start) -> None:
    keys = {
        name: {"sha256": Key.hash(f"{name} secret"), "scopes": [name]} for name in ("public", "server", "admin")
    }
    client = start(keys=keys)

    def status(path: str, key: str | None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key} secret"}
        return client.get(path, headers=headers).status_code

    assert status("/healthz/live", None) == status("/docs", None) == 200
    for path, scope in [("/v1/new", "public"), ("/v1/users/u/recommendations", "server"), ("/metrics", "admin")]:
        assert {key: status(path, key) for key in [None, "wrong", *keys]} == {
            None: 401,
            "wrong": 401,
            **{name: 200 if name == scope else 403 for name in keys},
        }
    of_user = {"json": {"seeds": {"user_id": "u"}}, "headers": {"Authorization": "Bearer public secret"}}
    assert client.post("/v1/recommendations", **of_user).status_code == 403
    document = client.get("/openapi.json", headers={"Authorization": "Bearer public secret"}).json
    assert "`server`" in document["paths"]["/v1/users/{user_id}"]["delete"]["description"]


def test_too_many_requests_get_a_retry_after(start: Start) -> None:
    client = start(rate=0.01, burst=3)
    statuses = [client.get("/v1/new").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert int(client.get("/v1/new").headers["Retry-After"]) > 1
    assert client.get("/healthz/ready").status_code == 200


def test_each_caller_has_a_bucket_that_refills(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("serving.access.monotonic", lambda: clock[0])
    limiter = RateLimiter(2.0, 2)
    assert [limiter.wait(("k", "a")) for _ in range(3)] == [0, 0, 0.5]
    assert limiter.wait(("k", "b")) == 0
    clock[0] = 0.5
    assert (limiter.wait(("k", "a")), limiter.wait(("k", "a"))) == (0, 0.5)


def test_the_quietest_callers_are_forgotten_and_one_request_is_always_admitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.access.MAX_CALLERS", 2)
    limiter = RateLimiter(1 / 3, 1)
    assert [limiter.wait(("k", address)) for address in "abc"] == [0, 0, 0]
    assert limiter.wait(("k", "c")) > 2.9
    assert limiter.wait(("k", "a")) == 0


def test_metrics_count_requests_and_events(client: FlaskClient) -> None:
    def read(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and not line.startswith("#"))

    before = read("recommender_answers_total")
    post(client)
    assert read("recommender_answers_total") == before + 1
    assert read("recommender_short_lists_total") == 0
    assert read("recommender_bundle_published_seconds") > 1e9


def test_request_ids_are_returned_and_logs_hold_no_personal_data(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    answer = client.get("/v1/users/secret-user/recommendations", headers={"X-Request-ID": "abc"})
    assert answer.headers["X-Request-ID"] == "abc"
    assert client.get("/v1/new", headers={"X-Request-ID": "a b"}).headers["X-Request-ID"] != "a b"
    fields = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert fields[0]["route"] == "/v1/users/<user_id>/recommendations"
    assert "secret-user" not in str(fields) + caplog.text


def test_generations_are_listed_and_a_wrong_one_is_a_conflict(client: FlaskClient) -> None:
    body = client.get("/v1/bundles").json
    assert body["in_service"] == body["generations"][-1]["generation"]
    assert client.post("/v1/bundles/nothing:activate").status_code == 409
    assert client.post("/v1/bundles:rollback").status_code == 409


def test_gauges_of_a_worker_that_ended_are_removed(tmp_path: Path) -> None:
    def metrics_after(problem: int) -> str:
        program = (
            "from serving.metrics import exposition, metrics;"
            f"metrics().problems.labels('store').set({problem});"
            "print(exposition().decode())"
        )
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert 'recommender_problems{concern="store"} 1.0' in metrics_after(1)
    assert 'recommender_problems{concern="store"} 0.0' in metrics_after(0)
