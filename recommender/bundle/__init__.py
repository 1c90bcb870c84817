"""Published generations: written so that a crash leaves the old one, opened only when whole."""

from recommender.bundle.generations import current, generations, prune, rollback
from recommender.bundle.manifest import FORMAT, Manifest
from recommender.bundle.open import Bundle, open_bundle
from recommender.bundle.publish import Staging
from recommender.bundle.thumbnails import PatchedThumbnails, Thumbnails, write_thumbnails

__all__ = [
    "FORMAT",
    "Bundle",
    "Manifest",
    "PatchedThumbnails",
    "Staging",
    "Thumbnails",
    "current",
    "generations",
    "open_bundle",
    "prune",
    "rollback",
    "write_thumbnails",
]
