"""Open the images of a catalogue: in a folder or zip, or on the web; of several links the first that exists."""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from recommender.catalog.images.files import FileImages, FolderImages, ImageSource, ZipImages
from recommender.catalog.images.names import inside, shared_folder
from recommender.catalog.images.web import UrlImages, is_url, url_of
from recommender.config import Config
from recommender.encoders.cache import cache_location
from recommender.errors import DataError, PhotoError

_QUOTED = re.compile(r"""["']([^"']+)["']""")
_AFTER_URL = re.compile(r"\s*[|\n]\s*|[\s,;]+(?=(?:https?:)?//)", re.IGNORECASE)  # URLs themselves have commas
_AFTER_NAME = re.compile(r"\s*[|,;\n]\s*")


def open_images(config: Config, refs: Collection[str]) -> ImageSource:
    """Return the source of the images that a config names.

    Parameters
    ----------
    config
        References that are not URLs are relative to its `images`, or else to the data folder.
    refs
        The reference of every product.

    Raises
    ------
    DataError
        If the folder or zip does not exist or cannot be read.
    """
    own = config.catalog
    urls = {ref: url for ref in refs if (url := url_of(ref))}
    names = [inside(ref) for ref in refs if ref and ref not in urls]
    prefixes = [shared_folder(names), shared_folder([_path_of(url) for url in urls.values()])]
    files = _open_files(config.resolve(own.images or Path()), prefixes)
    web = UrlImages(cache_location() / "photos", private=own.private_images)
    return CatalogImages(files, web, urls_in_files=own.images is not None)


def _open_files(path: Path, prefixes: Iterable[str]) -> FileImages:
    if not path.exists():
        raise DataError(f"{path} is not there; expected the folder or zip of the photos")
    return FolderImages(path, prefixes) if path.is_dir() else ZipImages(path, prefixes)


class CatalogImages:
    """Images in a folder or zip and on the web, by one link or several of which the first that exists counts.

    Parameters
    ----------
    files, web
        A link is looked for in `files`, and else downloaded.
    urls_in_files
        Whether URLs, too, are looked for in `files`, by their path.

    Attributes
    ----------
    matched
        The file that was taken for each reference that is not its path.
    """

    def __init__(self, files: FileImages, web: ImageSource, urls_in_files: bool = False) -> None:
        self._files, self._web, self._urls_in_files = files, web, urls_in_files
        self.matched: dict[str, str] = {}

    def key(self, ref: str) -> str:
        """Return the key of the first link that exists."""
        return next((key for _, _, key in self._existing(ref)), "")

    def read(self, ref: str) -> bytes:
        """Return the first image that can be read."""
        failures = []
        for source, link, _ in self._existing(ref):
            try:
                return source.read(link)
            except PhotoError as error:
                failures.append(error)
        raise failures[0] if failures else PhotoError(ref, "is not there")

    def close(self) -> None:
        """Close both."""
        self._files.close()
        self._web.close()

    def _existing(self, ref: str) -> Iterator[tuple[ImageSource, str, str]]:
        """Yield source, link and key of the images that a reference may mean."""
        for link in _links(ref):
            name, url = link, url_of(link)
            if is_url(link):
                name = _path_of(link) if self._urls_in_files else ""
            if name and (key := self._files.key(name)):
                if (taken := self._files.matched.get(name, name)) != ref:
                    self.matched[ref] = taken
                yield self._files, name, key
            elif url:
                yield self._web, url, self._web.key(url)


def _links(ref: str) -> Iterator[str]:
    """Yield the links of a cell.

    >>> [*_links("https://s.example/w_1,h_1/a.jpg, https://s.example/b.jpg")], [*_links("a.jpg|b.jpg")]
    (['https://s.example/w_1,h_1/a.jpg', 'https://s.example/b.jpg'], ['a.jpg|b.jpg', 'a.jpg', 'b.jpg'])
    """
    if ref.startswith("["):
        for quoted in _QUOTED.findall(ref):
            yield from _links(quoted)
    if is_url(ref):
        yield from filter(None, _AFTER_URL.split(ref))
        return
    yield ref
    parts = _AFTER_NAME.split(ref)
    if len(parts) > 1:
        yield from filter(None, parts)


def _path_of(url: str) -> str:
    """Return what follows the scheme.

    >>> _path_of("https://s.example/a.jpg"), _path_of("//s.example/a.jpg")
    ('s.example/a.jpg', 's.example/a.jpg')
    """
    return url.partition("//")[2]
