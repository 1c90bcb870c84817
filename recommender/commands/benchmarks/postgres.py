"""A temporary PostgreSQL server in a folder, on a Unix socket; it needs PostgreSQL's programs alone."""

import os
import shutil
import subprocess
from pathlib import Path

from recommender.commands.benchmarks.service import children

TICKS = os.sysconf("SC_CLK_TCK")
# Debian's folders of the programs, which are not on the path.
_FOLDERS = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def missing() -> str | None:
    """Return what is missing to run a PostgreSQL server; None if nothing is."""
    if _program("initdb") is None:
        return "initdb is not installed: apt-get install postgresql"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL refuses to be run by root, and runuser is not installed: apt-get install util-linux"
    return None


class Postgres:
    """A server and its data. PostgreSQL refuses to run as root, so root runs it as the user postgres.

    Parameters
    ----------
    folder
        An empty folder with a short path: a socket's may have 107 characters.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._prefix:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(self._data), "-U", "shop", "--auth=trust", "--no-sync")
        self.url = f"postgresql://shop@/postgres?host={self._data}"
        self.socket = f"{self._data}/.s.PGSQL.5432"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        listen = f"-c listen_addresses='' -k {self._data}"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(self._data / "log"), "-o", listen, "start")

    def stop(self) -> None:
        """Stop the server at once."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the server and of all connections so far."""
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        return sum(map(_used, [main, *children(main)]))

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._prefix, str(_program(program)), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60)


def _used(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that ended."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15])) / TICKS


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))
