"""What a generation replaced: a delta and its compaction are one change, which a rollback takes back whole."""

from dataclasses import dataclass
from pathlib import Path

from recommender.bundle.generations import manifest_path, names
from recommender.bundle.manifest import read_manifest
from recommender.errors import BundleError

LINEAGE = "lineage"  # in `Manifest.extra`


@dataclass(frozen=True)
class Lineage:
    """The generations before one.

    Parameters
    ----------
    previous
        Current before the change (a fit or an update) that the generation belongs to; None before the first.
    compacted
        The generation of the same change that this one compacts; None if it is no compaction.
    overlay_revision
        Products that were queued in the overlay up to this revision are embedded; 0 where none was.
    """

    previous: str | None = None
    compacted: str | None = None
    overlay_revision: int = 0


def lineage_of(root: Path | str, generation: str) -> Lineage:
    """Return the lineage of a generation: the next older one is the previous one where none was recorded.

    That is so of bundles of versions up to 0.2, and where the manifest cannot be read.
    """
    try:
        extra = read_manifest(manifest_path(root, generation)).extra
    except (BundleError, OSError):  # of a newer format, damaged or pruned
        extra = {}
    if LINEAGE in extra:
        return Lineage(**extra[LINEAGE])
    return Lineage(max((name for name in names(root) if name < generation), default=None))


def ancestors(root: Path, generation: str, steps: int) -> list[str]:
    """Return the generations that so many rollbacks from a generation reach, the nearest first."""
    reached: list[str] = []
    previous = lineage_of(root, generation).previous
    while previous is not None and len(reached) < steps:
        reached.append(previous)
        previous = lineage_of(root, previous).previous
    return reached
