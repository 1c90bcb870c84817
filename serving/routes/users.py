"""Routes of users and sessions: attributes, list and erase events, merge a session."""

from apiflask import APIBlueprint
from flask import Response

from recommender.stores.base import Erasure
from serving.access import needs
from serving.json_codec import json_response
from serving.paging import event_cursor, event_position
from serving.schemas.events import Login, SessionId, UserEvents, UserEventsQuery
from serving.schemas.requests import UserAttributes, UserData, UserId
from serving.schemas.responses import Erased, Events, Merged, User
from serving.service import service

bp = APIBlueprint("users", __name__, url_prefix="/v1")


@bp.get("/users/<user_id>/events")
@bp.input(UserId, location="path", arg_name="user")
@bp.input(UserEvents, location="query", arg_name="query")
@bp.output(Events)
@needs("server")
def events(user_id: str, user: UserId, query: UserEvents) -> Response:
    """Return the latest events of a user, oldest first; `next_cursor` continues with those before them."""
    return _events(user.user_id, query)


@bp.get("/events")
@bp.input(UserEventsQuery, location="query", arg_name="query")
@bp.output(Events)
@needs("server")
def events_by_query(query: UserEventsQuery) -> Response:
    """Return the latest events of a user whose id may contain a slash."""
    return _events(query.user_id, query)


@bp.put("/users/<user_id>")
@bp.input(UserId, location="path", arg_name="user")
@bp.input(UserAttributes, arg_name="params")
@bp.output(User)
@needs("server")
def put(user_id: str, user: UserId, params: UserAttributes) -> Response:
    """Store the attributes of a user, in the place of those stored before."""
    return _put(user.user_id, params)


@bp.post("/users:put")
@bp.input(UserData, arg_name="params")
@bp.output(User)
@needs("server")
def put_by_body(params: UserData) -> Response:
    """Store the attributes of a user whose id may contain a slash."""
    return _put(params.user_id, params)


@bp.get("/users/<user_id>")
@bp.input(UserId, location="path", arg_name="user")
@bp.output(User)
@needs("server")
def get(user_id: str, user: UserId) -> Response:
    """Return the stored attributes of a user."""
    return _user(user.user_id)


@bp.get("/users:get")
@bp.input(UserId, location="query", arg_name="user")
@bp.output(User)
@needs("server")
def get_by_query(user: UserId) -> Response:
    """Return the stored attributes of a user whose id may contain a slash."""
    return _user(user.user_id)


@bp.delete("/users/<user_id>")
@bp.input(UserId, location="path", arg_name="user")
@bp.output(Erased)
@needs("server")
def erase(user_id: str, user: UserId) -> Response:
    """Erase the attributes and every event of a user; if these are imported again, they are refused."""
    return _receipt(service().store.events.erase(user.user_id))


@bp.post("/users:erase")
@bp.input(UserId, arg_name="user")
@bp.output(Erased)
@needs("server")
def erase_by_body(user: UserId) -> Response:
    """Erase the attributes and every event of a user whose id may contain a slash."""
    return _receipt(service().store.events.erase(user.user_id))


@bp.delete("/sessions/<session_id>")
@bp.input(SessionId, location="path", arg_name="session")
@bp.output(Erased)
@needs("server")
def erase_session(session_id: str, session: SessionId) -> Response:
    """Erase every event of a session; if these are imported again, they are refused."""
    return _receipt(service().store.events.erase_session(session.session_id))


@bp.post("/sessions:erase")
@bp.input(SessionId, arg_name="session")
@bp.output(Erased)
@needs("server")
def erase_session_by_body(session: SessionId) -> Response:
    """Erase every event of a session whose id may contain a slash."""
    return _receipt(service().store.events.erase_session(session.session_id))


@bp.post("/users:merge")
@bp.input(Login, arg_name="login")
@bp.output(Merged)
@needs("server")
def merge(login: Login) -> Response:
    """Assign the events of a session to the user who has logged in, but those from before the user's erasure."""
    return json_response({"merged": service().store.events.merge(login.session_id, login.user_id)})


def _receipt(erasure: Erasure) -> Response:
    return json_response(erasure._asdict())


def _events(user_id: str, query: UserEvents) -> Response:
    events = service().store.events.page(user_id, query.limit + 1, event_position(query.cursor))
    page = events[-query.limit :]
    cursor = event_cursor(page[0]) if len(events) > query.limit else None
    return json_response({"user_id": user_id, "events": page, "next_cursor": cursor})


def _put(user_id: str, params: UserAttributes) -> Response:
    service().store.users.put(user_id, params.model_dump(mode="json")["attributes"])
    return _user(user_id)


def _user(user_id: str) -> Response:
    return json_response({"user_id": user_id, "attributes": service().store.users.get(user_id) or {}})
