"""Bundles: generations of a recommender, published atomically and opened only when complete."""

from recommender.bundle.generations import GenerationList, current, generations, published
from recommender.bundle.lineage import Lineage, lineage_of
from recommender.bundle.manifest import FORMAT, Manifest
from recommender.bundle.open import Bundle, open_bundle
from recommender.bundle.prune import prune
from recommender.bundle.publish import Staging
from recommender.bundle.replica import local_copy, pull
from recommender.bundle.rollback import rollback
from recommender.bundle.thumbnails import DeltaThumbnails, Thumbnails, write_thumbnails

__all__ = [
    "FORMAT",
    "Bundle",
    "DeltaThumbnails",
    "GenerationList",
    "Lineage",
    "Manifest",
    "Staging",
    "Thumbnails",
    "current",
    "generations",
    "lineage_of",
    "local_copy",
    "open_bundle",
    "prune",
    "published",
    "pull",
    "rollback",
    "write_thumbnails",
]
