"""Runs `recommender serve` as in production, in processes of its own."""

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
STDERR = 2  # the file descriptor
_UNLIMITED = {"RECOMMENDER_RATE": "1000000", "RECOMMENDER_BURST": "1000000"}


class ServiceProcess:
    """The service, on the same port however often it is started; without rate limits.

    Parameters
    ----------
    settings
        Further variables of its environment.
    log
        File for stderr; None shows warnings and errors.
    """

    def __init__(
        self,
        bundles: Path | str,
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
        level = {} if log is not None else {"RECOMMENDER_LOG_LEVEL": "warning"}
        self._environment = os.environ | _UNLIMITED | level | dict(settings or {})
        self._log = log

    def start(self) -> None:
        """Start it in a process group of its own, and wait until it is ready."""
        log = None if self._log is None else self._log.open("ab")
        self.process = subprocess.Popen(  # the server logs to stdout, which is the benchmark's answer
            self._command, env=self._environment, start_new_session=True, stdout=log or STDERR, stderr=log
        )
        try:
            wait_until(lambda: status(self.url, "/healthz/ready") == 200)
        except BaseException:
            self.kill()
            raise

    def worker_pids(self) -> list[int]:
        """Return the ids of the worker processes."""
        pids = children(self.process.pid)
        return [pid for pid in pids if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def kill(self) -> None:
        """Kill all processes at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop it by SIGTERM."""
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def running(bundles: Path | str, store: str, **options: Any) -> Iterator[ServiceProcess]:
    """Run the service; see `ServiceProcess`."""
    service = ServiceProcess(bundles, store, **options)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and its children."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, children(pid)))


def written_kib(pid: int) -> int:
    """Return the private dirty memory of a process in KiB: what it wrote itself.

    Private clean pages don't count: a mapped file is private as soon as no other process reads it.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def wait_until(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    """Wait until `holds` returns true."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the service did not reach the expected state within {seconds:.0f} s")
        time.sleep(0.05)


def status(url: str, path: str) -> int:
    """Return the status of a GET; 0 if there is no answer."""
    try:
        return httpx.get(url + path, timeout=10).status_code
    except httpx.TransportError:
        return 0


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
