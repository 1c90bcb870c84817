"""The service on the demo bundle, each test's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from tests.http_api.helpers import Start


@pytest.fixture
def start(demo_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr("serving.app.START_SECONDS", 60.0)  # on a busy machine too, the store is open
    apps = []

    def started(**given: Any) -> FlaskClient:
        given = {"store": f"sqlite:///{tmp_path}/store.db", "rate": 1e6, "burst": 10**6, **given}
        apps.append(create_app(demo_bundles, Settings(**given), watch_seconds=None))
        return apps[-1].test_client()

    yield started
    for app in apps:
        app.extensions[KEY].close()


@pytest.fixture
def client(start: Start) -> FlaskClient:
    return start()
