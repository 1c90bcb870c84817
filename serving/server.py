"""The service on granian: worker processes that share the mapped bundle, and optionally one for the encoder."""

import errno
import gc
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.util import register_after_fork
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from recommender.bundle import local_copy, open_bundle
from recommender.errors import ConfigError, RecommenderError, StoreError, StoreUnavailableError
from recommender.progress import notice
from recommender.stores import deadline, open_store, store_modules
from serving import logs, metrics
from serving import query_encoder as encoding
from serving.app import create_app
from serving.bodies import BodyReader
from serving.processes import end_with
from serving.rsgi import Application
from serving.service import KEY
from serving.settings import Settings
from serving.shops import file_of, market_shops, store_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from apiflask import APIFlask

logger = logging.getLogger(__name__)
# Connections of a worker; more wait in the kernel, so that idle ones must not use them up.
BACKPRESSURE = 1024
# Running requests end sooner; an unfinished request is not waited for any longer.
STOP_SECONDS = 4
# A worker is stopped after its successor had so long to open the bundle, and to listen then.
START_SECONDS, LISTEN_SECONDS = 60.0, 0.5
# Of the encoder: until then the service is not ready without it.
ENCODER_SECONDS = 60.0
# How often workers that ended are replaced, and how long a start waits for the store.
CHECK_SECONDS, STORE_SECONDS = 1.0, 3.0
# Of garbage, see `gc.set_threshold`. By default a body of 100,000 values has all objects of a worker looked at
# often, which takes ten times as long as to decode the body.
COLLECTIONS = (50_000, 20, 20)
_STOP = (signal.SIGTERM, signal.SIGINT)


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
    starting_until
        See `create_app`.
    parent
        Id of the process that makes the workers.
    """

    bundles: Path
    settings: Settings
    file: Path | None
    given: dict[str, Any]
    encoder: Path | None = None
    starting_until: float = 0.0
    parent: int = 0

    def __call__(self) -> Application:
        """Make the app, in the worker's process, which ends with its parent but not for an error."""
        end_with(self.parent)
        gc.set_threshold(*COLLECTIONS)
        logs.configure(self.settings.log_level)
        app = self._app()
        bodies = BodyReader(self.settings.max_body_bytes, self.settings.body_seconds)
        return Application(app, bodies, app.extensions[KEY].access.admits)

    def _app(self) -> "APIFlask":
        while True:
            try:
                return create_app(
                    self.bundles, self.settings, encoder=self.encoder, starting_until=self.starting_until
                )
            except RecommenderError as error:
                logger.error("a worker cannot start yet: %s", error)
                time.sleep(CHECK_SECONDS)

    def reload(self) -> bool:
        """Reload the settings for new workers, and return whether these could start; wrong ones change nothing."""
        try:
            settings = Settings.load(self.file, **self.given)
            _check(self.bundles, settings)
        except RecommenderError as error:
            logger.error("workers and settings stay as they were: %s", error)
            return False
        self.settings = settings
        logger.info("the settings were read again")
        return True


class Server(Granian):  # type: ignore[misc, valid-type]  # granian has no types
    """granian, but it replaces workers however many end and however often, and stops those that just begin.

    Parameters
    ----------
    may_reload
        Says whether workers that start now would serve.
    **options
        Of granian.
    """

    reload_signal: bool

    def __init__(self, may_reload: "Callable[[], bool]" = lambda: True, **options: Any) -> None:
        super().__init__(**options)
        self._may_reload = may_reload
        self._is_reloading = False
        register_after_fork(self, _end_by_signals)

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> Any:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        worker = super()._spawn_worker(idx, target, partial(_begin, callback_loader, sender))
        start = worker.start

        def start_and_wait() -> None:
            # a fork begins with its parent's handlers, of no use there: signals wait for `_end_by_signals`
            forks = multiprocessing.get_start_method() == "fork"
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP if forks else ())
            try:
                start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            sender.close()
            until = time.monotonic() + (START_SECONDS if self._is_reloading else 0)
            while worker.is_alive() and time.monotonic() < until and not self.interrupt_signal:
                if receiver.poll(0.1):
                    break
            receiver.close()

        worker.start = start_and_wait
        worker.is_alive = partial(_is_alive, worker.inner)
        return worker

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        while not self.interrupt_signal:
            self.main_loop_interrupt.wait(CHECK_SECONDS)
            self.main_loop_interrupt.clear()
            self.interrupt_children.clear()
            if self.interrupt_signal:
                return
            if self.reload_signal:
                self.reload_signal = False
                if self._may_reload():
                    self._reload_workers(spawn_target, target_loader)
            # those that ended at once are replaced at the next check: they would do so again
            born_before = time.monotonic() - CHECK_SECONDS / 2
            ended = [each.idx for each in self.wrks if each.birth < born_before and not each.is_alive()]
            if ended:
                logger.error("workers ended and are replaced: %s", ended)
                self._respawn_workers(ended, spawn_target, target_loader)

    def _reload_workers(self, spawn_target: Any, target_loader: Any) -> None:
        """Replace the workers one after the other, each as soon as its successor has its app."""
        self._is_reloading = True
        for idx in range(self.workers):
            if not self.interrupt_signal:
                self._respawn_workers([idx], spawn_target, target_loader, LISTEN_SECONDS)
        self._is_reloading = False


def _is_alive(process: "BaseProcess") -> bool:
    """Return whether a process runs: to Python, one that another thread has just waited for is still alive."""
    if not process.is_alive():
        return False
    try:
        os.kill(process.pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


def _begin(load_app: "Callable[[], Application]", begun: "Connection") -> Application:
    """Make a worker's app and tell the parent."""
    _end_by_signals()
    app = load_app()
    with suppress(OSError):  # where the parent does not wait
        begun.send(True)
    begun.close()
    return app


def _end_by_signals(server: object = None) -> None:
    """Let signals end this worker, which has no requests yet."""
    for number in _STOP:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


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
        Before the port is opened, if there is no valid bundle or configuration, if there can be no such store, or
        if the port is taken. A database that does not answer is no error: it is waited for while serving.
    """
    settings = Settings.load(config, **given)
    bundles = local_copy(bundles, settings.cache, offline=True)
    logs.configure(settings.log_level)
    _check(bundles, settings)
    check_port(settings.host, settings.port)
    url = store_url(bundles, settings)
    notice(f"serving {bundles} on http://{settings.host}:{settings.port}/, events go to {_shown(url)}")
    if settings.insecure and not settings.keys:
        logger.warning("there are no API keys: everybody who reaches %s may call everything", settings.host)
    encoder = _encoder(bundles) if settings.query_encoder else nullcontext()
    with metrics.shared_among_workers(), encoder as socket_file:
        until = time.monotonic() + ENCODER_SECONDS
        worker = Worker(bundles, settings, config, given, socket_file, until, os.getpid())
        server = granian(settings.host, settings.port, settings.workers, worker.reload)
        gc.freeze()  # workers are forks: their collections would write to all that they share, and so copy it
        server.serve(target_loader=worker, wrap_loader=False)


def granian(host: str, port: int, workers: int, may_reload: "Callable[[], bool]" = lambda: True) -> Server:
    """Return the server without an app."""
    return Server(
        may_reload,
        target="serving.app:create_app",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        workers=workers,
        backpressure=BACKPRESSURE,
        websockets=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=STOP_SECONDS,
    )


def check_port(host: str, port: int) -> None:
    """Raise `ConfigError` if the server cannot have this port alone: the kernel would let it share one."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in addresses:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(
                    socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
                )  # connections that just ended do not count
                probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "another process listens there; stop it, or choose another port with --port"
        else:
            reason = f"{error.strerror or error}; choose another address with --host and --port"
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from error


def _check(bundles: Path, settings: Settings) -> None:
    """Raise an error if workers could not start; makes the store's tables once, before they would all do it."""
    open_bundle(bundles).close()
    _make_tables(store_url(bundles, settings))
    for shop in market_shops(bundles, settings):
        try:
            open_bundle(local_copy(shop.bundles, settings.cache, offline=True)).close()
            _make_tables(shop.store)
        except RecommenderError as error:
            logger.error("market %s cannot answer yet, the others do: %s", shop.market, error)


def _make_tables(url: str) -> None:
    """Make the tables of a store; one that does not answer is waited for while serving."""
    if (file := file_of(url)) is not None and not file.parent.is_dir():
        raise StoreError(
            f"unable to open database file {file}: its folder does not exist; create it, or change --store"
        )
    store_modules()  # importing them is not the store's time
    try:
        with deadline(STORE_SECONDS):
            open_store(url).close()
    except StoreUnavailableError as error:
        logger.error("the store does not answer, and is waited for: %s", error)


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
