"""The manifest of a generation: its parts by hash, blocks, weights, configuration and metrics."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from recommender.bundle.migrate import OLDEST, migrate
from recommender.errors import BundleError

FORMAT = 3  # raised with a rename or another layout; `migrate` reads the older ones
REMEDY = "roll back (recommender bundles rollback) or fit again"
_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True, repr=False)
class Manifest:
    """The metadata of one generation.

    Parameters
    ----------
    generation
        ``<UTC time>-<first 8 hex digits of the SHA-256 of everything else>``.
    format, package_version, created_at
        Version of the manifest's keys and of the files; version of the package that wrote it; ISO 8601 in UTC.
    n
        Products that can be recommended.
    blocks
        Block name to dimensions d_m, in the order of concatenation.
    weights
        ``{"item": {name: w}, "user": {name: w}}``, the learned weights of the score, and
        ``"item: <first level of product_type>"`` where those of similar products of a category differ;
        ``"complementary"`` where held-out baskets decided how much similarity and popularity count beside their
        pairs.
    metric, trees, seed
        Metric, trees and random seed of the index.
    encoders, config, metrics
        Fingerprints; the resolved configuration; evaluation, index recall and training metrics.
    parts
        ``{part: {"path": hash, "files": {file: {"bytes": int, "sha256": hex}}}}``.
    extra
        Other members, unchanged.
    """

    n: int
    generation: str = ""
    format: int = FORMAT
    package_version: str = ""
    created_at: str = ""
    blocks: dict[str, int] = field(default_factory=dict)
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    metric: str = ""
    trees: int = 0
    seed: int = 0
    encoders: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def base_n(self) -> int:
        """Rows of the base segment; differs from `n` where a delta adds or removes products."""
        return int(self.extra.get("delta", {}).get("base_n", self.n))

    def __repr__(self) -> str:
        return f"<Manifest {self.generation}: {self.n:,} products, blocks {', '.join(self.blocks)}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of the manifest: `extra` and the named fields."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        return {**self.extra, **named}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Manifest":
        """Make a manifest from its JSON; numpy scalars become numbers, NaN becomes None."""
        data = plain(data)
        names = {f.name for f in fields(cls)} - {"extra"}
        known = {name: value for name, value in data.items() if name in names}
        return cls(**known, extra={name: value for name, value in data.items() if name not in names})

    def with_fields(self, **fields: Any) -> "Manifest":
        """Return a copy with other values of some fields."""
        return replace(self, **fields)

    def digest(self) -> str:
        """Return the SHA-256 of everything but the name."""
        body = {**self.to_dict(), "generation": ""}
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()

    def to_json(self) -> bytes:
        """Return the bytes of the manifest file."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False).encode() + b"\n"


def plain(value: Any) -> Any:
    """Return `value` as JSON types: numpy scalars as numbers, a float that is not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest; one of an older format is migrated.

    Raises
    ------
    BundleError
        The file is no manifest, has an unsupported format, or was changed after it was published.
    """
    return parse_manifest(path.read_bytes(), path.stem, path)


def parse_manifest(content: bytes, name: str, path: Path | str) -> Manifest:
    """Parse and check the content of a manifest; see `read_manifest`.

    Parameters
    ----------
    content
        Of the file.
    name
        The generation's name.
    path
        Shown in errors.
    """
    try:
        data = json.loads(content)
        version = data["format"]
        if version in range(OLDEST, FORMAT + 1):
            published = Manifest.from_dict(data)
            manifest = published if version == FORMAT else Manifest.from_dict(migrate(data))
            _check_parts(manifest)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{path} is not a manifest ({error!r}); {REMEDY}") from None
    if version not in range(OLDEST, FORMAT + 1):
        raise _unsupported(path, version, data.get("package_version"))
    if manifest.generation != name or name.rpartition("-")[2] != published.digest()[:8]:
        raise BundleError(f"{path} is not what was published under that name: it was changed since; {REMEDY}")
    return manifest


def _unsupported(path: Path | str, version: object, package: str | None) -> BundleError:
    newer = isinstance(version, int) and version > FORMAT
    writer = f"hybrid-recommender {package}" if package else "another version of hybrid-recommender"
    remedy = f"upgrade (pip install --upgrade hybrid-recommender) or {REMEDY}" if newer else REMEDY
    return BundleError(
        f"{path} has format {version!r}, written by {writer}; this version reads formats {OLDEST} to {FORMAT}; "
        f"{remedy}"
    )


def _check_parts(manifest: Manifest) -> None:
    """Raise unless the members that opening needs have their types and no path leaves the bundle's folder."""
    dims = [manifest.n, manifest.base_n, *manifest.blocks.values()]
    paths = [part["path"] for part in manifest.parts.values()]
    files = [pair for part in manifest.parts.values() for pair in part["files"].items()]
    valid = (
        all(isinstance(number, int) and number >= 0 for number in dims)
        and all(_HASH.fullmatch(path) for path in paths)
        and all(type(entry["bytes"]) is int and type(entry["sha256"]) is str for _, entry in files)
        and not any(file.startswith("/") or ".." in file.split("/") for file, _ in files)
    )
    if not valid:
        raise ValueError("n, blocks or parts")
