"""Markets: further shops of one service, each with a bundle and a store of its own, named by a header."""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING

from flask import Flask, Request, Response, g, request

from recommender.errors import BundleError, RecommenderError, nearest
from serving.problems import Problem

if TYPE_CHECKING:
    from serving.service import Service

HEADER = "X-Market"
# A market that could not be opened is tried again after this long.
RETRY_SECONDS = 30.0


def market_of(current: Request) -> str:
    """Return the market that a request names; empty for the service's own shop."""
    return current.headers.get(HEADER, "")


def task_of(name: str) -> str:
    """Return the name of the task of hot reload that watches a market, and of its component of the health."""
    return f"market {name}"


class Markets:
    """The services of the markets; one that cannot be opened is tried again while the others answer.

    Parameters
    ----------
    open
        Opens the service of each market, by name.
    """

    def __init__(self, open: Mapping[str, Callable[[], "Service"]] | None = None) -> None:
        self._open = open or {}
        self._services: dict[str, Service] = {}
        self._failed: dict[str, tuple[float, str]] = {}  # until when a market is not tried again, and why

    @property
    def names(self) -> list[str]:
        """The names of all markets."""
        return [*self._open]

    def is_open(self, name: str) -> bool:
        """Return whether a market answers."""
        return name in self._services

    def find(self, name: str) -> "Service":
        """Return the service of a market; raises a `Problem`: 404 for an unknown one, 503 for one not open."""
        if name in self._services:
            return self._services[name]
        if name in self._open:
            detail = f"market {name!r} cannot answer: its bundle or its store cannot be opened; it is tried again"
            raise Problem(503, "market-not-open", detail, headers={"Retry-After": str(round(RETRY_SECONDS))})
        guess = f"; did you mean {near!r}?" if (near := nearest(name, self.names)) else ""
        detail = f"unknown market {name[:100]!r} in {HEADER}; known: {', '.join(self.names) or 'none'}{guess}"
        raise Problem(404, "unknown-market", detail)

    def check(self, name: str) -> None:
        """Open a market unless it is open, and raise what is wrong with it; a task of hot reload."""
        if name not in self._services:
            until, message = self._failed.get(name, (0.0, ""))
            if monotonic() < until:
                raise BundleError(message)
            try:
                self._services[name] = self._open[name]()
            except Exception as error:
                self._failed[name] = monotonic() + RETRY_SECONDS, str(error)
                raise
        if problems := self._services[name].live.problems:
            raise RecommenderError("; ".join(f"{task}: {problem}" for task, problem in problems.items()))

    def close(self) -> None:
        """Close the services."""
        for service in self._services.values():
            service.close()


def choose_market(app: Flask, markets: Markets) -> None:
    """Let the header of each request choose the service that answers."""

    def choose() -> None:
        if name := market_of(request):
            g.service = markets.find(name)

    def vary(response: Response) -> Response:
        response.vary.add(HEADER)  # caches keep the answers of markets apart
        return response

    app.before_request(choose)
    if markets.names:
        app.after_request(vary)
