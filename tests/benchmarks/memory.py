"""What the workers of a service share of a bundle's memory, under load by ids and by histories."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from load import get, load
from running import running

CONNECTIONS, SECONDS = 16, 10.0


def memory(bundles: Path, ids: list[str]) -> dict[str, float]:
    """Return what a first worker has in memory, and what a second one has to itself and of which kind, in MiB."""
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


def mapped(pid: int, bundles: Path) -> Counter[tuple[str, str]]:
    """Return the MiB of a process, all and unique, by what they hold: the bundle, libraries, and its own."""
    found: Counter[tuple[str, str]] = Counter()
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *rest = line.split(maxsplit=5)
        if not name.endswith(":"):
            path = rest[4] if len(rest) == 5 else ""
            kind = "bundle" if path.startswith(str(bundles.resolve())) else "library" if ".so" in path else "own"
        elif name == "Rss:":
            found["all", kind] += int(rest[0]) / 1024
        elif name.startswith("Private_"):
            found["unique", kind] += int(rest[0]) / 1024
    return found
