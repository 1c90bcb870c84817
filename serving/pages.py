"""HTML pages with a strict Content-Security-Policy: resources of this server only, scripts by nonce only."""

from collections.abc import Callable
from secrets import token_urlsafe

from flask import make_response
from flask.wrappers import Response


def page_response(render: Callable[[str], str], *, styles: bool = False, forms: bool = False) -> Response:
    """Return a page with its security headers.

    Parameters
    ----------
    render
        Returns the page for the nonce of its scripts.
    styles
        Whether scripts may style elements, as Swagger UI's do.
    forms
        Whether it has forms, which this server answers.
    """
    nonce = token_urlsafe(16)
    style = "'self' 'unsafe-inline'" if styles else f"'self' 'nonce-{nonce}'"
    scripts, action = "'self' " if styles else "", "'self'" if forms else "'none'"
    response = make_response(render(nonce))
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action {action};"
        f" frame-ancestors 'none'; style-src {style}; script-src {scripts}'nonce-{nonce}'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response
