"""Routes of events: store one or many."""

from collections.abc import Sequence
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from recommender.events import Event
from recommender.items.ids import other_form
from recommender.recommender import Recommender
from serving.json_codec import json_response
from serving.metrics import metrics
from serving.problems import MAX_ERRORS, Problem
from serving.schemas.events import EventBatch, EventMessage
from serving.schemas.responses import Receipt, Receipts
from serving.service import service

bp = APIBlueprint("events", __name__, url_prefix="/v1")
_FOREIGN = "recommendation_id is not from this service; the event counts neither in reports nor in trending"


@bp.post("/events")
@bp.input(EventMessage, arg_name="message")
@bp.output(Receipt)
@bp.doc(responses={503: "The store does not answer: send it again"})
def store_event(message: EventMessage) -> Response:
    """Store an event. It is stored once however often it is sent, and counts in the next request."""
    (receipt,) = _store([message])
    return json_response(receipt)


@bp.post("/events:batch")
@bp.input(EventBatch, arg_name="batch")
@bp.output(Receipts)
@bp.doc(responses={503: "The store does not answer: send them again"})
def store_events(batch: EventBatch) -> Response:
    """Store up to 1,000 events, with a receipt for each; an invalid one does not affect the others.

    Events with several errors are described in full until the response has 100 errors.
    """
    parsed, left = [], MAX_ERRORS
    for value in batch.events:
        parsed.append(each := _parsed(value, max_errors=max(left, 1)))
        left -= 0 if isinstance(each, EventMessage) else len(each["errors"])
    receipts = iter(_store([message for message in parsed if isinstance(message, EventMessage)]))
    outcomes = [next(receipts) if isinstance(each, EventMessage) else each for each in parsed]
    return json_response({"events": outcomes})


def _parsed(value: Any, max_errors: int) -> EventMessage | dict[str, Any]:
    try:
        return EventMessage.model_validate(value, max_errors)
    except Problem as problem:
        event_id = value.get("event_id") if isinstance(value, dict) else None
        return {
            "event_id": event_id if isinstance(event_id, str) else None,
            "status": "invalid",
            "warnings": [],
            "errors": problem.errors,
        }


def _store(messages: Sequence[EventMessage]) -> list[dict[str, Any]]:
    """Store the events of messages together, and return a receipt for each message."""
    here = service()
    recommender = here.live.recommender
    events: list[list[Event]] = [list(message.to_events(here.currency)) for message in messages]
    unknown = {event.item_id for some in events for event in some if event.item_id not in recommender}
    genuine = [_is_genuine(message) for message in messages]
    counts = [yes and admitted for yes, admitted in zip(genuine, _admitted(messages), strict=True)]
    flat = [(event, yes) for some, yes in zip(events, counts, strict=True) for event in some]
    counted = [yes and event.item_id not in unknown for event, yes in flat]
    new = iter(here.store.events.add([event for event, _ in flat], counted))
    receipts = []
    for message, some, is_genuine in zip(messages, events, genuine, strict=True):
        status = "stored" if sum(next(new) for _ in some) else "known"
        metrics().events.labels(message.event_name, status, here.market).inc()
        warnings = [_unknown(event.item_id, recommender) for event in some if event.item_id in unknown]
        receipts.append(
            {
                "event_id": message.event_id,
                "status": status,
                "warnings": warnings if is_genuine else [*warnings, _FOREIGN],
            }
        )
    return receipts


def _is_genuine(message: EventMessage) -> bool:
    return message.recommendation_id is None or service().signer.is_genuine(message.recommendation_id)


def _admitted(messages: Sequence[EventMessage]) -> list[bool]:
    """Return of each message whether its visitor is not one too many of the address; servers send for many."""
    here, address = service(), request.remote_addr or ""
    if not messages or here.access.allows("server"):
        return [True] * len(messages)
    visitors = [message.user_id or message.session_id or "" for message in messages]
    admitted = here.visitors.admits(address, visitors)
    metrics().uncounted.inc(admitted.count(False))
    return admitted


def _unknown(item_id: str, recommender: Recommender) -> str:
    form = other_form(item_id, recommender.__contains__)
    return f"item {item_id!r} is not in the bundle" + ("" if form is None else f"; did you mean {form!r}?")
