"""The service on granian: worker processes that share the mapped bundle, and optionally one for the encoder."""

import gc
import logging
import multiprocessing
import os
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.common import AbstractServer

from recommender.bundle import local_copy, open_bundle
from recommender.errors import ConfigError
from recommender.progress import notice
from recommender.stores import open_store
from serving import logs, metrics
from serving import query_encoder as encoding
from serving.app import create_app, default_store
from serving.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apiflask import APIFlask

logger = logging.getLogger(__name__)
# Requests hold the interpreter lock except in Annoy and the database: more threads would only wait.
THREADS = 4
# Requests beyond this many per worker wait in the kernel.
BACKPRESSURE = 64
# Running requests end sooner; an unfinished request is not waited for any longer.
STOP_SECONDS = 4


@dataclass
class Worker:
    """Makes a worker's app, with the last valid settings.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    settings
        Of the service.
    file, given
        The settings' file and what overrides it, to reload them.
    encoder
        The socket of the query encoder's process.
    """

    bundles: Path
    settings: Settings
    file: Path | None
    given: dict[str, Any]
    encoder: Path | None = None

    def __call__(self) -> "APIFlask":
        """Make the app, in the worker's process."""
        logs.configure(self.settings.log_level)
        return create_app(self.bundles, self.settings, encoder=self.encoder)

    def reload(self) -> None:
        """Reload the settings for new workers; invalid ones are ignored."""
        try:
            self.settings = Settings.load(self.file, **self.given)
        except ConfigError as error:
            logger.error("the settings stay as they were: %s", error)
        else:
            logger.info("the settings were read again")


def serve(bundles: Path | str, config: Path | None = None, **given: Any) -> None:
    """Serve HTTP until stopped; SIGHUP reloads the settings and replaces the workers.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into, or its URL.
    config
        A TOML file of `Settings`.
    **given
        Settings that override it.

    Raises
    ------
    BundleError, StoreError, ConfigError
        Before the port is opened, if there is no valid bundle, store or configuration.
    """
    settings = Settings.load(config, **given)
    bundles = local_copy(bundles, settings.cache, offline=True)
    url = settings.store or default_store(bundles)
    open_bundle(bundles).close()
    open_store(url).close()  # makes the tables once, before the workers would all do it
    logs.configure(settings.log_level)
    notice(f"serving {bundles} on http://{settings.host}:{settings.port}/, events go to {_shown(url)}")
    if not settings.keys and settings.host not in ("127.0.0.1", "localhost", "::1"):
        logger.warning("there are no API keys: everybody who reaches %s may call everything", settings.host)
    encoder = _encoder(bundles) if settings.query_encoder else nullcontext()
    with metrics.shared_among_workers(), encoder as socket:
        worker = Worker(bundles, settings, config, given, socket)
        server = granian(settings.host, settings.port, settings.workers)
        server.on_reload(worker.reload)
        gc.freeze()  # workers are forks: their collections would write to all that they share, and so copy it
        server.serve(target_loader=worker, wrap_loader=False)


def granian(host: str, port: int, workers: int) -> AbstractServer:
    """Return the server without an app."""
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


@contextmanager
def _encoder(bundles: Path) -> "Iterator[Path]":
    """Run the process of the query encoder."""
    with tempfile.TemporaryDirectory(prefix="recommender-") as folder:
        socket = Path(folder, "encoder")
        process = multiprocessing.get_context("spawn").Process(
            target=encoding.keep_running, args=(bundles, socket, os.getpid()), daemon=False
        )
        process.start()
        try:
            yield socket
        finally:
            process.terminate()
            process.join(STOP_SECONDS)


def _shown(url: str) -> str:
    """Return a store's URL without its password."""
    head, at, tail = url.rpartition("@")
    return f"{head.rpartition(':')[0]}:***@{tail}" if at and head.count(":") > 1 else url
