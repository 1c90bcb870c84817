"""Open the source of images that a config names."""

from collections.abc import Iterable
from pathlib import Path

from recommender.catalog.images.files import FolderImages, ImageSource, ZipImages
from recommender.catalog.images.web import MixedImages, UrlImages, is_url
from recommender.config import Config
from recommender.encoders.cache import cache_location
from recommender.errors import DataError


def open_images(config: Config, refs: Iterable[str]) -> ImageSource:
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
    files = _open_files(config.resolve(config.catalog.images or Path()))
    if not any(map(is_url, refs)):
        return files
    return MixedImages(files, UrlImages(cache_location() / "photos"))


def _open_files(path: Path) -> ImageSource:
    if not path.exists():
        raise DataError(f"{path} is not there; expected the folder or zip of the photos")
    return FolderImages(path) if path.is_dir() else ZipImages(path)
