"""The encoder of text and image queries: in a process of its own, so that workers need no torch, or in this one.

Workers send requests over a Unix socket, one message each: a letter for the kind, then the text or the image file.
The reply is ``+`` and a vector as little-endian float32, or ``-`` and an error message.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from signal import SIG_IGN, SIGINT, SIGTERM, signal
from threading import Lock, Thread, local
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.bundle import current
from recommender.core.blocks import Float
from recommender.errors import EncoderError, RecommenderError, RequestError
from recommender.progress import notice
from serving.problems import Problem
from serving.processes import end_with

if TYPE_CHECKING:
    from recommender.encoders.base import Encoder

logger = logging.getLogger(__name__)
REPLY_SECONDS = 10.0
# The exit code of a process whose encoder cannot be loaded, and how long to wait before the next attempt.
NO_ENCODER = 3
RETRY_SECONDS = 60.0


class QueryEncoder:
    """An `Encoder` of queries that sends them as requests of this module, and so takes image files."""

    @property
    def aligned(self) -> bool:
        """See `Encoder.aligned`."""
        return self._call(b"a") == b"1"

    def encode_texts(self, texts: Sequence[str]) -> Float:
        """See `Encoder.encode_texts`."""
        return self._vectors([b"t" + text.encode() for text in texts])

    def known_words(self, text: str) -> tuple[list[str], list[str]]:
        """See `WordBased`."""
        known, unknown = json.loads(self._call(b"w" + text.encode()))
        return known, unknown

    def encode_images(self, images: Sequence[bytes]) -> Float:
        """See `Encoder.encode_images`; takes image files."""
        return self._vectors([b"i" + image for image in images])

    def check(self) -> None:
        """Raise `EncoderError` if queries cannot be encoded now."""

    def _vectors(self, requests: Sequence[bytes]) -> Float:
        return np.stack([np.frombuffer(self._call(request), "<f4") for request in requests])

    def _call(self, request: bytes) -> bytes:
        raise NotImplementedError


class LocalEncoder(QueryEncoder):
    """Encodes queries in this process, with the encoder of the current bundle; loads torch with the first query.

    Parameters
    ----------
    bundles
        The folder of the bundle.
    """

    def __init__(self, bundles: Path) -> None:
        self._bundles, self._lock = bundles, Lock()
        self._current: _Current | None = None

    def _call(self, request: bytes) -> bytes:
        return self._loaded().encode(request[:1], request[1:])

    def _loaded(self) -> "_Current":
        with self._lock:
            if self._current is None:
                notice("loading the encoder for the first text or image query, which takes some seconds")
                try:
                    self._current = _Current(self._bundles)
                except RecommenderError as error:
                    detail = f"text and image queries are refused: {error}"
                    raise Problem(501, "no-query-encoder", detail) from error
                notice("the encoder is loaded")
            return self._current


class RemoteEncoder(QueryEncoder):
    """Calls the encoder's process.

    Parameters
    ----------
    socket
        Where the process listens.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._threads = local()

    def check(self) -> None:
        """Raise `EncoderError` unless the process answers."""
        try:
            self._call(b"a")
        except Problem as problem:
            raise EncoderError(problem.detail) from None

    def _call(self, request: bytes) -> bytes:
        try:
            reply = self._exchange(request)
        except (OSError, EOFError):
            self._threads.connection = None
            raise Problem(
                503,
                "encoder-unavailable",
                "the query encoder does not answer; try again",
                headers={"Retry-After": "5"},
            ) from None
        if reply[:1] == b"-":
            raise RequestError(reply[1:].decode(), "/image")
        return reply[1:]

    def _exchange(self, request: bytes) -> bytes:
        connection: Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = Client(str(self._socket), "AF_UNIX")
        connection.send_bytes(request)
        if not connection.poll(REPLY_SECONDS):
            connection.close()
            raise EOFError
        return connection.recv_bytes()


def keep_running(bundles: Path, socket: Path, parent: int) -> None:
    """Run the encoder's process, and restart it when it ends, until SIGTERM or the end of the parent."""
    end_with(parent)
    signal(SIGTERM, lambda *_: sys.exit(0))
    signal(SIGINT, SIG_IGN)
    while True:
        process = get_context("spawn").Process(target=run, args=(bundles, socket, os.getpid()), daemon=True)
        process.start()
        process.join()
        sleep(RETRY_SECONDS if process.exitcode == NO_ENCODER else 1)


def run(bundles: Path, socket: Path, parent: int) -> None:
    """Encode requests with the encoder of the current bundle until the parent ends; loads torch."""
    end_with(parent)
    try:
        encoder = _Current(bundles)
    except RecommenderError as error:
        logger.error("text and image queries are refused: %s", error)
        sys.exit(NO_ENCODER)
    with suppress(FileNotFoundError):
        socket.unlink()
    listener = Listener(str(socket), "AF_UNIX")
    while True:
        with suppress(OSError, EOFError):
            Thread(target=_serve, args=(listener.accept(), encoder), daemon=True).start()


def _serve(connection: Connection, encoder: "_Current") -> None:
    with connection, suppress(OSError, EOFError):
        while True:
            request = connection.recv_bytes()
            try:
                reply = b"+" + encoder.encode(request[:1], request[1:])
            except RequestError as error:
                reply = b"-" + str(error).encode()
            except Exception:
                logger.exception("a query could not be encoded")
                return  # the worker answers with 503
            connection.send_bytes(reply)


class _Current:
    """The encoder of the current bundle; reloaded when a generation has another fingerprint."""

    def __init__(self, bundles: Path) -> None:
        self._bundles, self._lock = bundles, Lock()
        self._generation = ""
        self._encoder: Encoder | None = None
        self._follow()

    def encode(self, kind: bytes, data: bytes) -> bytes:
        from recommender.encoders.base import known_words

        with self._lock:  # one query at a time: torch has its own threads
            encoder = self._follow()
            if kind == b"a":
                return b"1" if encoder.aligned else b"0"
            if kind == b"w":
                return json.dumps(known_words(encoder, data.decode())).encode()
            vector = (
                encoder.encode_texts([data.decode()]) if kind == b"t" else encoder.encode_images([opened(data)])
            )
            return np.asarray(vector[0], "<f4").tobytes()

    def _follow(self) -> "Encoder":
        from recommender.bundle import open_bundle
        from recommender.encoders.registry import create_for

        loaded = self._encoder
        if loaded is None or current(self._bundles) != self._generation:
            bundle = open_bundle(self._bundles)
            if loaded is None or bundle.manifest.encoders["fingerprint"] != loaded.fingerprint:
                loaded = self._encoder = create_for(bundle)
            self._generation = bundle.generation
            bundle.close()
        return loaded


def opened(file: bytes) -> Any:
    """Return an image of `check_image` as RGB; raises `RequestError` if it cannot be decoded."""
    from recommender.encoders.images import decode

    if (image := decode(file)) is None:
        raise RequestError("the image is damaged; expected a whole JPEG, PNG or WebP file", "/image")
    return image
