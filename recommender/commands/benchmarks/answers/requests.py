"""Draw requests to a bundle: calls of Python methods and HTTP requests, valid and invalid."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from recommender.commands.benchmarks.answers import invalid, service_data
from recommender.commands.benchmarks.answers.sampling import Sampler, to_text
from recommender.commands.benchmarks.answers.service_data import PLACEMENTS, USERS
from recommender.ranking.request import FALLBACKS, STRATEGIES
from recommender.recommender import load

Json = Any
Request = dict[str, Any]

_BY_ITEM = ("similar", "visually_similar")
_HISTORY_STRATEGIES = ("complementary", "cart", "session", "popular", "new", "recently_viewed", "buy_again")

# The share of each kind of request.
_PYTHON = {
    "similar": 0.14,
    "recommend": 0.24,
    "search": 0.02,
    "explain": 0.045,
    "similar_many": 0.03,
    "recommend_many": 0.025,
    "product": 0.02,
}
_HTTP = {
    "by_item": 0.08,
    "user": 0.035,
    "catalogue": 0.04,
    "recommendations": 0.2,
    "explanations": 0.04,
    "placement": 0.055,
    "page": 0.03,
}
_CHANGED = 0.15  # of them are drawn once more after products have changed


def draw(bundles: Path, count: int, seed: int) -> Iterator[Request]:
    """Yield the settings of the service, events for its store, valid and invalid requests, changes of products.

    Parameters
    ----------
    bundles
        Folder of published generations.
    count
        About how many valid requests; some 180 others are constant.
    seed
        Of the random numbers.
    """
    sampler = Sampler(load(bundles), seed)
    yield service_data.settings(sampler)
    yield from service_data.stored_events(sampler)
    yield from _drawn(PythonRequests(sampler), _PYTHON, count)
    yield from invalid.calls(sampler)
    yield from _drawn(HttpRequests(sampler), _HTTP, count)
    yield from invalid.http(sampler)
    yield from service_data.changes(sampler)
    yield from _drawn(HttpRequests(sampler, " after changes"), _HTTP, count * _CHANGED)
    yield from _drawn(PythonRequests(sampler, "changes"), _PYTHON, count * _CHANGED)


def _drawn(
    requests: "PythonRequests | HttpRequests", shares: Mapping[str, float], count: float
) -> Iterator[Request]:
    for name, share in shares.items():
        yield from (getattr(requests, name)() for _ in range(round(count * share / (1 + _CHANGED))))


class PythonRequests:
    """Draws calls of a `Recommender`; each method draws one.

    Parameters
    ----------
    sampler
        Draws the arguments.
    on
        "bundle", or "changes" for the bundle with the overlay of the service's store.
    """

    def __init__(self, sampler: Sampler, on: str = "bundle") -> None:
        self.sampler, self.random, self.on = sampler, sampler.random, on

    def call(self, name: str, **args: Json) -> Request:
        """Return one call, without arguments that are None."""
        after = " after changes" if self.on == "changes" else ""
        args = {key: value for key, value in args.items() if value is not None}
        return {"kind": f"python {name}{after}", "on": self.on, "call": name, "args": args}

    def options(self) -> dict[str, Json]:
        """Return some of the options that all methods have."""
        sampler = self.sampler
        return sampler.members(
            {
                "filter": (0.45, sampler.filter),
                "weights": (0.3, sampler.weights),
                "exclude": (0.25, lambda: sampler.items(8)),
                "variants": (0.25, lambda: self.random.choice(("collapse", "all", "all"))),
                "stock": (0.2, lambda: self.random.choice(("available", "all", "all"))),
                "boost": (0.2, sampler.boosts),
            }
        )

    def ranked(self) -> dict[str, Json]:
        """Return some of the options of methods that return a list."""
        sampler = self.sampler
        more = {
            "explain": (0.5, lambda: sampler.chance(0.9)),
            "plan": (0.5, lambda: self.random.choice(("auto", "exact", "annoy", "annoy"))),
            "diversity": (0.25, sampler.diversity),
            "pin": (0.12, lambda: {str(self.random.randint(1, 12)): sampler.item() for _ in range(2)}),
        }
        return {"k": sampler.k(), **self.options(), **sampler.members(more)}

    def history(self) -> Json:
        """Return a history in one of the forms of `runs.history_of`."""
        form = self.random.choice(("ids", "ids", "events", "mappings", "frame", "frame with times"))
        if form == "ids":
            limit = self.random.choice((1, 3, 8, 30))
            return {"form": form, "events": [] if self.sampler.chance(0.05) else self.sampler.items(limit)}
        timed = form in ("events", "frame with times") or self.sampler.chance(0.5)
        return {"form": form, "events": self.sampler.events(timed=timed)}

    def similar(self) -> Request:
        """Draw a call of `similar`."""
        return self.call("similar", item_id=self.sampler.item(), **self.ranked())

    def recommend(self) -> Request:
        """Draw a call of `recommend`, half of the time by the strategy for_you."""
        sampler = self.sampler
        if sampler.chance(0.15):  # without a history: items count as events of the present time
            args = {"strategy": self.random.choice((*_BY_ITEM, "cart")), "items": [sampler.item()]}
            return self.call("recommend", **args, **self.ranked())
        history = self.history()
        strategy = self.random.choice(_HISTORY_STRATEGIES) if sampler.chance(0.4) else None
        weights = [self.random.choice((0.5, 1.0, 2.0, 7.0)) for _ in history["events"]]
        more = {"history_weights": (0.2, lambda: weights), "exclude_history": (0.25, lambda: False)}
        more["fallback"] = (0.2, lambda: self.random.sample(FALLBACKS, 2))
        return self.call("recommend", history=history, strategy=strategy, **sampler.members(more), **self.ranked())

    def search(self) -> Request:
        """Draw a call of `search`: by words of a title, an image or both."""
        sampler = self.sampler
        title = str(sampler.rec.product(self.random.choice(sampler.ids)).get("title") or "a new product").split()
        text = " ".join(self.random.sample(title, min(len(title), self.random.randint(1, 4))))
        image_of = self.random.choice(sampler.with_image) if sampler.with_image and sampler.chance(0.3) else None
        history = self.history() if sampler.chance(0.3) else None
        only_image = image_of is not None and sampler.chance(0.6)
        query = {"text": None if only_image else text, "image_of": image_of}
        return self.call("search", **query, history=history, **self.ranked())

    def explain(self) -> Request:
        """Draw a call of `explain`."""
        return self.call("explain", item_ids=self.sampler.items(8), history=self.history(), **self.options())

    def similar_many(self) -> Request:
        """Draw a call of `similar_many`."""
        ids = self.random.choices(self.sampler.ids, k=self.random.randint(1, 25))
        return self.call("similar_many", item_ids=ids, **self.ranked())

    def recommend_many(self) -> Request:
        """Draw a call of `recommend_many`."""
        histories = [self.history() for _ in range(self.random.randint(1, 12))]
        return self.call("recommend_many", histories=histories, **self.ranked())

    def product(self) -> Request:
        """Draw a call of `product`."""
        return self.call("product", item_id=self.sampler.item())


class HttpRequests:
    """Draws requests to the service; each method draws one.

    Requests either have timestamps throughout or none at all: a mix would depend on the time of the request.

    Parameters
    ----------
    sampler
        Draws the parts.
    after
        Appended to the kind of each request.
    """

    def __init__(self, sampler: Sampler, after: str = "") -> None:
        self.sampler, self.random, self.after = sampler, sampler.random, after

    def get(self, path: str, kind: str, **query: Json) -> Request:
        """Return a GET request."""
        return {"kind": f"http GET {kind}{self.after}", "method": "GET", "path": path, "query": query}

    def post(self, path: str, kind: str, body: Json) -> Request:
        """Return a POST request."""
        return {"kind": f"http POST {kind}{self.after}", "method": "POST", "path": path, "json": body}

    def options(self) -> dict[str, Json]:
        """Return some of the options that all requests have."""
        sampler = self.sampler
        return sampler.members(
            {
                "limit": (0.7, sampler.k),
                "filter": (0.35, sampler.filter),
                "weights": (0.25, sampler.weights),
                "fields": (0.3, lambda: self.random.sample(sampler.names, min(2, len(sampler.names)))),
                "explain": (0.5, lambda: self.random.choice(("summary", "summary", "none"))),
            }
        )

    def query(self) -> dict[str, Json]:
        """Return some options as a query string has them."""
        query = self.options()
        if "weights" in query:
            query["weights"] = ",".join(f"{name}={weight}" for name, weight in query["weights"].items())
        if "fields" in query:
            query["fields"] = ",".join(query["fields"])
        if "filter" in query and not isinstance(query["filter"], str):
            query["filter"] = to_text(query["filter"])
        return query

    def by_item(self) -> Request:
        """Draw a request for similar or complementary products."""
        name, item_id = self.random.choice(("similar", "similar", "complementary")), self.sampler.item()
        if self.sampler.chance(0.5):
            return self.get(f"/v1/items/{quote(item_id, safe='')}/{name}", name, **self.query())
        return self.get(f"/v1/{name}", name, item_id=item_id, **self.query())

    def user(self) -> Request:
        """Draw a request for recommendations of a user."""
        user = self.random.choice(USERS)
        if self.sampler.chance(0.5):
            return self.get(f"/v1/users/{quote(user, safe='')}/recommendations", "users", **self.query())
        return self.get("/v1/recommendations", "users", user_id=user, **self.query())

    def catalogue(self) -> Request:
        """Draw a request for trending or new products, a product or its thumbnail."""
        name = self.random.choice(("trending", "new", "items:get", "thumbnails"))
        if name in ("trending", "new"):
            return self.get(f"/v1/{name}", name, **self.query())
        return self.get(f"/v1/{name}", name, item_id=self.sampler.item())

    def seeds(self, by_item: bool = False) -> dict[str, Json]:
        """Return seeds: items and events without timestamps, or a user and events with them."""
        sampler = self.sampler
        if by_item:
            return {"items": [{"item_id": sampler.item()}]}
        if sampler.chance(0.5):
            user = {"user_id": self.random.choice(USERS)} if sampler.chance(0.65) else {}
            return {**user, **({} if user and sampler.chance(0.5) else {"events": sampler.events(8)})}
        weights = [
            {"weight": self.random.choice((0.5, 2.0, 10.0))} if sampler.chance(0.2) else {} for _ in range(6)
        ]
        items = [
            {"item_id": item_id, **weight} for item_id, weight in zip(sampler.items(6), weights, strict=False)
        ]
        more = {
            "negative_items": (0.2, lambda: [{"item_id": sampler.item()}]),
            "events": (0.25, lambda: sampler.events(8, timed=False)),
        }
        return {"items": items, **sampler.members(more)}

    def rules(self) -> dict[str, Json]:
        """Return the members of a recommendation request other than its seeds and strategy."""
        sampler = self.sampler
        exclude = {
            "item_ids": (0.6, lambda: sampler.items(6)),
            "seen": (0.4, lambda: sampler.chance(0.3)),
            "purchased_days": (0.3, lambda: self.random.choice((1, 36_500))),
        }
        more = {
            "exclude": (0.3, lambda: sampler.members(exclude)),
            "diversity": (0.25, sampler.diversity),
            "boost": (0.2, sampler.boosts),
            "fallback": (0.3, lambda: self.random.sample(FALLBACKS, self.random.randint(0, 3))),
        }
        return {**self.options(), **sampler.members(more)}

    def recommendations(self) -> Request:
        """Draw a request for recommendations by any strategy but search, or without one."""
        strategy = self.random.choice([name for name in STRATEGIES if name != "search"] + [None])
        by_item = strategy in _BY_ITEM and self.sampler.chance(0.9)
        body = {"seeds": self.seeds(by_item), **self.rules(), **({"strategy": strategy} if strategy else {})}
        return self.post("/v1/recommendations", f"recommendations, {strategy or 'no strategy'}", body)

    def explanations(self) -> Request:
        """Draw a request for explanations."""
        rules = {name: value for name, value in self.rules().items() if name in ("filter", "exclude", "weights")}
        body = {"item_ids": self.sampler.items(8), "seeds": self.seeds(), **rules}
        return self.post("/v1/explanations", "explanations", body)

    def placement(self) -> Request:
        """Draw a request for the recommendations of a placement."""
        name = self.random.choice(PLACEMENTS)
        body = {"seeds": self.seeds(name.startswith("pdp")), "session_id": f"s-{self.random.randint(0, 9)}"}
        body |= self.rules() if self.sampler.chance(0.4) else {}
        return self.post(f"/v1/placements/{name}/recommendations", "placements", body)

    def page(self) -> Request:
        """Draw a request for several placements of a page."""
        by_item = self.sampler.chance(0.6)
        names = self.random.sample(PLACEMENTS if by_item else PLACEMENTS[2:], self.random.randint(1, 3))
        placements = [{"placement": name, "limit": self.random.randint(1, 12)} for name in names]
        body = {"seeds": self.seeds(by_item), "placements": placements, "session_id": "s-0"}
        return self.post("/v1/pages/recommendations", "pages", body)
