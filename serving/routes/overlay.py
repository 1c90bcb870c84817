"""The route of the overlay: live changes of products, in pages."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from recommender.stores.base import OverlayEntry
from serving.access import needs
from serving.json_codec import json_response
from serving.problems import Problem
from serving.schemas.requests import OverlayQuery
from serving.schemas.responses import Overlay
from serving.service import service

bp = APIBlueprint("overlay", __name__, url_prefix="/v1")


@bp.get("/overlay")
@bp.input(OverlayQuery, location="query", arg_name="query")
@bp.output(Overlay)
@needs("admin")
def overlay(query: OverlayQuery) -> Response:
    """List the live changes of products with their time and source, in order of id.

    A change counts until the catalogue has a newer row of the product; an update or a fit then removes it.
    """
    live = service().live.overlay
    entries = live.page(_after(query.cursor), query.limit + 1)
    page, more = entries[: query.limit], len(entries) > query.limit
    body = {
        "entries": [_shown(entry) for entry in page],
        "cursor": _cursor(page[-1].item_id) if more else None,
        "revision": live.revision(),
    }
    return json_response(body)


def _shown(entry: OverlayEntry) -> dict[str, Any]:
    current = entry.since(service().live.recommender.row_time(entry.item_id))
    return {
        "item_id": entry.item_id,
        "removed": entry.attributes is None,
        "attributes": entry.attributes or {},
        "updated_at": _moment(entry.updated_at),
        "earlier": {name: _moment(seconds) for name, seconds in entry.times.items()},
        "source": entry.source,
        "queued": (entry.queued or 0) > 0,
        "in_force": current is None or bool(current),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cursor(item_id: str) -> str:
    return urlsafe_b64encode(item_id.encode("utf-8", "surrogatepass")).decode()


def _after(cursor: str | None) -> str:
    """Return the id after which a page begins."""
    try:
        return urlsafe_b64decode(cursor or "").decode("utf-8", "surrogatepass")
    except ValueError:
        detail = "cursor is not one that an answer had; leave it out to begin anew"
        raise Problem(422, "invalid-request", detail, [{"pointer": "/cursor", "detail": detail}]) from None
