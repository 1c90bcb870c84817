"""The tools for AI assistants: search, similar, recommend, explain, product.

Each call is a request to the service's own app in this process, so that keys, scopes, rates, filters and errors
are those of the HTTP API.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel

from recommender.client import Client, Json, ServiceError
from recommender.errors import RecommenderError, nearest
from recommender.recommender import Recommender
from serving.problems import Problem
from serving.schemas.base import RequestModel
from serving.schemas.requests import ItemId
from serving.schemas.responses import Answer, Explanations, Product
from serving.schemas.tools import ExplainTool, RecommendTool, SearchTool, SimilarTool
from serving.service import KEY, Service

if TYPE_CHECKING:
    from apiflask import APIFlask

# Attributes that a list of products has unless others are requested, as far as the catalogue has them.
FIELDS = ("title", "brand", "product_type", "price", "availability", "link")
NEAR = 50  # ids on each side of an unknown one that are compared with it


@dataclass(frozen=True)
class Tool:
    """A tool, and the request to the service that it makes.

    Parameters
    ----------
    description
        What it is for, for the assistant.
    params, output
        The models of its arguments and of its result.
    call
        Returns the result for validated arguments.
    """

    description: str
    params: type[RequestModel]
    output: type[BaseModel]
    call: Callable[[Client, Any], Json]


def _search(client: Client, params: SearchTool) -> Json:
    return client.search(params.text, params.image, **_given(params, without={"text", "image"}))


def _similar(client: Client, params: SimilarTool) -> Json:
    seeds = {"items": [{"item_id": params.item_id}]}
    return client.recommend(seeds=seeds, strategy="similar", **_given(params, without={"item_id"}))


def _recommend(client: Client, params: RecommendTool) -> Json:
    seeds = _seeds(params) | {"negative_items": [{"item_id": each} for each in params.negative_item_ids]}
    exclude = {"item_ids": params.exclude_item_ids}
    own = {"seed_item_ids", "negative_item_ids", "user_id", "text", "exclude_item_ids"}
    return client.recommend(seeds=seeds, exclude=exclude, **_given(params, without=own))


def _explain(client: Client, params: ExplainTool) -> Json:
    own = {"seed_item_ids", "user_id", "text"}
    return client.explain(seeds=_seeds(params), **_given(params, without=own))


def _product(client: Client, params: ItemId) -> Json:
    return client.item(params.item_id)


def _given(params: RequestModel, without: set[str]) -> Json:
    """Return the arguments that the request has under the same names."""
    return params.model_dump(exclude_defaults=True, exclude=without)


def _seeds(params: RecommendTool | ExplainTool) -> Json:
    items = [{"item_id": each} for each in params.seed_item_ids]
    return {"items": items, "user_id": params.user_id, "text": params.text}


TOOLS = {
    "search": Tool(
        "Find products by a text, an image or both: what a shopper describes.", SearchTool, Answer, _search
    ),
    "similar": Tool("Find the products most similar to one: alternatives to it.", SimilarTool, Answer, _similar),
    "recommend": Tool(
        "Recommend products for a user, for products that were looked at or are in the basket, or for neither.",
        RecommendTool,
        Answer,
        _recommend,
    ),
    "explain": Tool(
        "Explain products for seeds: their rank, the terms of their score and reasons, or what leaves them out.",
        ExplainTool,
        Explanations,
        _explain,
    ),
    "product": Tool("Return all attributes of one product.", ItemId, Product, _product),
}


class ToolError(RecommenderError):
    """A call of a tool has no result; the message says all that is wrong with it, a line each."""


class ToolCalls:
    """Answers calls of tools by requests to the service's app.

    Parameters
    ----------
    app
        The service.
    """

    def __init__(self, app: "APIFlask") -> None:
        self._app = app
        self.service: Service = app.extensions[KEY]

    @property
    def fields(self) -> list[str]:
        """The attributes that everybody may see."""
        private = self.service.settings.private_fields
        return [name for name in self.service.live.recommender.attributes.names if name not in private]

    def check_key(self, key: str) -> None:
        """Raise a `Problem` unless a key is valid and public, as every tool needs; without keys none is needed."""
        with self._app.test_request_context(headers={"Authorization": f"Bearer {key}"}):
            self.service.access.require("public")

    def call(self, name: str, arguments: Json, key: str, address: str) -> Json:
        """Return the result of a tool.

        Parameters
        ----------
        name, arguments
            As the assistant wrote them.
        key
            The API key of the sender; empty if there is none.
        address
            Of the sender, for the rate limit.

        Raises
        ------
        ToolError
            The call is wrong, or the service refuses it.
        """
        tool = _tool(name)
        try:
            params = tool.params.model_validate(arguments)
        except Problem as problem:
            raise ToolError(_readable(problem.body())) from None
        if "fields" in tool.params.model_fields and "fields" not in params.model_fields_set:
            params = params.model_copy(update={"fields": tuple(name for name in FIELDS if name in self.fields)})
        transport = httpx.WSGITransport(app=self._app, remote_addr=address)
        try:
            with Client("http://localhost", key or None, transport=transport) as client:
                return tool.call(client, params)
        except ServiceError as error:
            raise ToolError("\n".join([_readable(error.problem), *self._hints(params)])) from None

    def _hints(self, params: Any) -> Iterator[str]:
        """Yield what to do about each id of the arguments that no product has."""
        recommender = self.service.live.recommender
        for item_id in [params.item_id] if hasattr(params, "item_id") else getattr(params, "seed_item_ids", ()):
            if item_id not in recommender:
                near = _nearest_id(recommender, item_id)
                hint = "search and recommend return ids" if near is None else f"the nearest id is {near!r}"
                yield f"no product has the id {item_id!r}: {hint}"


def _tool(name: str) -> Tool:
    if name not in TOOLS:
        hint = f"; did you mean {guess!r}?" if (guess := nearest(name, TOOLS)) else ""
        raise ToolError(f"unknown tool {name[:100]!r}; expected one of {', '.join(TOOLS)}{hint}")
    return TOOLS[name]


def _nearest_id(recommender: Recommender, item_id: str) -> str | None:
    """Return the id most similar to an unknown one, among those next to it in order."""
    ids = recommender.attributes.ids
    at = bisect_left(ids.in_order, item_id, key=ids.id_of)
    around = ids.ids_of(ids.in_order[max(at - NEAR, 0) : at + NEAR])
    return nearest(item_id, filter(recommender.__contains__, around))


def _readable(problem: Any) -> str:
    """Return the details of a problem, each once."""
    details = [problem.get("detail") or problem["title"], *(each["detail"] for each in problem.get("errors", ()))]
    return "\n".join(dict.fromkeys(details))
