"""Who plays the shopper: a name in a cookie, whose events go into the store as any user's do."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from flask import g, request
from flask.wrappers import Response

from recommender.events import PLAYED, Event
from serving.service import service

if TYPE_CHECKING:
    from serving.schemas.events import EventName

COOKIE = "shopper"
_NAME = re.compile(r"[\w .@-]{1,40}")


def name() -> str:
    """Return who is playing; somebody new gets a name."""
    if "shopper" not in g:
        said = request.cookies.get(COOKIE, "")
        g.shopper = said if _NAME.fullmatch(said) else f"guest-{token_hex(2)}"
    found: str = g.shopper
    return found


def become(said: str) -> None:
    """Play another shopper from now on; a name that cannot be one is a guest's."""
    g.shopper = said.strip() if _NAME.fullmatch(said.strip()) else f"guest-{token_hex(2)}"


def remembered(response: Response) -> Response:
    """Put the shopper's name into a cookie that no other site's request brings along."""
    if "shopper" in g and request.cookies.get(COOKIE) != g.shopper:
        response.set_cookie(COOKIE, g.shopper, max_age=30 * 86_400, httponly=True, samesite="Strict", path="/shop")
    return response


def history() -> list[Event]:
    """Return the shopper's events, oldest first."""
    return service().store.events.history(PLAYED + name())


def tell(event_name: "EventName", item_ids: Sequence[str]) -> None:
    """Store that the shopper did something to products."""
    now, event_id = datetime.now(UTC), token_hex(8)
    events = [Event(item_id, event_name, now, user_id=PLAYED + name(), event_id=event_id) for item_id in item_ids]
    service().store.events.add(events)


def forget() -> None:
    """Erase the shopper's events."""
    service().store.events.erase(PLAYED + name())
