"""The route of the overlay: live changes of products, in pages."""

from datetime import UTC, datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from recommender.stores.base import OverlayEntry
from serving.access import needs
from serving.json_codec import json_response
from serving.paging import decode, encode
from serving.schemas.events import Page
from serving.schemas.responses import Overlay
from serving.service import service

bp = APIBlueprint("overlay", __name__, url_prefix="/v1")


@bp.get("/overlay")
@bp.input(Page, location="query", arg_name="query")
@bp.output(Overlay)
@needs("admin")
def overlay(query: Page) -> Response:
    """List the live changes of products with their time and source, in order of id.

    A change counts until the catalogue has a newer row of the product; an update or a fit then removes it.
    """
    live = service().live.overlay
    after = "" if query.cursor is None else str(decode(query.cursor, str)[0])
    entries = live.page(after, query.limit + 1)
    page, more = entries[: query.limit], len(entries) > query.limit
    body = {
        "entries": [_shown(entry) for entry in page],
        "next_cursor": encode(page[-1].item_id) if more else None,
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
