"""The service on granian: a few processes that share the mapped bundle."""

from functools import partial
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.common import AbstractServer

from recommender.bundle import open_bundle
from recommender.progress import notice
from recommender.stores import open_store
from serving.app import create_app, default_store

# Answers hold the interpreter but for Annoy and the database, so more threads would only wait for each other.
THREADS = 4
# What waits beyond this many requests for each worker waits in the kernel.
BACKPRESSURE = 64
STOP_SECONDS = 10


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
    bundles, url = Path(bundles), store_url or default_store(Path(bundles))
    open_bundle(bundles).close()
    open_store(url).close()  # makes the tables once, before the workers would all do it
    notice(f"serving {bundles} on http://{host}:{port}/, events go to {url}")
    granian(host, port, workers).serve(target_loader=partial(create_app, bundles, url), wrap_loader=False)


def granian(host: str, port: int, workers: int) -> AbstractServer:
    """Return the server, to which an app is still to be given."""
    return Granian(
        target="serving.app:create_app",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=THREADS,
        backpressure=BACKPRESSURE,
        websockets=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    )
