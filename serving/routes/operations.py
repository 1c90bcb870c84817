"""Routes of operations: health, metrics and information."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from recommender.version import __version__
from serving.access import needs
from serving.health import overall
from serving.json_codec import json_response
from serving.metrics import exposition
from serving.recommending import visible
from serving.schemas.responses import Info, Live, Ready
from serving.service import service

bp = APIBlueprint("operations", __name__)
_TEXT: Any = {200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}}


@bp.get("/healthz/live")
@bp.output(Live)
@needs(None)
def live() -> Response:
    """Return whether the process is alive."""
    return json_response({"status": "ok"})


@bp.get("/healthz/ready")
@bp.output(Ready)
@bp.doc(responses={503: "The service is starting"})
@needs(None)
def ready() -> Response:
    """Return whether requests should come here, and what each component does; degraded answers some of them."""
    here = service()
    components = here.health.components()
    status = overall(components)
    hidden = set() if here.access.has("admin") else {"errors"}
    body = {
        "status": status,
        "bundle": here.live.recommender.generation,
        "components": {
            name: {member: value for member, value in component._asdict().items() if member not in hidden}
            for name, component in components.items()
        },
    }
    return json_response(body, 503 if status == "starting" else 200)


@bp.get("/metrics")
@bp.doc(responses=_TEXT)
@needs("admin")
def metrics() -> Response:
    """Return the metrics of all workers for Prometheus."""
    return Response(exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


@bp.get("/v1/info")
@bp.output(Info)
def info() -> Response:
    """Return the bundle in service, its attributes, weights and metrics."""
    here = service()
    current = here.live.recommender
    market = {"market": here.market, "currency": here.currency} if here.market else {}
    return json_response(
        {
            **market,
            "version": __version__,
            "bundle": current.generation,
            "products": len(current),
            "attributes": visible(here, current.attributes.names),
            "weights": current.weights,
            "metrics": current.manifest.metrics,
        }
    )
