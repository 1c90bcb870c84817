"""What the workers of a service share of a bundle's memory.

Each worker is a process of its own that runs this file, and so has loaded nothing but what answers.
"""

import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import recommender

K = 10


def memory(bundles: Path, ids: list[str]) -> dict[str, float]:
    """Return what a first worker has in memory, and what a second one has to itself and of which kind, in MiB."""
    with ExitStack() as stack:
        first, second = (mapped(started(stack, bundles, ids), bundles) for _ in range(2))
    alone = sum(second["unique", kind] for kind in ("bundle", "library", "own"))
    whole = sum(first["all", kind] for kind in ("bundle", "library", "own"))
    return {
        "first, all": round(whole, 1),
        "first, bundle": round(first["all", "bundle"], 1),
        "second, unique": round(alone, 1),
        "second, unique, bundle": round(second["unique", "bundle"], 1),
        "share": round(alone / whole, 3),
    }


def started(stack: ExitStack, bundles: Path, ids: list[str]) -> int:
    """Start a worker, wait until it has answered, and return its process id; it ends with the stack."""
    command = [sys.executable, __file__, str(bundles)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.enter_context(worker)
    stack.callback(worker.kill)
    worker.stdin.write(json.dumps(ids) + "\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "done\n"
    return worker.pid


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


def work(bundles: Path) -> None:
    """Answer some questions, and wait to be looked at."""
    rec, ids = recommender.load(bundles), json.loads(sys.stdin.readline())
    for place, item_id in enumerate(ids):
        rec.similar(item_id, K)
        rec.recommend([item_id, ids[place - 1]], K)
    print("done", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
