"""OpenTelemetry: a span per request and stage, inside the sender's, with nobody's id; only if it is enabled."""

import sys
from pathlib import Path
from typing import Any

import pytest

from recommender.errors import ConfigError
from serving import tracing
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from tests.serving_fakes import load


@pytest.fixture
def app(tmp_path: Path) -> Any:
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    (bundles / "CURRENT").write_text("g1")
    app = create_app(bundles, Settings(store=f"sqlite:///{tmp_path}/store.db"), load=load, watch_seconds=None)
    yield app
    app.extensions[KEY].close()


def test_requests_and_stages_are_child_spans_of_the_client(app: Any) -> None:
    export = pytest.importorskip(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="no OpenTelemetry"
    )
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    exporter, provider = export.InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.trace(app, provider.get_tracer("test"))
    sender = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = app.test_client().get("/v1/users/u-secret/recommendations", headers={"traceparent": sender})
    assert answer.status_code == 200
    *stages, whole = exporter.get_finished_spans()
    assert {stage.name for stage in stages} == {"history", "search"}
    assert {stage.parent.span_id for stage in stages} == {whole.context.span_id}
    assert whole.name == "GET /v1/users/<user_id>/recommendations"
    assert f"{whole.parent.span_id:x}" == "b7ad6b7169203331"
    assert whole.attributes["http.response.status_code"] == 200
    assert whole.attributes["request.id"] == answer.headers["X-Request-ID"]
    assert not any("u-secret" in str(span.attributes) + span.name for span in (*stages, whole))


def test_an_endpoint_without_the_extra_is_an_error(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINT, "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match="tracing"):
        tracing.register(app)
