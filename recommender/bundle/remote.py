"""Bundles in an object store, or wherever else fsspec writes: S3, Google Cloud Storage, Azure, a share.

The layout is that of a folder, but for the pointer to the current generation. It is a row of numbered files,
``current/<number>``, each with the name of a generation, of which the highest counts. A publisher takes the next
number by an exclusive create, which object stores do by a conditional put (If-None-Match, ifGenerationMatch=0 in
Google's): of two publishers one succeeds, and a crash leaves no lock behind.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from recommender.bundle.manifest import Manifest, parse_manifest
from recommender.bundle.parts import fsync_all
from recommender.errors import BundleError, RecommenderError
from recommender.progress import progress

FILE = ".remote"  # in a local copy
# Numbers that are retained: a publisher that is more publications behind would take one that was removed.
RETAINED_NUMBERS = 100
# A part that no manifest references may be that of a publication under way for so long.
UPLOAD_TIME = timedelta(days=1)
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)(::|://)", re.IGNORECASE)
_NAME = re.compile(r"\w[\w.-]*")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def origin(root: Path) -> str | None:
    """Return the URL that a local copy comes from; None for a folder that is no copy."""
    try:
        url: str = json.loads((root / FILE).read_text("utf-8"))["url"]
    except FileNotFoundError:
        return None
    return url


def is_url(bundles: Path | str) -> bool:
    """Return whether bundles are at a URL such as ``s3://shop/bundles``, not in a folder."""
    return isinstance(bundles, str) and _URL.match(bundles) is not None


class Remote:
    """The bundles at a URL.

    Parameters
    ----------
    url
        Of any filesystem of fsspec, whose library reads credentials and endpoints from the environment.

    Raises
    ------
    BundleError
        There is no such filesystem, or its package is not installed; from every method, if the store refuses.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url.rstrip("/")
        try:
            self._fs, path = fsspec.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise BundleError(f"{self.url} cannot be used: {error}{_remedy(self.url)}") from error
        self._path = str(path).rstrip("/")

    @classmethod
    def of(cls, root: Path) -> Self | None:
        """Return where a local copy comes from; None for a folder that is no copy."""
        url = origin(root)
        return None if url is None else cls(url)

    def __repr__(self) -> str:
        return f"<Remote {self.url}>"

    def current(self) -> tuple[int, str | None]:
        """Return the number of the last publication or rollback, and the generation that it made current.

        A folder that was copied into the store has the file CURRENT, which counts until the first publication.
        """
        with self._errors():
            if numbers := [name for name in self._list("current") if name.isdigit()]:
                return int(numbers[-1]), self._name_in(f"current/{numbers[-1]}")
            try:
                return 0, self._name_in("CURRENT")
            except FileNotFoundError:
                return 0, None

    def make_current(self, generation: str, number: int) -> bool:
        """Make a generation current, unless a publication with this number was made already.

        What is in the file afterwards decides, whatever the store answered: not every store of the S3 protocol
        names the failed condition, an answer may be lost, and where a filesystem has no exclusive create, fsspec
        only looks whether the file exists.
        """
        path, data, refusal = f"current/{number:08d}", f"{generation}\n".encode(), None
        with self._errors():
            try:
                self._write(path, data, mode="create")
            except Exception as error:  # every library has its own
                refusal = error
            try:
                written = self._read(path)
            except FileNotFoundError:
                raise refusal or BundleError(f"{self.url} does not keep {path}") from None
            if written == data and number > RETAINED_NUMBERS:
                self._remove(f"current/{number - RETAINED_NUMBERS:08d}")
            return bool(written == data)

    def names(self) -> list[str]:
        """Return the names of all generations, oldest first."""
        with self._errors():
            return [name.removesuffix(".json") for name in self._list("generations") if name.endswith(".json")]

    def manifest(self, generation: str) -> bytes | None:
        """Return the bytes of a generation's manifest; None if it was removed meanwhile."""
        with self._errors():
            try:
                return self._read(f"generations/{generation}.json")
            except FileNotFoundError:
                return None

    def add_manifest(self, generation: str, data: bytes) -> None:
        """Write a manifest, whose parts have been uploaded."""
        with self._errors():
            self._write(f"generations/{generation}.json", data)

    def remove_manifest(self, generation: str) -> None:
        """Remove a manifest that was not made current after all."""
        with self._errors():
            self._remove(f"generations/{generation}.json")

    def upload(self, folder: Path, part: Mapping[str, Any]) -> None:
        """Write a part; its files are complete or absent, as object stores do it."""
        with self._errors():
            for file in progress(part["files"], "upload", len(part["files"]), "file"):
                self._fs.put_file(str(folder / file), self._at(f"parts/{part['path']}/{file}"))

    def download(self, folder: Path, part: Mapping[str, Any]) -> None:
        """Read a part into a folder, and flush it to the disk; the caller checks what came."""
        with self._errors():
            for file in progress(part["files"], "download", len(part["files"]), "file"):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(self._at(f"parts/{part['path']}/{file}"), str(folder / file))
        fsync_all(folder)

    def check(self, manifest: Manifest) -> None:
        """Raise a `BundleError` unless all files of a generation are there, with their sizes."""
        with self._errors():
            for part in manifest.parts.values():
                place = self._at(f"parts/{part['path']}")
                sizes = {found: entry["size"] for found, entry in self._found(place).items()}
                for file, entry in part["files"].items():
                    if sizes.get(f"{place}/{file}") != entry["bytes"]:
                        raise BundleError(
                            f"{self.url}/parts/{part['path']}/{file} is missing or incomplete; "
                            "was it pruned meanwhile? Publish again"
                        )

    def remove(self, generations: list[str]) -> None:
        """Remove manifests, and the parts that no manifest referenced already before.

        The parts of these manifests go with the next call: another publisher may be about to reference one.
        """
        with self._errors():
            try:
                referenced = {part["path"] for name in self.names() for part in self._parts(name)}
            except BundleError:  # of a newer format: what it references is not known
                referenced = {*self._list("parts")}
            for name in generations:
                self._remove(f"generations/{name}.json")
            for path in self._list("parts"):
                if path not in referenced and self._is_left_over(self._at(f"parts/{path}")):
                    self._fs.rm(self._at(f"parts/{path}"), recursive=True)

    def referenced(self, manifests: Mapping[str, Manifest]) -> set[str]:
        """Return the paths of the parts of those manifests that are in the store."""
        there = set(self.names())
        return {
            str(part["path"])
            for name, manifest in manifests.items()
            if name in there
            for part in manifest.parts.values()
        }

    def _parts(self, name: str) -> list[Mapping[str, Any]]:
        content = self.manifest(name)
        return [] if content is None else [*parse_manifest(content, name, self.url).parts.values()]

    def _is_left_over(self, path: str) -> bool:
        """Return whether all files of a part are older than any upload under way."""
        files = list(self._found(path))
        now = datetime.now(UTC)
        return all(now - self._modified(file) > UPLOAD_TIME for file in files)

    def _modified(self, file: str) -> datetime:
        moment: datetime = self._fs.modified(file)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    def _name_in(self, path: str) -> str:
        name = self._read(path).decode("utf-8", "replace").strip()
        if not _NAME.fullmatch(name):
            raise BundleError(f"{self.url}/{path} has no name of a generation, but {name[:60]!r}")
        return name

    def _at(self, path: str) -> str:
        return f"{self._path}/{path}"

    def _list(self, path: str) -> list[str]:
        """Return the sorted names in a folder; none where there is no such folder."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._at(path), detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def _found(self, path: str) -> dict[str, dict[str, Any]]:
        self._fs.invalidate_cache()
        found: dict[str, dict[str, Any]] = self._fs.find(path, detail=True)
        return found

    def _read(self, path: str) -> bytes:
        data: bytes = self._fs.cat_file(self._at(path))
        return data

    def _write(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        try:
            self._fs.pipe_file(self._at(path), data, mode=mode)
        except FileNotFoundError:  # not in object stores: the folder is missing
            self._fs.makedirs(self._at(path).rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(self._at(path), data, mode=mode)

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._at(path))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise what the store refuses as a `BundleError`; every library has its own errors."""
        try:
            yield
        except RecommenderError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BundleError(f"{self.url} cannot be used: {reason}") from error


def _remedy(url: str) -> str:
    match = _URL.match(url)
    extra = _EXTRAS.get(match["scheme"].lower()) if match else None
    return f"; run: pip install 'hybrid-recommender[{extra}]'" if extra else ""
