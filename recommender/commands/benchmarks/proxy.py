"""A TCP proxy that can stop forwarding, as a dependency that hangs: connections stay open, and nothing answers."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Self


class Proxy:
    """Forwards connections from a port of 127.0.0.1; also a context manager.

    Parameters
    ----------
    connect
        Returns a connection to the server.
    port
        To listen on; 0 for any.
    """

    def __init__(self, connect: Callable[[], socket.socket], port: int = 0) -> None:
        self._connect = connect
        self._forwarding = Event()
        self._forwarding.set()
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    @classmethod
    def to_unix_socket(cls, path: str, port: int = 0) -> Self:
        """Return a proxy of a server that listens on a Unix socket."""

        def connect() -> socket.socket:
            server = socket.socket(socket.AF_UNIX)
            server.connect(path)
            return server

        return cls(connect, port)

    def freeze(self) -> None:
        """Stop forwarding, in both directions and on new connections, too."""
        self._forwarding.clear()

    def thaw(self) -> None:
        """Forward again, first what has come meanwhile."""
        self._forwarding.set()

    def close(self) -> None:
        """End all connections, and refuse new ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._clients:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._forwarding.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._forwarding.wait()
        with suppress(OSError), client, self._connect() as server:
            back = Thread(target=self._forward, args=(server, client), daemon=True)
            back.start()
            self._forward(client, server)
            back.join()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._forwarding.wait()
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
