"""Reads everything that a config names, as a fit would, and says what is wrong."""

import io
import warnings

from PIL import Image

from recommender.catalog.catalog import Catalog
from recommender.catalog.interactions import Interactions
from recommender.catalog.report import DataReport
from recommender.config import Config
from recommender.errors import DataError
from recommender.progress import progress


def validate(config: Config, strict: bool = False) -> DataReport:
    """Read products, photos and events, and report every problem; nothing is trained.

    Parameters
    ----------
    config
        Where they are.
    strict
        Whether anything that has to be left out is an error.

    Raises
    ------
    DataError, ConfigError
        If a file cannot be read at all; with `strict`, if anything was left out.
    """
    catalog = Catalog.load(config)
    report = catalog.report
    _check_photos(catalog, config, report)
    if config.events is not None:
        report.merge(Interactions.load(config, catalog).report)
    report.raise_if_strict(strict)
    return report


def _check_photos(catalog: Catalog, config: Config, report: DataReport) -> None:
    """Open every photo as far as its header."""
    missing: list[int] = []
    broken: list[int] = []
    refs = catalog.image_refs()
    for row, ref in enumerate(progress(refs, "photos", len(refs), "photo")):
        if ref and not catalog.images.key(ref):
            missing.append(row)
        elif ref and not _opens(catalog, ref):
            broken.append(row)
    name = config.catalog.path.name
    for kind, rows, message in (
        ("missing photo", missing, "there is no photo {!r}; taken as without"),
        ("broken photo", broken, "the photo {!r} cannot be opened; taken as without"),
    ):
        ids = [catalog.ids[row] for row in rows]
        report.add(kind, name, [0] * len(rows), ids, lambda i, m=message, r=rows: m.format(refs[r[i]]), "warning")
    report.facts["products with a photo"] = sum(map(bool, refs)) - len(missing) - len(broken)


def _opens(catalog: Catalog, ref: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(catalog.images.read(ref))).close()
    except (OSError, ValueError, SyntaxError, DataError, Image.DecompressionBombError):
        return False
    return True
