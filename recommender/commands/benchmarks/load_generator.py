"""A load generator: one thread that keeps some connections busy, and parses of an answer its length alone."""

import re
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from select import EPOLLIN, epoll
from statistics import quantiles
from time import perf_counter, process_time

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")


@dataclass(frozen=True)
class Round:
    """The result of one round: requests per second, latencies, and CPU cores that the generator used."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu: float


class Connection:
    """One connection, and what it has received of its present answer."""

    def __init__(self, opened: socket.socket) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = opened

    def send(self, request: bytes) -> None:
        """Send a request."""
        self.started, self.received = perf_counter(), b""
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Receive more of the answer, and return whether it is complete; it must be a 200."""
        self.received += self.socket.recv(1 << 16)
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self.received.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"an answer is no 200: {self.received[:500]!r}")
        length = _LENGTH.search(self.received, 0, end)
        return length is not None and len(self.received) >= end + 4 + int(length[1])


def get(path: str, key: str = "") -> bytes:
    """Return the bytes of a GET."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}\r\n".encode()


def post(path: str, body: bytes, key: str = "") -> bytes:
    """Return the bytes of a POST of JSON."""
    head = get(path, key).replace(b"GET", b"POST", 1).removesuffix(b"\r\n")
    return b"%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def load(port: int, requests: Sequence[bytes], connections: int, seconds: float, seed: int) -> Round:
    """Send random requests over some connections, each the next as soon as the last is answered."""
    choose = Random(seed).choice
    latencies: list[float] = []
    with ExitStack() as stack:
        waiting = stack.enter_context(epoll())
        opened: dict[int, Connection] = {}
        for _ in range(connections):
            connection = Connection(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)))
            opened[connection.socket.fileno()] = connection
            waiting.register(connection.socket, EPOLLIN)
            connection.send(choose(requests))
        start, cpu = perf_counter(), process_time()
        while (now := perf_counter()) < start + seconds:
            for number, _ in waiting.poll(1):
                connection = opened[number]
                if connection.answered():
                    latencies.append(perf_counter() - connection.started)
                    connection.send(choose(requests))
        wall, cpu = now - start, process_time() - cpu
    cuts = quantiles(latencies, n=100)
    return Round(len(latencies) / wall, 1e3 * cuts[49], 1e3 * cuts[98], cpu / wall)
