"""A shop's site of another origin than the service that it calls with a public key."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

from serving.app import create_app
from serving.routes.kit import FILE
from serving.service import KEY
from serving.settings import Key, Placement, Settings

WAIT = 20.0
SECRET = "a-public-key-of-the-shop"
PLACEMENTS = {"pdp-similar": Placement(question={"strategy": "similar", "limit": 8})}


class Shop:
    """A shop's site, of another origin than the service, and the service with its public key.

    Parameters
    ----------
    bundles
        To serve.
    store
        File of the service's events.
    """

    def __init__(self, bundles: Path, store: Path) -> None:
        self.store, self.pages = store, {"/": "", "/product": "", "/other": ""}
        self._bundles, self._port = bundles, 0
        site = Flask("shop", static_folder=None)
        site.add_url_rule("/kit.js", "kit", lambda: (FILE.read_bytes(), {"Content-Type": "text/javascript"}))
        site.add_url_rule("/<path:name>", "page", self._page)
        site.add_url_rule("/", "home", self._page, defaults={"name": ""})
        self.site, self.url = site, ""

    def _page(self, name: str) -> str:
        head = "<!doctype html><html lang=en><title>Shop</title><link rel=icon href=data:,>"
        return head + self.pages[f"/{name}"].replace("SERVICE", self.service)

    @property
    def service(self) -> str:
        """The address of the service, the same after it was down."""
        return f"http://127.0.0.1:{self._port}"

    @contextmanager
    def serving(self) -> Iterator[Any]:
        """Run the service; yields the app."""
        key = Key(sha256=Key.hash(SECRET), scopes=("public",), origins=(self.url,))
        settings = Settings(store=f"sqlite:///{self.store}", keys={"shop": key}, placements=PLACEMENTS)
        app = create_app(self._bundles, settings, watch_seconds=None)
        server = make_server("127.0.0.1", self._port, app, threaded=True)
        self._port = server.server_port
        Thread(target=server.serve_forever, daemon=True).start()
        yield app
        server.shutdown()
        server.server_close()
        app.extensions[KEY].close()

    def script(self, consent: str = "not-required", source: str = "SERVICE/kit.js") -> str:
        """Return the element that loads the kit."""
        attributes = f'data-url="SERVICE" data-key="{SECRET}" data-consent="{consent}" data-layer="true"'
        return f'<script type="module" src="{source}" {attributes}></script>'

    def events(self, *names: str) -> list[tuple[Any, ...]]:
        """Return name, product, recommendation, session, quantity and price of the stored events, oldest first."""
        columns = "event_name, item_id, recommendation_id, session_id, quantity, price"
        with closing(sqlite3.connect(self.store)) as database:
            rows = database.execute(f"SELECT {columns} FROM events ORDER BY timestamp, item_id").fetchall()
        return [row for row in rows if not names or row[0] in names]

    def await_events(self, count: int, *names: str) -> list[tuple[Any, ...]]:
        """Return the stored events once there are so many."""
        return awaited(lambda: self.events(*names), lambda events: len(events) >= count)


def awaited(value: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    deadline = monotonic() + WAIT
    while not fits(found := value()) and monotonic() < deadline:
        sleep(0.05)
    assert fits(found), found
    return found
