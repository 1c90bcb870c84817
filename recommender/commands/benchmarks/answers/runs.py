"""Run drawn requests through Python and HTTP, and record the answers."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from recommender.events import Event
from recommender.ranking.results import Recommendation, Recommendations, RecommendationTable
from recommender.recommender import Recommender, load
from recommender.stores import open_store

Json = Any
Request = dict[str, Any]

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)  # of every request over HTTP
_CLOCKS = ("serving.recommending.datetime", "serving.routes.questions.datetime")
_MESSAGES = ("warnings", "text", "detail", "suggestion")
# Methods of version 0.1 that are strategies now, and options that `explain` ignored.
_OLD_STRATEGIES = {"popular": "popular", "newest": "new", "complementary": "complementary"}
_OLD_EXPLAIN_OPTIONS = ("explain", "plan", "diversity", "pin")


def record(bundles: Path, requests: Sequence[Request], out: Path) -> int:
    """Write the answers of a bundle to requests, and return how many.

    Line n of the file is the answer to request n, without what is random. Floats are in hexadecimal, so that equal
    means equal to the last bit; messages (warnings, details of errors, reasons as text) are apart from the rest.

    Parameters
    ----------
    bundles
        Folder of published generations.
    requests
        Of `requests.draw`, or read from a file, those of version 0.1 included.
    out
        A gzipped file of one JSON document a line.
    """
    lines = (
        {"n": number, "kind": request["kind"], **answer}
        for number, (request, answer) in enumerate(zip(requests, answers(bundles, requests), strict=True))
    )
    return write_lines(out, lines)


def answers(bundles: Path, requests: Sequence[Request]) -> Iterator[dict[str, Json]]:
    """Yield the answer to each request; the first one is the settings of the service."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        url = f"sqlite:///{Path(folder).absolute()}/store.sqlite"
        library = {"bundle": load(bundles)}
        store_client = HttpRunner(bundles, requests[0]["settings"], url)
        client: HttpRunner | None = None
        yield _recorded(None)
        for request in requests[1:]:
            if request["kind"] == "store":
                yield _recorded(store_client.run(request))
            elif "on" in request:
                if request["on"] not in library:  # the bundle with the changes that the service has stored
                    overlay = stack.enter_context(open_store(url)).overlay
                    library[request["on"]] = load(bundles, overlay=overlay)
                yield _recorded(run_python(library[request["on"]], request))
            else:
                if client is None:  # trending products are counted when a service starts
                    client = HttpRunner(bundles, requests[0]["settings"], url)
                    for name in _CLOCKS:
                        stack.enter_context(patch(name, SimpleNamespace(now=lambda _: NOW)))
                yield _recorded(client.run(request))


class HttpRunner:
    """Sends requests to the service through Flask's test client.

    Parameters
    ----------
    bundles
        Folder of published generations.
    settings
        Of the service.
    store
        URL of its store.
    """

    def __init__(self, bundles: Path, settings: Mapping[str, Json], store: str) -> None:
        from serving.app import create_app
        from serving.settings import Settings

        unlimited: dict[str, Json] = {"rate": 1e9, "burst": 10**9}
        app = create_app(bundles, Settings.load(store=store, **unlimited, **settings), watch_seconds=None)
        self._client = app.test_client()

    def run(self, request: Request) -> Json:
        """Return status and body of the answer; of one that is not JSON the hash."""
        content: dict[str, Json] = {"json": request["json"]} if "json" in request else {}
        if "raw" in request:
            content = {"data": request["raw"], "content_type": "application/json"}
        query = {name: str(value) for name, value in request.get("query", {}).items()}
        answer = self._client.open(
            request["path"], method=request["method"], query_string=query or None, **content
        )
        if (answer.mimetype or "").endswith("json"):
            return {"status": answer.status_code, "body": json.loads(answer.data)}
        return {"status": answer.status_code, "sha256": sha256(answer.data).hexdigest()}


def run_python(rec: Recommender, request: Request) -> Json:
    """Return what a method of a `Recommender` returns, or the error that it raises."""
    try:
        return _plain(getattr(rec, request["call"])(**_arguments(rec, request["args"])))
    except Exception as error:
        pointer = getattr(error, "pointer", None)
        return {"error": type(error).__name__, "pointer": pointer, "detail": str(error)}


def _arguments(rec: Recommender, args: Mapping[str, Json]) -> dict[str, Json]:
    args = dict(args)
    if "history" in args:
        args["history"] = history_of(**args["history"])
    if "histories" in args:
        args["histories"] = [history_of(**each) for each in args["histories"]]
    if "pin" in args:
        args["pin"] = {int(position): item_id for position, item_id in args["pin"].items()}
    if "image_of" in args:
        from PIL import Image

        args["image"] = Image.open(BytesIO(rec.thumbnail(args.pop("image_of")) or b"")).convert("RGB")
    return args


def history_of(form: str, events: Json) -> Json:
    """Return a history as ids, `Event` objects, mappings or a frame."""
    if form == "events":
        return [Event(**{**event, "timestamp": datetime.fromisoformat(event["timestamp"])}) for event in events]
    if not form.startswith("frame"):
        return events
    import pandas as pd

    frame = pd.DataFrame(events)
    if form == "frame with times":
        frame["timestamp"] = [datetime.fromisoformat(each) for each in frame["timestamp"]]
    return frame


def _plain(result: Json) -> Json:
    """Return a method's result as mappings and lists."""
    match result:
        case Recommendations():
            names = ("strategy", "plan", "eligible", "candidates", "generation", "fallback_used", "warnings")
            return {**_members(result, names), "items": [_item(item) for item in result.items]}
        case RecommendationTable():
            return _members(result, ("rows", "scores", "item_ids", "strategies"))
        case list():
            return [
                {**_members(status, ("item_id", "left_out", "failed")), "item": _item(status.recommendation)}
                for status in result
            ]
    return result


def _item(item: Recommendation | None) -> Json:
    if item is None:
        return None
    reasons = [_members(reason, ("code", "seed", "share", "approximate")) for reason in item.reasons]
    return {**_members(item, ("item_id", "rank", "score", "parts", "text")), "reasons": reasons}


def _members(value: Json, names: Iterable[str]) -> dict[str, Json]:
    return {name: getattr(value, name) for name in names}


def _recorded(answer: Json) -> dict[str, Json]:
    """Split an answer into its value and its messages."""
    messages: list[Json] = []
    return {"answer": _value(answer, messages), "messages": messages}


def _value(value: Json, messages: list[Json]) -> Json:
    """Return a value as JSON with floats in hexadecimal; its messages are appended to `messages`."""
    match value:
        case Mapping():
            members: dict[str, Json] = {}
            for name, member in value.items():
                if name in _MESSAGES and not isinstance(member, float):  # a float is the score's term text
                    messages.extend([list(member) if isinstance(member, tuple) else member] if member else [])
                else:
                    members[str(name)] = member
            if "recommendation_id" in members:  # its end is random
                members["recommendation_id"] = members["recommendation_id"].rpartition("~")[0]
            return {name: _value(member, messages) for name, member in members.items()}
        case list() | tuple():
            return [_value(each, messages) for each in value]
        case np.ndarray() | np.generic():
            return _value(value.tolist(), messages)
        case float():
            return value.hex()
    return value


def read_requests(path: Path) -> list[Request]:
    """Read a file of requests; those of version 0.1 become calls of the present methods."""
    return [_present(request) for request in read_lines(path)]


def _present(request: Request) -> Request:
    if "call" not in request:
        return request
    call, args = request["call"], dict(request["args"])
    if call in _OLD_STRATEGIES:
        args["strategy"] = _OLD_STRATEGIES[call]
        call = "recommend"
    if call == "explain":
        args = {name: value for name, value in args.items() if name not in _OLD_EXPLAIN_OPTIONS}
    if "strengths" in args:
        args["history_weights"] = args.pop("strengths")
    return {**request, "call": call, "args": args}


def read_lines(path: Path) -> list[Json]:
    """Read one JSON document a line from a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_lines(path: Path, lines: Iterable[Json]) -> int:
    """Write one JSON document a line into a gzipped file, whole or not at all; return how many."""
    count, part = 0, path.with_name(f"{path.name}.part")
    with part.open("wb") as plain, gzip.GzipFile("", "wb", mtime=0, fileobj=plain) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            count += 1
    part.replace(path)
    return count
