"""A source of load: one thread that keeps some connections busy, and reads no more of an answer than it must."""

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
    """What one round of load met: requests a second, latencies, and the cores the load itself took."""

    rate: float
    p50_ms: float
    p99_ms: float
    own_cpu: float


class Connection:
    """One connection, and what has come of its present answer."""

    def __init__(self, opened: socket.socket) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = opened

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self.begun, self.come = perf_counter(), b""
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Read what is there, and tell whether the answer is whole; it must be a 200."""
        self.come += self.socket.recv(1 << 16)
        end = self.come.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self.come.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"an answer was no 200: {self.come[:500]!r}")
        return len(self.come) >= end + 4 + int(_LENGTH.search(self.come, 0, end)[1])


def get(path: str, key: str = "") -> bytes:
    """Return the bytes of a GET."""
    allowed = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{allowed}\r\n".encode()


def load(port: int, requests: Sequence[bytes], connections: int, seconds: float, seed: int) -> Round:
    """Send requests at random over some connections, each the next as soon as the last is answered."""
    choose, latencies = Random(seed).choice, []
    with ExitStack() as stack:
        waiting = stack.enter_context(epoll())
        opened: dict[int, Connection] = {}
        for _ in range(connections):
            connection = Connection(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)))
            opened[connection.socket.fileno()] = connection
            waiting.register(connection.socket, EPOLLIN)
            connection.ask(choose(requests))
        start, cpu = perf_counter(), process_time()
        while (now := perf_counter()) < start + seconds:
            for number, _ in waiting.poll(1):
                connection = opened[number]
                if connection.answered():
                    latencies.append(perf_counter() - connection.begun)
                    connection.ask(choose(requests))
        took, cpu = now - start, process_time() - cpu
    cuts = quantiles(latencies, n=100)
    return Round(len(latencies) / took, 1e3 * cuts[49], 1e3 * cuts[98], cpu / took)
