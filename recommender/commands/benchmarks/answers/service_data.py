"""What the service holds: placements, users' events, changes of products."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from recommender.commands.benchmarks.answers.sampling import (
    EVENT_NAMES,
    NEGATIVE_NAMES,
    UNKNOWN_IDS,
    Sampler,
    to_text,
)

Json = Any
Request = dict[str, Any]

USERS = [*(f"u-{number:02}" for number in range(24)), "u/slash", "u-negative", "u-unknown-items", "u-unknown"]
PLACEMENTS = ("pdp-similar", "pdp-rules", "home", "trending", "basket")
# Later than any time at which answers are recorded, so that these events are always recent.
_FUTURE = datetime(2099, 1, 1, tzinfo=UTC)
_ADDED_IDS = ("added/1", "added-2")


def settings(sampler: Sampler) -> Request:
    """Return the settings of the service: its placements."""
    pins = [{"position": position, "item_id": sampler.random.choice(sampler.ids)} for position in (2, 5)]
    other = {"name": "other", "share": 0.5, "strategy": "for_you", "weights": {sampler.terms[-1]: 1.0}}
    experiment = {"name": "terms", "arms": [{"name": "usual", "share": 0.5}, other]}
    bury = [to_text(sampler.condition()), sampler.condition()]
    filtered = {"strategy": "similar", "limit": 8, "filter": sampler.filter(), "fields": sampler.names[:2]}
    fallback = {"strategy": "for_you", "limit": 10, "fallback": ["trending", "popular"]}
    boosted = {"strategy": "trending", "limit": 6, "boost": sampler.boosts()}
    diverse = {"strategy": "complementary", "limit": 6, "diversity": {"max_per": sampler.max_per()}}
    ruled = {"question": {"strategy": "similar"}, "block": sampler.condition(), "bury": bury, "pin": pins}
    home = {"question": fallback, "bury": [sampler.condition()]}
    basket = {"question": diverse, "experiment": experiment}
    placements = ({"question": filtered}, ruled, home, {"question": boosted, "pin": pins[:1]}, basket)
    return {"kind": "setup", "settings": {"placements": dict(zip(PLACEMENTS, placements, strict=True))}}


def stored_events(sampler: Sampler) -> Iterator[Request]:
    """Yield requests that fill the store: users' histories, and recent events that trend."""
    events: list[Json] = []

    def add(user: str, name: str, timestamp: str, ids: Sequence[str], **more: Json) -> None:
        event = {"event_id": f"e-{len(events)}", "event_name": name, "timestamp": timestamp, "user_id": user}
        events.append({**event, "items": [{"item_id": item_id} for item_id in ids], **more})

    for user in USERS[:-3]:
        for event in [event for _ in range(sampler.random.randint(1, 4)) for event in sampler.events(20)]:
            value = {"value": event["value"]} if "value" in event else {}
            add(user, event["event_name"], event["timestamp"], [event["item_id"]], **value)
    for name in NEGATIVE_NAMES:
        add("u-negative", name, sampler.timestamp(), sampler.random.sample(sampler.ids, 2))
    add("u-unknown-items", "view_item", sampler.timestamp(), UNKNOWN_IDS)
    for number in range(60):
        ids = list(dict.fromkeys(sampler.items(5)))
        add(f"recent-{number}", sampler.random.choice(EVENT_NAMES), sampler.timestamp(_FUTURE), ids)
    for start in range(0, len(events), 500):
        body = {"events": events[start : start + 500]}
        yield {"kind": "store", "method": "POST", "path": "/v1/events:batch", "json": body}


def changes(sampler: Sampler) -> Iterator[Request]:
    """Yield requests that change products, valid and invalid; the sampler then draws these products more often."""
    patches: list[Json] = [{"price": 1.25}, {"price": None}, {"title": "Another title"}]
    patches += [{"price": 4000.0, "availability": "in_stock"}, *[{"availability": "out_of_stock"}] * 3]
    patches += [{"pricing": 3}, {"price": "cheap"}, {"availability": 1}]
    removed, *others = ids = sampler.random.sample(sampler.ids, len(patches) + 1)
    items = [{"id": item_id, **patch} for item_id, patch in zip(others, patches, strict=True)]
    for item in (*items, {"id": _ADDED_IDS[0], "title": "An addition", "price": 12.5}):
        # one by one, since an invalid one rejects its batch
        yield _change("POST", "/v1/items:batch", json={"items": [item]})
    yield _change("PUT", f"/v1/items/{_ADDED_IDS[1]}", json={"title": "Another addition"})
    yield _change("POST", "/v1/items:delete", json={"item_id": removed})
    yield _change("DELETE", f"/v1/items/{UNKNOWN_IDS[0]}")
    sampler.changed_ids = [*ids, *_ADDED_IDS]


def _change(method: str, path: str, json: Json = None) -> Request:
    return {"kind": "http changes", "method": method, "path": path, **({} if json is None else {"json": json})}
