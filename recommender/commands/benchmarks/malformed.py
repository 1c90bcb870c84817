"""Malformed requests: wrong types, broken JSON, odd characters, huge values."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

# These would change which bundle is served.
_EXCLUDED = ("/v1/bundles/", "/v1/bundles:rollback")
_WORDS = [
    "",
    "A",
    "\x00",
    "é",
    "../../etc/passwd",
    "' OR 1=1 --",
    "%s%n",
    "x" * 2000,
    "price < 5",
    "{{7*7}}",
    "\ud800",
]
_NUMBERS = [0, -1, 1e308, 10**30, -0.0, True, None, 12, "12", float("nan"), float("inf")]


@dataclass(frozen=True)
class Malformed:
    """One malformed request; path and query are already quoted."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"


class MalformedRequests:
    """Makes malformed requests from an OpenAPI document: its paths, with its member names in odd places.

    Parameters
    ----------
    document
        As the service serves it.
    seed
        The same seed makes the same requests.
    """

    def __init__(self, document: Mapping[str, Any], seed: int) -> None:
        self._random = Random(seed)
        self._calls = [
            (method.upper(), path)
            for path, methods in document["paths"].items()
            for method in methods
            if not path.startswith(_EXCLUDED)
        ]
        schemas = document["components"]["schemas"].values()
        self._names = sorted({name for schema in schemas for name in schema.get("properties", ())})

    def requests(self, count: int) -> Iterator[Malformed]:
        """Yield `count` requests."""
        for _ in range(count):
            method, path = self._random.choice(self._calls)
            path = "/".join(self._word() if part.startswith("{") else part for part in path.split("/"))
            pairs = [f"{self._word(self._names)}={self._word()}" for _ in range(self._random.randint(0, 3))]
            body = None if method in ("GET", "DELETE") else self._body()
            kind = self._random.choices(["application/json", "text/plain", "é", ""], [9, 1, 1, 1])[0]
            yield Malformed(method, f"{path}?{'&'.join(pairs)}", body, kind)

    def _word(self, known: list[str] = _WORDS) -> str:
        return quote(self._random.choice(known if self._random.random() < 0.8 else _WORDS), errors="replace")

    def _body(self) -> bytes:
        kind = self._random.random()
        if kind < 0.05:
            return self._random.randbytes(self._random.randint(0, 300))
        if kind < 0.1:
            return b"[" * 100_000
        whole = json.dumps(self._value(4)).encode("utf-8", "replace")
        return whole[: self._random.randrange(len(whole))] if kind < 0.25 else whole

    def _value(self, depth: int) -> Any:
        kind = self._random.randrange(4) if depth else self._random.randrange(2)
        if kind == 0:
            return self._random.choice(_NUMBERS)
        if kind == 1:
            return self._random.choice(_WORDS)
        many = range(self._random.randint(0, 4))
        if kind == 2:
            return [self._value(depth - 1) for _ in many]
        return {self._random.choice(self._names): self._value(depth - 1) for _ in many}
