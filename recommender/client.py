"""A client of the HTTP service: one method per endpoint, which returns the JSON as a dict."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from recommender.errors import RecommenderError

Json = dict[str, Any]


class ServiceError(RecommenderError):
    """The service refused a call.

    Parameters
    ----------
    problem
        The problem details (RFC 9457): type, title, status, detail and, for invalid members, errors.
    retry_after
        Seconds to wait before the next attempt, if the service sent them.
    """

    def __init__(self, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        super().__init__(f"{problem.get('status')}: {problem.get('detail') or problem.get('title')}")
        self.problem = problem
        self.status = int(problem.get("status", 0))
        self.retry_after = retry_after


class Client:
    """Calls one service; thread-safe, keeps its connections, and is a context manager.

    Answers are the dicts that the service's `/openapi.json` describes; options are the members of its requests,
    such as ``limit=5, filter="price < 50", fields=["title"], explain="summary"``. Ids may hold any character.

    >>> with Client("http://127.0.0.1:8000", key="…") as client:               # doctest: +SKIP
    ...     client.similar("SKU-1042", limit=5)["items"]

    Parameters
    ----------
    url
        The service's base URL.
    key
        An API key, if the service has any.
    market
        The market whose shop answers; by default the service's own.
    timeout
        In seconds, for each call.
    transport
        Of httpx, such as `httpx.WSGITransport` in tests.

    Raises
    ------
    ServiceError
        From every method, if the service refuses the call; `httpx.TransportError` if it cannot be reached.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout: float = 5.0,
        transport: httpx.BaseTransport | None = None,
        market: str | None = None,
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        headers |= {} if market is None else {"X-Market": market}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Recommendations

    def similar(self, item_id: str, **options: Any) -> Json:
        """Return the products most similar to one."""
        return self._get("/v1/similar", item_id=item_id, **options)

    def complementary(self, item_id: str, **options: Any) -> Json:
        """Return what is bought together with a product."""
        return self._get("/v1/complementary", item_id=item_id, **options)

    def trending(self, **options: Any) -> Json:
        """Return what users have chosen recently."""
        return self._get("/v1/trending", **options)

    def new(self, **options: Any) -> Json:
        """Return the newest products."""
        return self._get("/v1/new", **options)

    def for_user(self, user_id: str, **options: Any) -> Json:
        """Return recommendations for a user whose events the service has."""
        return self._get("/v1/recommendations", user_id=user_id, **options)

    def recommend(self, *, placement: str | None = None, **params: Any) -> Json:
        """Return recommendations for ``seeds={"user_id": "u-819"}`` and the like, at a placement if named."""
        at = "" if placement is None else f"/placements/{placement}"
        return self._post(f"/v1{at}/recommendations", params)

    def page(self, placements: Sequence[Mapping[str, Any]], **params: Any) -> Json:
        """Return recommendations for the placements of a page, ``[{"placement": "pdp"}]``, no product twice.

        The part of a placement that fails has an ``error`` in the place of ``items``.
        """
        return self._post("/v1/pages/recommendations", {"placements": [*placements], **params})

    def search(self, text: str | None = None, image: bytes | None = None, **options: Any) -> Json:
        """Return the products that match a text, an image file or both."""
        encoded = None if image is None else b64encode(image).decode()
        return self._post("/v1/search", _without_none(text=text, image=encoded) | options)

    def autocomplete(self, text: str, **options: Any) -> Json:
        """Return queries and products for what a user has typed so far."""
        return self._get("/v1/autocomplete", q=text, **options)

    def explain(self, item_ids: Sequence[str], **params: Any) -> Json:
        """Return why products are recommended for these seeds, or why not."""
        return self._post("/v1/explanations", {"item_ids": [*item_ids], **params})

    # Events and users

    def send(self, event: Mapping[str, Any]) -> Json:
        """Store an event; sent again, it is stored once."""
        return self._post("/v1/events", event)

    def send_many(self, events: Iterable[Mapping[str, Any]]) -> Json:
        """Store up to 1,000 events, and return a receipt for each."""
        return self._post("/v1/events:batch", {"events": [*events]})

    def user_events(self, user_id: str, limit: int = 200, cursor: str | None = None) -> Json:
        """Return a user's latest events, oldest first, or those before a page with this ``next_cursor``."""
        return self._get("/v1/events", user_id=user_id, limit=limit, cursor=cursor)

    def put_user(self, user_id: str, attributes: Mapping[str, Any]) -> Json:
        """Store the attributes of a user such as ``{"age": 34}``, in the place of those stored before."""
        return self._post("/v1/users:put", {"user_id": user_id, "attributes": {**attributes}})

    def user(self, user_id: str) -> Json:
        """Return the stored attributes of a user."""
        return self._get("/v1/users:get", user_id=user_id)

    def erase_user(self, user_id: str) -> Json:
        """Erase the attributes and every event of a user, and return the receipt."""
        return self._post("/v1/users:erase", {"user_id": user_id})

    def erase_session(self, session_id: str) -> Json:
        """Erase every event of a session, and return the receipt."""
        return self._post("/v1/sessions:erase", {"session_id": session_id})

    def merge(self, session_id: str, user_id: str) -> Json:
        """Assign the events of a session to the user who has logged in."""
        return self._post("/v1/users:merge", {"session_id": session_id, "user_id": user_id})

    # Products

    def item(self, item_id: str) -> Json:
        """Return the attributes of a product."""
        return self._get("/v1/items:get", item_id=item_id)

    def thumbnail(self, item_id: str) -> bytes:
        """Return a product's thumbnail, a JPEG."""
        return self._call("GET", "/v1/thumbnails", params={"item_id": item_id}).content

    def change_items(self, items: Iterable[Mapping[str, Any]]) -> Json:
        """Change attributes of up to 1,000 products, or add them; each has its ``id``."""
        return self._post("/v1/items:batch", {"items": [*items]})

    def delete_item(self, item_id: str) -> Json:
        """Remove a product from all answers."""
        return self._post("/v1/items:delete", {"item_id": item_id})

    # Operations

    def report(self, start: str, end: str, cursor: str | None = None) -> Json:
        """Count impressions, clicks and purchases between two days such as "2026-11-01", both included."""
        return self._get("/v1/reports/placements", **{"from": start, "to": end}, cursor=cursor)

    def order_report(
        self, start: str, end: str, by: Sequence[str] | None = None, cursor: str | None = None
    ) -> Json:
        """Return orders and revenue between two days, by day, placement, strategy and arm or some."""
        return self._get("/v1/reports/orders", **{"from": start, "to": end}, by=by, cursor=cursor)

    def experiment_report(self, name: str, start: str, end: str | None = None) -> Json:
        """Compare the arms of an experiment since the day on which it began, until a day or today."""
        return self._get(f"/v1/reports/experiments/{name}", **{"from": start, "to": end})

    def generations(self, cursor: str | None = None) -> Json:
        """List the published generations, or those after a page with this ``next_cursor``."""
        return self._get("/v1/bundles", cursor=cursor)

    def activate(self, generation: str) -> Json:
        """Make a generation current."""
        return self._post(f"/v1/bundles/{generation}:activate")

    def rollback(self) -> Json:
        """Make the generation before the current one current."""
        return self._post("/v1/bundles:rollback")

    def info(self) -> Json:
        """Return the bundle in service, its attributes, weights and metrics."""
        return self._get("/v1/info")

    def _get(self, path: str, **query: Any) -> Json:
        params = {name: _query_value(value) for name, value in query.items() if value is not None}
        content: Json = self._call("GET", path, params=params).json()
        return content

    def _post(self, path: str, body: Mapping[str, Any] | None = None) -> Json:
        content: Json = self._call("POST", path, json=body).json()
        return content

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        response = self._http.request(method, path, **request)
        if response.is_success:
            return response
        wait = response.headers.get("Retry-After")
        is_problem = response.headers.get("Content-Type", "").startswith("application/problem+json")
        problem = (
            response.json() if is_problem else {"status": response.status_code, "title": response.reason_phrase}
        )
        raise ServiceError(problem, None if wait is None else float(wait))


def _without_none(**members: Any) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def _query_value(value: Any) -> Any:
    """Format weights as name=weight and lists with commas, as query strings have them."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={each}" for name, each in value.items())
    return value if isinstance(value, str | int | float) else ",".join(value)
