"""The simulated shopper: a name in a cookie, whose events are stored like any user's."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from flask import g, request
from flask.wrappers import Response

from recommender.events import PLAYED, Event
from serving.recommending import stored_events
from serving.service import service

if TYPE_CHECKING:
    from serving.schemas.events import EventName

COOKIE = "shopper"
_NAME = re.compile(r"[\w .@-]{1,40}")


def name() -> str:
    """Return the shopper's name; a new shopper is named guest."""
    if "shopper" not in g:
        cookie = request.cookies.get(COOKIE, "")
        g.shopper = cookie if _NAME.fullmatch(cookie) else f"guest-{token_hex(2)}"
    shopper: str = g.shopper
    return shopper


def switch(new_name: str) -> None:
    """Switch to another shopper; an invalid name becomes a guest's."""
    g.shopper = new_name.strip() if _NAME.fullmatch(new_name.strip()) else f"guest-{token_hex(2)}"


def set_cookie(response: Response) -> Response:
    """Store the shopper's name in a cookie that requests from other sites do not carry."""
    if "shopper" in g and request.cookies.get(COOKIE) != g.shopper:
        response.set_cookie(COOKIE, g.shopper, max_age=30 * 86_400, httponly=True, samesite="Strict", path="/shop")
    return response


def history() -> list[Event]:
    """Return the shopper's events, oldest first; none if the store does not answer in time."""
    return stored_events(service(), PLAYED + name())[0]


def add_events(event_name: "EventName", item_ids: Sequence[str]) -> None:
    """Store an event of the shopper for each product."""
    now, event_id = datetime.now(UTC), token_hex(8)
    events = [Event(item_id, event_name, now, user_id=PLAYED + name(), event_id=event_id) for item_id in item_ids]
    service().store.events.add(events)


def forget() -> None:
    """Erase the shopper's events."""
    service().store.events.erase(PLAYED + name())
