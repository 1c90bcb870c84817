"""Validate the files that a config names, as a fit reads them."""

import io
import warnings

import numpy as np
from PIL import Image

from recommender.catalog.catalog import Catalog
from recommender.catalog.images.files import ImageSource
from recommender.catalog.influence import bound_influence
from recommender.catalog.interactions import Interactions
from recommender.catalog.losses import Loss, refuse_losses
from recommender.catalog.report import DataReport
from recommender.catalog.summary import summarize_events, summarize_products
from recommender.config import Config
from recommender.errors import DataError
from recommender.progress import progress

_MESSAGES = {"missing": "there is no photo {!r}", "broken": "the photo {!r} cannot be opened"}


def validate(config: Config, strict: bool = False) -> DataReport:
    """Read products, images and events, and report every problem; nothing is trained.

    Parameters
    ----------
    config
        Names the files.
    strict
        Whether a problem that leaves something out is an error.

    Raises
    ------
    DataError, ConfigError
        If a file cannot be read at all, if most products or all events could not be used, or if most events name
        their products in another form than the catalogue; with `strict`, if anything was left out.
    """
    report = read_files(config)
    report.raise_if_strict(strict)
    refuse_losses(report.losses, strict)
    return report


def read_files(config: Config) -> DataReport:
    """Read products, images and events, and report every problem, however much is lost.

    Raises
    ------
    DataError, ConfigError
        If a file cannot be read at all.
    """
    catalog = Catalog.load(config)
    report = catalog.report
    report.columns += summarize_products(catalog, config.catalog)
    _check_images(catalog, config, report)
    if config.events is not None:
        interactions = bound_influence(Interactions.load(config, catalog))
        interactions.report.columns += summarize_events(interactions, config.events)
        report.merge(interactions.report)
    return report


def _check_images(catalog: Catalog, config: Config, report: DataReport) -> None:
    """Open every image and read its header."""
    refs = np.array(catalog.image_refs(), dtype=object)
    states = np.array([_state(catalog.images, ref) for ref in progress(refs, "images", len(refs), "image")])
    for state, message in _MESSAGES.items():
        rows = np.flatnonzero(states == state)
        messages = [f"{message.format(refs[row])}; taken as without a photo" for row in rows]
        ids = [catalog.ids[row] for row in rows]
        report.add(f"{state} photo", config.catalog.path.name, rows * 0, ids, messages.__getitem__, "warning")
    good = int((states == "good").sum())
    report.facts["products with a photo"] = good
    reasons = {kind: report.counts[kind] for kind in (f"{state} photo" for state in _MESSAGES)}
    lost = {kind: count for kind, count in reasons.items() if count}
    report.losses.append(Loss("photos", config.catalog.path.name, good + sum(lost.values()), good, lost))


def _state(images: ImageSource, ref: str) -> str:
    if not ref:
        return ""
    if not images.key(ref):
        return "missing"
    return "good" if _opens(images, ref) else "broken"


def _opens(images: ImageSource, ref: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(images.read(ref))).close()
    except (OSError, ValueError, SyntaxError, DataError, Image.DecompressionBombError):
        return False
    return True
