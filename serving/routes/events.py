"""What users do, as the shop reports it."""

from apiflask import APIBlueprint
from flask import Response

from serving.answers import Receipt
from serving.json import json_response
from serving.requests import EventMessage
from serving.service import service

bp = APIBlueprint("events", __name__, url_prefix="/v1")


@bp.post("/events")
@bp.input(EventMessage, arg_name="message")
@bp.output(Receipt)
@bp.doc(responses={503: "The store does not answer: send it again"})
def store_event(message: EventMessage) -> Response:
    """Keep an event; sent again, it is kept once. The very next question goes by it."""
    events = list(message.to_events())
    new = service().store.events.add(events)
    recommender = service().engine.recommender
    unknown = [event.item_id for event in events if event.item_id not in recommender]
    return json_response(
        {
            "event_id": message.event_id,
            "status": "stored" if any(new) else "known",
            "warnings": [f"item {item_id!r} is not in the bundle" for item_id in unknown],
        }
    )
