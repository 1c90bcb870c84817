"""Invalid requests: calls that raise an error, and HTTP requests that the service rejects."""

from collections.abc import Iterator
from typing import Any

from recommender.commands.benchmarks.answers.sampling import UNKNOWN_IDS, Sampler

Json = Any
Request = dict[str, Any]

_FILTERS: tuple[Json, ...] = (
    *("no_such_field = 3", "title = ", 'title = "open', "title: NONE(3)", "title < < 3", "(title: EXISTS"),
    *("title: EXISTS title: EXISTS", "title: ANY()", "id < 3"),
    *({"field": "title", "match": "x", "any": ["y"]}, {"field": "title", "match": None}, {"field": "title"}),
    *(
        {"field": "title", "range": {"above": 3}},
        {"field": "title", "exists": 1},
        {"field": "titel", "match": "x"},
    ),
    *({"must": {"field": "title", "match": "x"}}, {"most": []}, {"ids": [1]}, 5),
)
_OPTIONS: tuple[dict[str, Json], ...] = (
    *({"filter": filter} for filter in _FILTERS),
    *({"k": k} for k in (0, 2.5, "5", True)),
    *({"weights": {"text": weight}} for weight in (-1.0, float("nan"), float("inf"))),
    {"weights": {"pictures": 1.0}},
    *({"diversity": diversity} for diversity in ({"variety": 1}, {"mmr": 2}, {"mmr": "0.3"}, {"max_per": 3})),
    {"diversity": {"max_per": {"no_such_field": 2}}},
    {"boost": [{"when": {"most": []}, "add": 0.1}]},
)
_QUERIES: tuple[dict[str, str], ...] = (
    *({"limit": limit} for limit in ("0", "101", "many")),
    *({"weights": weights} for weights in ("image", "pictures=1", "text=-1", "text=nan")),
    *({"explain": "full"}, {"filter": "title < < 3"}, {"fields": "titel"}, {"limits": "3"}, {"item_id": ""}),
)
_BODIES: tuple[dict[str, Json], ...] = (
    *({"filter": filter} for filter in _FILTERS),
    *({"limit": 0}, {"limits": 5}, {"strategy": "similiar"}, {"fallback": ["unpopular"]}, {"explain": True}),
    {"seeds": {"items": [{"item_id": "a"}, {"item_id": "b"}]}, "strategy": "similar"},
    {"seeds": {"items": [{"item_id": "a", "weight": 0}]}},
    {"seeds": {"events": [{"item_id": "a", "event_name": "sneeze"}]}},
    {"seeds": {"events": [{"item_id": "a", "timestamp": "2025-01-01T00:00:00"}]}},
    *({"seeds": {"text": "a red mug"}}, {"boost": [{"when": "title: EXISTS", "add": 1000}]}),
    {"exclude": {"purchased_days": 0}},
)
_POSTS: tuple[tuple[str, Json], ...] = (
    ("search", {}),
    ("placements/no-such-placement/recommendations", {}),
    ("placements/home/recommendations", {"limit": -1}),
    ("pages/recommendations", {"placements": []}),
    ("explanations", {"item_ids": []}),
    ("events", {"event_id": "e", "event_name": "view_item"}),
    ("recommendations", []),
)


def calls(sampler: Sampler) -> Iterator[Request]:
    """Yield calls that raise an error."""
    item_id = sampler.random.choice(sampler.ids)
    for options in _OPTIONS:
        yield _call("similar", item_id=item_id, **options)
        yield _call("recommend", history={"form": "ids", "events": [item_id]}, **options)
    yield _call("similar", item_id=UNKNOWN_IDS[0])
    yield _call("product", item_id=UNKNOWN_IDS[0])
    yield _call("similar_many", item_ids=[item_id, UNKNOWN_IDS[0]])
    yield _call("search")
    for events in ("a string", [3], [{"event_name": "view_item"}], [{"item_id": 5}], [None]):
        yield _call("recommend", history={"form": "ids", "events": events})


def http(sampler: Sampler) -> Iterator[Request]:
    """Yield requests that the service rejects."""
    item_id = sampler.random.choice(sampler.ids)
    for query in _QUERIES:
        yield _http("GET", "similar", query={"item_id": item_id, **query})
    for path in ("similar", "no-such-path", f"items/{UNKNOWN_IDS[0]}", f"items/{UNKNOWN_IDS[0]}/similar"):
        yield _http("GET", path)
    for body in _BODIES:
        yield _http("POST", "recommendations", json={"seeds": {"items": [{"item_id": item_id}]}, **body})
    for path, body in _POSTS:
        yield _http("POST", path, json=body)
    yield _http("POST", "recommendations", raw="{not JSON")
    yield _http("DELETE", "recommendations")


def _call(name: str, **args: Json) -> Request:
    return {"kind": "python, invalid", "on": "bundle", "call": name, "args": args}


def _http(method: str, path: str, **content: Json) -> Request:
    return {"kind": "http, invalid", "method": method, "path": f"/v1/{path}", **content}
