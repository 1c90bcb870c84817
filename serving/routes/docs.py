"""The API's document as a page, with Swagger UI from this very server."""

from flask import Blueprint, render_template
from flask.wrappers import Response

from serving.access import needs
from serving.pages import page_response

bp = Blueprint("docs", __name__)


@bp.get("/docs")
@needs(None)
def docs() -> Response:
    """Return the page."""
    return page_response(lambda nonce: render_template("docs.html", nonce=nonce), styles=True)
