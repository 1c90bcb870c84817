"""OpenTelemetry traces, if installed and configured: a span for each request and for its stages.

Spans have the route as a template, as logs do, and never an id of a user or a product.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Event
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request

from recommender.errors import ConfigError
from serving.logs import REQUEST_ID

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
enabled = Event()  # set once an app of this process is traced; until then, stages cost nothing


def register(app: Flask) -> None:
    """Trace every request of `app` if the environment names an endpoint; OpenTelemetry's other variables apply.

    Raises
    ------
    ConfigError
        If the endpoint is set and OpenTelemetry is not installed.
    """
    if not os.environ.get(ENDPOINT):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(f"{ENDPOINT} is set; install hybrid-recommender[tracing], or unset it") from None
    name = os.environ.get("OTEL_SERVICE_NAME", "recommender")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace(app, provider.get_tracer("recommender"))


def trace(app: Flask, tracer: "Tracer") -> None:
    """Start a span before each request, a child of its sender's, and end it after the request."""
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, use_span

    def begin() -> None:
        route = request.url_rule.rule if request.url_rule else "none"
        span = tracer.start_span(
            f"{request.method} {route}",
            extract(request.headers),
            SpanKind.SERVER,
            {"http.request.method": request.method, "http.route": route},
        )
        g.tracer, g.span = tracer, use_span(span, end_on_exit=True)
        g.span.__enter__().set_attribute("request.id", request.environ[REQUEST_ID])

    def set_status(response: Response) -> Response:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attribute("http.response.status_code", response.status_code)
        return response

    def end(error: BaseException | None) -> None:
        if "span" in g:
            g.pop("span").__exit__(None, None, None)

    enabled.set()
    app.before_request(begin)
    app.after_request(set_status)
    app.teardown_request(end)


@contextmanager
def span(name: str, inner: AbstractContextManager[object]) -> Iterator[None]:
    """Enter `inner`, in a span of its own if the current request is traced."""
    tracer: Tracer | None = g.get("tracer")
    outer = nullcontext() if tracer is None else tracer.start_as_current_span(name)
    with outer, inner:
        yield
