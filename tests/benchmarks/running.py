"""`recommender serve` as it runs in production, in processes of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

WORKERS = 2
_UNLIMITED = {"RECOMMENDER_RATE": "1000000", "RECOMMENDER_BURST": "1000000"}


class Service:
    """The service on one port for all its lives; nobody asks too often.

    Parameters
    ----------
    settings
        Further variables of its environment.
    log
        Where stderr goes; None shows what is a warning at least.
    """

    def __init__(
        self,
        bundles: Path,
        store: str,
        workers: int = WORKERS,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.workers = workers
        serve = ["-m", "recommender.cli", "serve", str(bundles), "--store", store, "--workers", str(workers)]
        self._command = [sys.executable, *serve, "--port", str(self.port)]
        shown = {} if log is not None else {"RECOMMENDER_LOG_LEVEL": "warning"}
        self._environment = os.environ | _UNLIMITED | shown | (settings or {})
        self._log = log

    def start(self) -> None:
        """Start it in a process group of its own, and wait until it is ready."""
        log = None if self._log is None else self._log.open("ab")
        self.process = subprocess.Popen(self._command, env=self._environment, start_new_session=True, stderr=log)
        try:
            until(lambda: status(self.url, "/healthz/ready") == 200)
        except BaseException:
            self.kill()
            raise

    def worker_pids(self) -> list[int]:
        """Return the ids of the worker processes."""
        found = children(self.process.pid)
        return [pid for pid in found if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def kill(self) -> None:
        """Kill all of it at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop it as an administrator does."""
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def running(bundles: Path, store: str, **given: Any) -> Iterator[Service]:
    """Run the service; see `Service`."""
    service = Service(bundles, store, **given)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """Return what a process and its children have taken of the processors."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, children(pid)))


def written_kib(pid: int) -> int:
    """Return what a process has in memory that it wrote itself, in KiB.

    What it has read of files counts as its own, too, as soon as nobody else on the machine reads them.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def until(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the service is not as it should be")
        time.sleep(0.05)


def status(url: str, path: str) -> int:
    """Return the status of a GET, 0 if nobody answers."""
    try:
        return httpx.get(url + path, timeout=10).status_code
    except httpx.TransportError:
        return 0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
