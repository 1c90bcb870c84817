"""Pages for people: each may load from this server alone, and run only the scripts that it came with."""

from collections.abc import Callable
from secrets import token_urlsafe

from flask import make_response
from flask.wrappers import Response


def page_response(render: Callable[[str], str], *, styles: bool = False) -> Response:
    """Return a page with the headers that keep it to itself.

    Parameters
    ----------
    render
        From the nonce of its scripts to the page.
    styles
        Whether scripts may style elements, as Swagger UI's do.
    """
    nonce = token_urlsafe(16)
    style = "'self' 'unsafe-inline'" if styles else f"'self' 'nonce-{nonce}'"
    own = "'self' " if styles else ""
    answer = make_response(render(nonce))
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        f" frame-ancestors 'none'; style-src {style}; script-src {own}'nonce-{nonce}'"
    )
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer
