"""CPU time of the costliest requests that a public key may send: each kind at its limits, where it is answered.

The service runs as in production, with one worker, and gets each kind a few times with other values, so that no
cache answers it. Requests that are refused count too: whatever they hold must be parsed before.
"""

import gzip
import json
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np

import recommender
from recommender.commands.benchmarks.serve import KEYS, keys
from recommender.commands.benchmarks.service import ServiceProcess, children, cpu_seconds, running
from recommender.progress import progress
from recommender.recommender import Recommender

WORKER_MS, ENCODER_MS = 100, 300  # what one request may cost
PLACEMENTS = {"page": {"question": {"strategy": "for_you", "diversity": {"mmr": 0.3}, "explain": "summary"}}}
CONDITIONS, VALUES, PRODUCTS, EVENTS = 200, 10_000, 100, 1000
LINES = 2  # of each of so many events of a batch
COMMAS, BYTES = 99_000, 8_000_000
LENIENT_COMMAS = 29_000  # beside half a character
BOOSTS = 20
# Width and height at the limits of pixels, see `serving.images`.
LARGEST = {"JPEG": (5000, 5000), "progressive JPEG": (4000, 3000), "PNG": (2000, 2000), "WEBP": (2000, 2000)}
Body = Callable[["Draw"], Any]


@dataclass(frozen=True)
class RequestKind:
    """A kind of request: its path, and its body for some drawn values, as JSON values or bytes."""

    name: str
    path: str
    body: Body
    headers: tuple[tuple[str, str], ...] = ()


class Draw:
    """Draws what a request holds from a bundle.

    Parameters
    ----------
    rec
        The bundle.
    seed
        The same seed draws the same.
    """

    def __init__(self, rec: Recommender, seed: int) -> None:
        self.rec, self.seed, self.random = rec, seed, Random(seed)
        self.now = datetime.now(UTC).isoformat()

    def ids(self, count: int) -> list[str]:
        """Return distinct product ids; fewer in a smaller bundle."""
        return self.random.sample(self.rec.ids, min(count, self.rec.n))

    def events(self, count: int) -> list[dict[str, Any]]:
        """Return events of a session."""
        names = ("view_item", "add_to_cart", "purchase")
        some = self.random.choices(self.rec.ids, k=count)
        return [{"item_id": each, "event_name": self.random.choice(names), "timestamp": self.now} for each in some]

    def condition(self, name: str, values: int) -> dict[str, Any]:
        """Return a condition on an attribute, with so many values where it takes some."""
        kind = self.rec.attributes.kind(name)
        if kind in ("number", "date"):
            low, high = sorted(self.random.random() * 1000 for _ in range(2))
            return {"field": name, "range": {"gte": low, "lt": high}} if kind == "number" else {"field": name}
        rows = [self.random.randrange(self.rec.n) for _ in range(values)]
        found = [self.rec.attributes.value(name, row) for row in rows]
        texts = [each[0] if isinstance(each, list) else each or "none" for each in found]
        return {"field": name, "any": texts}

    def conditions(self, names: Sequence[str], count: int, values: int) -> list[dict[str, Any]]:
        """Return conditions on attributes in turn, with so many values together."""
        return [self.condition(names[each % len(names)], values // count) for each in range(count)]

    def batch(self, **members: Any) -> dict[str, Any]:
        """Return a batch of events of as many products as it may have; `members` are each event's."""
        items = iter(self.random.choices(self.rec.ids, k=EVENTS * LINES))
        events = [
            {
                "event_id": f"{self.seed}-{number}",
                "event_name": "purchase",
                "timestamp": self.now,
                "session_id": f"s-{number}",
                "items": [{"item_id": next(items), "quantity": 1, "price": 2.5} for _ in range(LINES)],
                **members,
            }
            for number in range(EVENTS)
        ]
        return {"events": events}


def kinds(rec: Recommender) -> Iterator[RequestKind]:
    """Yield the kinds of requests at their limits."""
    ask = partial(RequestKind, path="/v1/recommendations")
    names = [name for name in rec.attributes.names if rec.attributes.kind(name) != "date"]

    def session(**members: Any) -> Body:
        return lambda draw: {"seeds": {"events": draw.events(EVENTS)}, "limit": 100, **members}

    def filtered(names: Sequence[str], group: str, values: int = VALUES) -> Body:
        return lambda draw: {"filter": {group: draw.conditions(names, CONDITIONS, values - CONDITIONS)}}

    varied = {"explain": "summary", "diversity": {"mmr": 0.5, "max_per": dict.fromkeys(names[:5], 1)}}
    yield ask("1,000 events", body=session())
    yield ask("1,000 events, MMR, explained", body=session(explain="summary", diversity={"mmr": 0.5}))
    yield ask("1,000 events, MMR, max_per of all, explained", body=session(**varied))
    for strategy in ("complementary", "cart", "session", "recently_viewed", "buy_again"):
        fallbacks = ["popular_in_category", "trending", "new"]
        yield ask(
            f"1,000 events, {strategy}, explained",
            body=session(explain="summary", strategy=strategy, fallback=fallbacks),
        )
    for name in names:
        yield ask(f"filter: 200 conditions on {name}", body=filtered([name], "must", 2 * CONDITIONS))
        yield ask(f"filter: 10,000 values of {name}", body=filtered([name], "should"))
    yield ask("filter: 10,000 values as text", body=lambda draw: {"filter": _as_text(draw, names[0])})
    yield ask("filter: 10,000 ids", body=lambda draw: {"filter": {"ids": draw.ids(VALUES)}})
    yield ask("10,000 products excluded", body=lambda draw: {"exclude": {"item_ids": draw.ids(VALUES)}})
    yield ask("boosts: 200 conditions, 10,000 values", body=partial(_boosted, names=names))
    yield ask("all of these", body=partial(_everything, names=names, varied=varied))
    yield RequestKind(
        "explanations: 100 products, 1,000 events, a filter", "/v1/explanations", partial(_why, names=names)
    )
    yield RequestKind("page: 12 placements", "/v1/pages/recommendations", _page)
    batch = partial(RequestKind, path="/v1/events:batch")
    yield batch("1,000 events of 2 products", body=Draw.batch)
    yield batch("1,000 events of 2 unknown products", body=_unknown)
    yield batch("1,000 events of wrong names", body=_misspelt)
    yield batch("1,000 events without anything", body=lambda draw: {"events": [{}] * EVENTS})
    yield ask("JSON: 100,000 lists", body=lambda draw: b'{"seeds":[' + b"[]," * COMMAS + b"[]]}")
    yield ask("JSON: 30,000 objects, half a character", body=lambda draw: _half_a_character())
    yield ask("JSON: lists in lists", body=lambda draw: b'{"seeds":' + b"[" * 1000 + b"]" * 1000 + b"}")
    yield ask("JSON: a text of 8 MB", body=lambda draw: {"strategy": "é" * (BYTES // 6)})
    yield ask("JSON: 100 misspelt members", body=lambda draw: {f"limit{each}": 1 for each in range(100)})
    packed = gzip.compress(b" " * BYTES + b"{}")
    yield ask("gzip: 8 MB", body=lambda draw: packed, headers=(("Content-Encoding", "gzip"),))


def _as_text(draw: Draw, name: str) -> str:
    values = draw.condition(name, VALUES // 2).get("any", ["1"])
    return f"{name}: ANY({', '.join(json.dumps(value, ensure_ascii=False) for value in values)})"


def _boosted(draw: Draw, names: Sequence[str], share: int = 1) -> dict[str, Any]:
    """Return boosts with all conditions and values that they may have, or a share of them."""
    each = CONDITIONS // BOOSTS // share
    whens = [draw.conditions(names, each, VALUES // BOOSTS // share - each) for _ in range(BOOSTS)]
    return {"boost": [{"when": {"should": when}, "add": 0.1} for when in whens]}


def _everything(draw: Draw, names: Sequence[str], varied: Mapping[str, Any]) -> dict[str, Any]:
    items = [{"item_id": each, "weight": 0.5} for each in draw.ids(PRODUCTS)]
    negative = [{"item_id": each} for each in draw.ids(PRODUCTS)]
    return {
        "seeds": {"events": draw.events(EVENTS), "items": items, "negative_items": negative},
        "filter": {"should": draw.conditions(names, CONDITIONS // 2, VALUES // 2 - CONDITIONS)},
        "exclude": {"item_ids": draw.ids(VALUES), "seen": True, "purchased_days": 30},
        "weights": {"prior": 0.1 + draw.random.random()},
        "fields": names,
        "limit": 100,
        **varied,
        **_boosted(draw, names, share=2),
    }


def _why(draw: Draw, names: Sequence[str]) -> dict[str, Any]:
    filter_tree = {"must": draw.conditions(names, 25, 25)}
    return {"item_ids": draw.ids(PRODUCTS), "seeds": {"events": draw.events(EVENTS)}, "filter": filter_tree}


def _page(draw: Draw) -> dict[str, Any]:
    placements = [{"placement": "page", "limit": 20} for _ in range(12)]
    return {"seeds": {"events": draw.events(PRODUCTS)}, "placements": placements}


def _unknown(draw: Draw) -> dict[str, Any]:
    return draw.batch(items=[{"item_id": f"{draw.seed} unknown {number}"} for number in range(LINES)])


def _misspelt(draw: Draw) -> dict[str, Any]:
    return {"events": [{f"event_nam{name}x{number}": 1 for name in range(90)} for number in range(EVENTS)]}


def _half_a_character() -> bytes:
    return b'{"a":"\\ud800","seeds":[' + b'{"a":[1]},' * LENIENT_COMMAS + b"1]}"


def kinds_of_encoder(rec: Recommender) -> Iterator[RequestKind]:
    """Yield the kinds of requests that need the query encoder, at their limits."""
    words = "a wide oak table in the style of the fifties "
    yield RequestKind(
        "text of 1,000 characters", "/v1/search", lambda draw: {"text": f"{draw.seed} {words * 40}"[:1000]}
    )
    for kind in LARGEST:
        yield RequestKind(f"the largest {kind}", "/v1/search", partial(_photo, kind=kind))


def _photo(draw: Draw, kind: str) -> dict[str, str]:
    """Return the search of a photo as large as it may be, and as detailed as fits into 5 MiB."""
    from PIL import Image

    width, height = LARGEST[kind]
    generator = np.random.default_rng(draw.seed)
    coarse = generator.integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
    photo, file = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR), BytesIO()
    photo.save(file, kind.split()[-1], quality=60, progressive=kind.startswith("progressive"))
    return {"image": b64encode(file.getvalue()).decode()}


def measure_limits(bundles: Path, times: int, encoder: bool) -> list[dict[str, Any]]:
    """Return the CPU milliseconds of each kind of request, the costliest first.

    Parameters
    ----------
    times
        How often each kind is sent; the figures are means, of what the system counts in hundredths of a second.
    encoder
        Whether text and image queries are sent too, to the bundle's encoder.
    """
    rec = recommender.load(bundles)
    wanted = [*kinds(rec), *(kinds_of_encoder(rec) if encoder else ())]
    headers = {"Authorization": f"Bearer {KEYS['public']}", "Content-Type": "application/json"}
    settings = keys() | {"RECOMMENDER_PLACEMENTS": json.dumps(PLACEMENTS)}
    settings |= {"RECOMMENDER_QUERY_ENCODER": json.dumps(encoder), "RECOMMENDER_STORE_TIMEOUT_MS": "60000"}
    with (
        tempfile.TemporaryDirectory() as folder,
        running(bundles, f"sqlite:///{folder}/store.db", workers=1, settings=settings) as service,
        httpx.Client(base_url=service.url, timeout=120, headers=headers) as client,
    ):
        measured = [
            measure(rec, service, client, kind, times)
            for kind in progress(wanted, "requests", len(wanted), "kind")
        ]
    return sorted(measured, key=lambda each: -max(each["worker_ms"], each["encoder_ms"]))


def measure(
    rec: Recommender, service: ServiceProcess, client: httpx.Client, kind: RequestKind, times: int
) -> dict[str, Any]:
    """Return the mean CPU milliseconds of one kind of request in the worker and in the encoder's process."""
    bodies = [kind.body(Draw(rec, seed)) for seed in range(times + 1)]
    sent = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
    client.post(kind.path, content=sent.pop(), headers=dict(kind.headers))  # it warms up
    before = _spent(service)
    statuses = {client.post(kind.path, content=each, headers=dict(kind.headers)).status_code for each in sent}
    worker, encoder = (1e3 * (now - then) / times for now, then in zip(_spent(service), before, strict=True))
    return {
        "kind": kind.name,
        "path": kind.path,
        "status": max(statuses),
        "kb": len(sent[0]) / 1e3,
        "worker_ms": round(worker, 1),
        "encoder_ms": round(encoder, 1),
    }


def _spent(service: ServiceProcess) -> tuple[float, float]:
    """Return the CPU seconds of the worker and of the encoder, whose process is restarted by another one."""
    pids = service.worker_pids()
    encoders = [pid for pid in pids if children(pid)]
    return sum(cpu_seconds(pid) for pid in pids if pid not in encoders), sum(map(cpu_seconds, encoders))


def table(report: Sequence[Mapping[str, Any]]) -> str:
    """Return the report as text; an asterisk marks what costs more than it may."""
    lines = [f"{'':52}{'status':>6}{'kB':>9}{'worker ms':>11}{'encoder ms':>12}"]
    for each in report:
        over = "*" if each["worker_ms"] > WORKER_MS or each["encoder_ms"] > ENCODER_MS else ""
        figures = f"{each['status']:6}{each['kb']:9,.0f}{each['worker_ms']:11.1f}{each['encoder_ms']:12.1f}"
        lines.append(f"{each['kind'][:51]:52}{figures} {over}".rstrip())
    lines.append(f"* more than {WORKER_MS} ms in the worker, or {ENCODER_MS} ms in the encoder's process")
    return "\n".join(lines)
