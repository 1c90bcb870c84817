"""The page for people: products, what the engine puts beside them, and why."""

from secrets import token_urlsafe

from flask import Blueprint, make_response, render_template
from flask.wrappers import Response

bp = Blueprint("page", __name__)


@bp.get("/")
def page() -> Response:
    """Return the page; all that it shows comes from the API."""
    nonce = token_urlsafe(16)
    answer = make_response(render_template("page.html", nonce=nonce))
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        f" frame-ancestors 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'"
    )
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer
