"""The demo page: products, similar products and reasons."""

from flask import Blueprint, render_template
from flask.wrappers import Response

from serving.access import needs
from serving.pages import page_response

bp = Blueprint("page", __name__)


@bp.get("/")
@needs(None)
def page() -> Response:
    """Return the page; its content comes from the API."""
    return page_response(lambda nonce: render_template("page.html", nonce=nonce))
