"""What the person on call asks."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

import recommender
from serving.access import needs
from serving.json_codec import json_response
from serving.metrics import exposition
from serving.schemas.responses import Info, Live, Ready
from serving.service import service

bp = APIBlueprint("operations", __name__)
_TEXT: Any = {200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}}


@bp.get("/healthz/live")
@bp.output(Live)
@needs(None)
def live() -> Response:
    """Tell whether the process answers."""
    return json_response({"status": "ok"})


@bp.get("/healthz/ready")
@bp.output(Ready)
@needs(None)
def ready() -> Response:
    """Tell whether questions are answered: degraded if by an older bundle, or without the store."""
    engine = service().engine
    problems = engine.problems
    return json_response(
        {
            "status": "degraded" if problems else "ready",
            "bundle": engine.recommender.generation,
            "problems": problems,
        }
    )


@bp.get("/metrics")
@bp.doc(responses=_TEXT)
@needs("admin")
def metrics() -> Response:
    """Count what all workers do, for Prometheus."""
    return Response(exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


@bp.get("/v1/info")
@bp.output(Info)
def info() -> Response:
    """Tell what is in service."""
    current = service().engine.recommender
    return json_response(
        {
            "version": recommender.__version__,
            "bundle": current.generation,
            "products": len(current),
            "attributes": current.attributes.names,
            "weights": current.weights,
            "metrics": current.manifest.metrics,
        }
    )
