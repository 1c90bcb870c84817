"""The storefront kit: the JavaScript that a shop's pages load from the service."""

from pathlib import Path

from flask import Blueprint, request
from flask.wrappers import Response

from serving.access import needs

bp = Blueprint("kit", __name__)
FILE = Path(__file__).parent.parent / "static" / "kit" / "kit.js"


@bp.get("/kit.js")
@needs(None)
def kit() -> Response:
    """Return the kit, which pages of any origin may load; what it may call depends on its key."""
    response = Response(FILE.read_bytes(), content_type="text/javascript; charset=utf-8")
    response.cache_control.public, response.cache_control.max_age = True, 3600
    response.headers["Access-Control-Allow-Origin"] = "*"  # module scripts of other origins need it
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.add_etag()  # of the content: the same in all replicas
    response.make_conditional(request)
    return response
