"""What a generation says of itself: its parts by hash, its dims and weights, how it was made and measured."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from recommender.errors import BundleError

FORMAT = 2
REMEDY = "roll back (recommender bundles rollback) or fit again"
_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One generation, described.

    Parameters
    ----------
    generation
        ``<UTC time>-<first 8 hex digits of the SHA-256 of everything else>``.
    format, package_version, created_at
        Layout of the folder; who wrote it; when, ISO 8601 in UTC.
    n
        Items.
    blocks
        Block name to d_m, in the order in which they are concatenated.
    weights
        ``{"item": {name: w}, "user": {name: w}}``, the learned weights of the score; beside them
        ``"item: <first level of product_type>"`` where that of what is like a product of a category differs.
    metric, trees, seed
        How the index was built.
    encoders, config, metrics
        Fingerprints; the resolved configuration; figures with the split they were measured on.
    parts
        ``{part: {"path": hash, "files": {file: {"bytes": int, "sha256": hex}}}}``.
    extra
        Whatever else the publisher said; kept as it is.
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
        """Rows of the base segment; other than `n` where products were added or removed since it was built."""
        return int(self.extra.get("delta", {}).get("base_n", self.n))

    def to_dict(self) -> dict[str, Any]:
        """Return what the generation's JSON file holds, `extra` beside the named fields."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        return {**self.extra, **named}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Manifest":
        """Split `data` into the named fields and `extra`; numpy scalars become numbers, NaN becomes None."""
        data = plain(data)
        names = {f.name for f in fields(cls)} - {"extra"}
        known = {name: value for name, value in data.items() if name in names}
        return cls(**known, extra={name: value for name, value in data.items() if name not in names})

    def with_fields(self, **changed: Any) -> "Manifest":
        """Return the same manifest with some fields changed."""
        return replace(self, **changed)

    def seal(self) -> str:
        """Return the SHA-256 of everything but the name."""
        body = {**self.to_dict(), "generation": ""}
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()

    def to_json(self) -> bytes:
        """Return the bytes of the generation's file."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False).encode() + b"\n"


def plain(value: Any) -> Any:
    """Return `value` as JSON knows it: numpy scalars as numbers, a figure that is not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_manifest(path: Path) -> Manifest:
    """Read and check one generation's file.

    Raises
    ------
    BundleError
        It is no manifest, of another format, or not what was published under that name.
    """
    try:
        data = json.loads(path.read_bytes())
        found = data["format"]
        if found == FORMAT:
            manifest = Manifest.from_dict(data)
            _check_parts(manifest)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{path} is not a manifest ({error!r}); {REMEDY}") from None
    if found != FORMAT:
        raise BundleError(
            f"{path} has format {found!r}, this version of the package reads format {FORMAT}: "
            f"install {data.get('package_version', 'another version')}, or {REMEDY}"
        )
    if manifest.generation != path.stem or path.stem.rpartition("-")[2] != manifest.seal()[:8]:
        raise BundleError(f"{path} is not what was published under that name: it was changed since; {REMEDY}")
    return manifest


def _check_parts(manifest: Manifest) -> None:
    """Raise unless what opening relies on has its type and no path leaves the bundle's folder."""
    dims = [manifest.n, manifest.base_n, *manifest.blocks.values()]
    paths = [part["path"] for part in manifest.parts.values()]
    files = [pair for part in manifest.parts.values() for pair in part["files"].items()]
    sound = (
        all(isinstance(number, int) and number >= 0 for number in dims)
        and all(_HASH.fullmatch(path) for path in paths)
        and all(type(entry["bytes"]) is int and type(entry["sha256"]) is str for _, entry in files)
        and not any(file.startswith("/") or ".." in file.split("/") for file, _ in files)
    )
    if not sound:
        raise ValueError("n, blocks or parts")
