"""The service on granian: a few processes that share the mapped bundle, and one with the encoder if asked for."""

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

from recommender.bundle import open_bundle
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
# Answers hold the interpreter but for Annoy and the database, so more threads would only wait for each other.
THREADS = 4
# What waits beyond this many requests for each worker waits in the kernel.
BACKPRESSURE = 64
# What is being answered ends in less; a sender who holds back half a request is not waited for longer.
STOP_SECONDS = 4


@dataclass
class Worker:
    """Makes a worker's app; the settings are those that were last read and found good.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    settings
        Of the service.
    file, given
        Where they were read from, and what went over it: to read them again.
    encoder
        The socket of the process that reads words and pictures.
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
        """Read the settings again for the workers to come; wrong ones leave the old."""
        try:
            self.settings = Settings.load(self.file, **self.given)
        except ConfigError as error:
            logger.error("the settings stay as they were: %s", error)
        else:
            logger.info("the settings were read again")


def serve(bundles: Path | str, config: Path | None = None, **given: Any) -> None:
    """Answer over HTTP until told to stop; SIGHUP reads the settings again, for new workers in place of the old.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    config
        A TOML file of `Settings`.
    **given
        Settings that go over it.

    Raises
    ------
    BundleError, StoreError, ConfigError
        Before anything listens, if there is nothing to answer from.
    """
    bundles = Path(bundles)
    settings = Settings.load(config, **given)
    url = settings.store or default_store(bundles)
    open_bundle(bundles).close()
    open_store(url).close()  # makes the tables once, before the workers would all do it
    logs.configure(settings.log_level)
    notice(f"serving {bundles} on http://{settings.host}:{settings.port}/, events go to {_shown(url)}")
    if not settings.keys and settings.host not in ("127.0.0.1", "localhost", "::1"):
        logger.warning("there are no keys: everybody who reaches %s may do everything", settings.host)
    encoder = _encoder(bundles) if settings.query_encoder else nullcontext()
    with metrics.shared_among_workers(), encoder as socket:
        worker = Worker(bundles, settings, config, given, socket)
        server = granian(settings.host, settings.port, settings.workers)
        server.on_reload(worker.reload)
        gc.freeze()  # workers are forks: their collections would write to all that they share, and so copy it
        server.serve(target_loader=worker, wrap_loader=False)


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


@contextmanager
def _encoder(bundles: Path) -> "Iterator[Path]":
    """Run the process that reads words and pictures."""
    with tempfile.TemporaryDirectory(prefix="recommender-") as folder:
        socket = Path(folder, "encoder")
        keeper = multiprocessing.get_context("spawn").Process(
            target=encoding.keep_running, args=(bundles, socket, os.getpid()), daemon=False
        )
        keeper.start()
        try:
            yield socket
        finally:
            keeper.terminate()
            keeper.join(STOP_SECONDS)


def _shown(url: str) -> str:
    """Return a store's URL without its password."""
    head, at, tail = url.rpartition("@")
    return f"{head.rpartition(':')[0]}:***@{tail}" if at and head.count(":") > 1 else url
