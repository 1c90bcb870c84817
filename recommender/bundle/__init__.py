"""Bundles: generations of a recommender, published atomically and opened only when complete."""

from recommender.bundle.generations import GenerationList, current, generations, prune
from recommender.bundle.manifest import FORMAT, Manifest
from recommender.bundle.open import Bundle, open_bundle
from recommender.bundle.publish import Staging
from recommender.bundle.rollback import rollback
from recommender.bundle.thumbnails import DeltaThumbnails, Thumbnails, write_thumbnails

__all__ = [
    "FORMAT",
    "Bundle",
    "DeltaThumbnails",
    "GenerationList",
    "Manifest",
    "Staging",
    "Thumbnails",
    "current",
    "generations",
    "open_bundle",
    "prune",
    "rollback",
    "write_thumbnails",
]
