"""The encoder of words and pictures, in a process of its own: the workers stay free of torch.

The workers ask over a Unix socket, a message a question: one letter for what is asked, then the text or the
picture's file; the answer is ``+`` before a vector as little-endian float32, or ``-`` before what was wrong.
"""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
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
from recommender.errors import RecommenderError, RequestError
from serving.problems import Problem

if TYPE_CHECKING:
    from recommender.encoders.base import Encoder

logger = logging.getLogger(__name__)
MAX_PIXELS = 40_000_000
ANSWER_SECONDS = 10.0
# The exit code of a process whose encoder cannot be loaded, and how long to wait before the next attempt.
NO_ENCODER = 3
RETRY_SECONDS = 60.0


class RemoteEncoder:
    """Asks the process that `serve` runs; an `Encoder` for what a question needs.

    Parameters
    ----------
    socket
        Where it listens.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._threads = local()

    @property
    def aligned(self) -> bool:
        """See `Encoder.aligned`."""
        return self._ask(b"a") == b"1"

    def encode_texts(self, texts: Sequence[str]) -> Float:
        """See `Encoder.encode_texts`."""
        return self._vectors([b"t" + text.encode() for text in texts])

    def encode_images(self, images: Sequence[bytes]) -> Float:
        """See `Encoder.encode_images`; takes files."""
        return self._vectors([b"i" + image for image in images])

    def _vectors(self, questions: Sequence[bytes]) -> Float:
        return np.stack([np.frombuffer(self._ask(question), "<f4") for question in questions])

    def _ask(self, question: bytes) -> bytes:
        try:
            answer = self._exchange(question)
        except (OSError, EOFError):
            self._threads.connection = None
            raise Problem(
                503,
                "encoder-unavailable",
                "the query encoder does not answer; try again",
                headers={"Retry-After": "5"},
            ) from None
        if answer[:1] == b"-":
            raise RequestError(answer[1:].decode(), "/image")
        return answer[1:]

    def _exchange(self, question: bytes) -> bytes:
        connection: Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = Client(str(self._socket), "AF_UNIX")
        connection.send_bytes(question)
        if not connection.poll(ANSWER_SECONDS):
            connection.close()
            raise EOFError
        return connection.recv_bytes()


def keep_running(bundles: Path, socket: Path, parent: int) -> None:
    """Run the process that answers, again whenever it ends, until told to stop or the parent is gone."""
    signal(SIGTERM, lambda *_: sys.exit(0))
    signal(SIGINT, SIG_IGN)
    while os.getppid() == parent:
        process = get_context("spawn").Process(target=run, args=(bundles, socket, os.getpid()), daemon=True)
        process.start()
        while process.is_alive() and os.getppid() == parent:
            process.join(1)
        sleep(RETRY_SECONDS if process.exitcode == NO_ENCODER else 1)


def run(bundles: Path, socket: Path, parent: int) -> None:
    """Answer until the parent is gone, with the encoder of the current bundle; loads torch."""
    try:
        encoder = _Current(bundles)
    except RecommenderError as error:
        logger.error("text and image queries are refused: %s", error)
        sys.exit(NO_ENCODER)
    with suppress(FileNotFoundError):
        socket.unlink()
    listener = Listener(str(socket), "AF_UNIX")
    Thread(target=_leave_with, args=(parent,), daemon=True).start()
    while True:
        with suppress(OSError, EOFError):
            Thread(target=_answer_all, args=(listener.accept(), encoder), daemon=True).start()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        sleep(1)
    os._exit(0)


def _answer_all(connection: Connection, encoder: "_Current") -> None:
    with connection, suppress(OSError, EOFError):
        while True:
            question = connection.recv_bytes()
            try:
                answer = b"+" + encoder.answer(question[:1], question[1:])
            except RequestError as error:
                answer = b"-" + str(error).encode()
            except Exception:
                logger.exception("a question could not be encoded")
                return  # which the one who asked hears as a 503
            connection.send_bytes(answer)


class _Current:
    """The encoder of the current bundle; another generation's is loaded when it has another fingerprint."""

    def __init__(self, bundles: Path) -> None:
        self._bundles, self._lock = bundles, Lock()
        self._generation = ""
        self._encoder: Encoder | None = None
        self._follow()

    def answer(self, kind: bytes, said: bytes) -> bytes:
        with self._lock:  # one at a time: torch has its own threads
            encoder = self._follow()
            if kind == b"a":
                return b"1" if encoder.aligned else b"0"
            vector = (
                encoder.encode_texts([said.decode()]) if kind == b"t" else encoder.encode_images([opened(said)])
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
    """Return a picture as RGB; raises `RequestError` if it is none, or too large to be looked at."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(BytesIO(file), formats=("JPEG", "PNG", "WEBP")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise RequestError(f"the picture has more than {MAX_PIXELS} pixels", "/image")
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise RequestError("the picture cannot be read; expected JPEG, PNG or WebP", "/image") from None
