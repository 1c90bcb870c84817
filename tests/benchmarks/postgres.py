"""A PostgreSQL of one's own in a folder, at a Unix socket; it needs the programs of PostgreSQL alone."""

import os
import shutil
import subprocess
from pathlib import Path

# Where Debian keeps them: off the path, by version.
_FOLDERS = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def missing() -> str | None:
    """Say what is missing for one's own PostgreSQL; None if nothing is."""
    if _program("initdb") is None:
        return "initdb is not installed: apt-get install postgresql"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL refuses to be run by root, and runuser is not installed: apt-get install util-linux"
    return None


class Postgres:
    """A server and its data; as root, it is run by the user postgres, since it refuses root.

    Parameters
    ----------
    folder
        An empty one, with a short path: a socket's may have 107 characters.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(self._data), "-U", "shop", "--auth=trust")
        self.url = f"postgresql://shop@/postgres?host={self._data}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        listen = f"-c listen_addresses='' -k {self._data}"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(self._data / "log"), "-o", listen, "start")

    def stop(self) -> None:
        """Stop it at once."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(_program(program)), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))
