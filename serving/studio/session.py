"""The session of the studio: an API key, signed in a cookie, and a token in each form."""

from hmac import compare_digest
from secrets import token_urlsafe
from time import time
from typing import NamedTuple

from flask import g, request
from flask.wrappers import Response
from werkzeug.wrappers import Response as BaseResponse

from serving.problems import Problem
from serving.service import service

COOKIE, FORM_COOKIE = "studio_session", "studio_form"
SECONDS = 8 * 3600
LOCAL = "local"


class Editor(NamedTuple):
    """Who is signed in: the name of the key, and whether its scope admits changes."""

    name: str
    may_edit: bool


def editor() -> Editor | None:
    """Return who is signed in; without any API keys everybody is."""
    access = service().access
    if not access.has_keys:
        return Editor(LOCAL, True)
    name, _, rest = request.cookies.get(COOKIE, "").partition(".")
    expires, _, signature = rest.rpartition(".")
    key = access.valid(name)
    if key is None or not expires.partition(".")[0].isdigit() or int(expires.partition(".")[0]) < time():
        return None
    genuine = service().signer.signature(f"session {name} {expires} {key.sha256}")
    if not compare_digest(genuine.encode(), signature.encode("utf-8", "surrogatepass")):
        return None
    if not {"server", "admin"} & {*key.scopes}:
        return None
    return Editor(name, "admin" in key.scopes)


def sign_in(response: BaseResponse, text: str) -> bool:
    """Set the session's cookie if a text is a key of scope server or admin, and return whether it is."""
    access = service().access
    access.limit()
    name = access.name_of(text.strip())
    key = None if name is None else access.valid(name)
    if key is None or not {"server", "admin"} & {*key.scopes}:
        return False
    expires = f"{int(time()) + SECONDS}.{token_urlsafe(9)}"
    signature = service().signer.signature(f"session {name} {expires} {key.sha256}")
    _set(response, COOKIE, f"{name}.{expires}.{signature}")
    return True


def sign_out(response: BaseResponse) -> None:
    """Remove the session's cookie."""
    response.delete_cookie(COOKIE, path="/studio")


def token() -> str:
    """Return the token of the forms of this session."""
    if "studio_form" not in g:
        g.studio_form = request.cookies.get(FORM_COOKIE) or token_urlsafe(18)
    return service().signer.signature(f"form {g.studio_form} {request.cookies.get(COOKIE, '')}")


def check_token() -> None:
    """Raise a `Problem` (403) unless a form has the token of this session."""
    sent = request.form.get("token", "")
    if not request.cookies.get(FORM_COOKIE) or not compare_digest(token().encode(), sent.encode()):
        raise Problem(403, "forbidden", "this form is from another session; load the page again, and repeat it")


def set_form_cookie(response: Response) -> Response:
    """Store what the tokens of forms are bound to."""
    if "studio_form" in g and request.cookies.get(FORM_COOKIE) != g.studio_form:
        _set(response, FORM_COOKIE, g.studio_form)
    return response


def _set(response: BaseResponse, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=SECONDS, httponly=True, secure=request.is_secure, samesite="Strict", path="/studio"
    )
