"""Sign in to the studio, and out of it."""

from flask import g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from serving.access import accepts_forms, needs
from serving.studio import session
from serving.studio.views import bp, page


@bp.get("/sign-in")
@needs(None)
def sign_in_page() -> BaseResponse:
    """Show the form that takes an API key."""
    return redirect(url_for("studio.index")) if g.editor else page("sign_in")


@bp.post("/sign-in")
@accepts_forms
@needs(None)
def sign_in() -> BaseResponse:
    """Sign in with an API key."""
    session.check_token()
    response = redirect(url_for("studio.index"), 303)
    if session.sign_in(response, request.form.get("key", "")):
        return response
    return page("sign_in", 401, error="No valid key of scope server or admin; the shop's operator has one.")


@bp.post("/sign-out")
@accepts_forms
@needs(None)
def sign_out() -> BaseResponse:
    """End the session."""
    response = redirect(url_for("studio.sign_in_page"), 303)
    session.sign_out(response)
    return response
