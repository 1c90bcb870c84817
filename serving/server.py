"""The service on granian: a few processes that share the mapped bundle."""

from functools import partial
from pathlib import Path

from apiflask import APIFlask

from recommender.bundle import open_bundle
from recommender.progress import notice
from recommender.stores import open_store
from serving.app import create_app, default_store


def serve(
    bundles: Path | str,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    store_url: str | None = None,
) -> None:
    """Answer over HTTP until told to stop.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    host, port
        Where to listen.
    workers
        Processes; about one per core.
    store_url
        Where events go; by default an SQLite file beside the bundles.

    Raises
    ------
    BundleError, StoreError
        Before anything listens, if there is nothing to answer from.
    """
    from granian import Granian
    from granian.constants import Interfaces

    bundles, url = Path(bundles), store_url or default_store(Path(bundles))
    open_bundle(bundles).close()
    open_store(url).close()  # makes the tables once, before the workers would all do it
    notice(f"serving {bundles} on http://{host}:{port}/ with {workers} workers; events go to {url}")
    server = Granian(
        target="serving.server",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        websockets=False,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
    )
    server.serve(target_loader=partial(_app, bundles, url), wrap_loader=False)


def _app(bundles: Path, store_url: str) -> APIFlask:
    """Make a worker's own app, in the worker."""
    return create_app(bundles, store_url)
