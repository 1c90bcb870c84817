"""The OpenAPI document as a page, with Swagger UI served from here."""

from flask import Blueprint, render_template
from flask.wrappers import Response

from serving.access import needs
from serving.pages import page_response

bp = Blueprint("docs", __name__)


@bp.get("/docs")
@needs(None)
def docs() -> Response:
    """Return the page with Swagger UI."""
    return page_response(lambda nonce: render_template("docs.html", nonce=nonce), styles=True)
