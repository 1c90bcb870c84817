"""The service on a fake recommender."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from recommender.ranking.request import Request
from serving.app import create_app
from serving.hot_reload import LiveRecommender
from serving.service import KEY, Service
from serving.settings import Settings
from tests.serving_fakes import FakeRecommender, load, publish


@pytest.fixture
def app(tmp_path: Path) -> Iterator[APIFlask]:
    publish(tmp_path / "bundles", "g1")
    app = create_app(tmp_path / "bundles", Settings(max_body_bytes=1 << 20), load=load, watch_seconds=None)
    yield app
    app.extensions[KEY].close()


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def engine(app: APIFlask) -> LiveRecommender:
    service: Service = app.extensions[KEY]
    return service.live


@pytest.fixture
def requests(engine: LiveRecommender) -> list[Request]:
    fake: FakeRecommender = engine.recommender
    return fake.requests
