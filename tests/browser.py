"""An app that listens, and a page in a browser that tells of everything that went wrong, and of every request."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from werkzeug.serving import make_server


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an app from a thread; yields its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@contextmanager
def quiet_page(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """Open a page; at the end it must have written no error, and have requested only its own origin."""
    page = browser.new_page(**options)
    complaints: list[str] = []
    requested: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("request", lambda request: requested.append(request.url))
    page.set_default_timeout(30_000)
    page.goto(url)
    yield page
    origin = url if url.startswith("file:") else "/".join(url.split("/")[:3])
    page.close()
    assert complaints == []
    assert [where for where in requested if not where.startswith((origin, "data:", "blob:"))] == []
