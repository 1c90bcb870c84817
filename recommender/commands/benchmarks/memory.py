"""Memory of a service's workers under load, and how much of it they share."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from recommender.commands.benchmarks.load_generator import get, load
from recommender.commands.benchmarks.service import running

CONNECTIONS, SECONDS = 16, 10.0


def memory(bundles: Path, ids: list[str]) -> dict[str, float]:
    """Return the memory of a first worker, and what a second one adds to it, by kind, in MiB."""
    quoted = [quote(item_id, safe="") for item_id in ids]
    by_id = [get(f"/v1/items/{item_id}/similar") for item_id in quoted]
    by_two = [get(f"/v1/similar?item_id={one}&item_id={two}") for one, two in pairwise(quoted)]
    with TemporaryDirectory() as folder, running(bundles, f"sqlite:///{folder}/store.sqlite") as service:
        load(service.port, by_id + by_two, CONNECTIONS, SECONDS, seed=0)
        first, second = (mapped(pid, bundles) for pid in service.worker_pids())
    alone = sum(second["unique", kind] for kind in ("bundle", "library", "own"))
    whole = sum(first["all", kind] for kind in ("bundle", "library", "own"))
    return {
        "first, all": round(whole, 1),
        "first, bundle": round(first["all", "bundle"], 1),
        "second, unique": round(alone, 1),
        "second, unique, bundle": round(second["unique", "bundle"], 1),
        "share": round(alone / whole, 3),
    }


def mapped(pid: int, bundles: Path) -> dict[tuple[str, str], float]:
    """Return the memory of a process in MiB by kind: the bundle, libraries, its own.

    All of it, what is unique, and proportional: a page that is mapped n times counts as 1/n each time.
    """
    mib: dict[tuple[str, str], float] = defaultdict(float)
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *rest = line.split(maxsplit=5)
        if not name.endswith(":"):
            path = rest[4] if len(rest) == 5 else ""
            kind = "bundle" if path.startswith(str(bundles.resolve())) else "library" if ".so" in path else "own"
        elif name == "Rss:":
            mib["all", kind] += int(rest[0]) / 1024
        elif name == "Pss:":
            mib["proportional", kind] += int(rest[0]) / 1024
        elif name.startswith("Private_"):
            mib["unique", kind] += int(rest[0]) / 1024
    return mib
