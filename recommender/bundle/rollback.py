"""Rolls back to an older generation: checks that it opens, then makes it current."""

from pathlib import Path

from recommender.bundle.disk import exclusive_lock, write_atomically
from recommender.bundle.generations import current, names, unknown_generation
from recommender.bundle.lineage import lineage_of
from recommender.bundle.open import open_bundle
from recommender.errors import BundleError


def rollback(root: Path | str, generation: str | None = None) -> str:
    """Make a generation current: the given one, or the one that was current before the last fit or update.

    An update is taken back whole, also where it was compacted; a second rollback takes back the one before. What
    was taken back can be made current again by its name. The next update starts from the current generation.

    Parameters
    ----------
    root
        The bundle's folder.
    generation
        Its name; by default that of the current one's `Lineage.previous`.

    Returns
    -------
    str
        The generation that is now current.

    Raises
    ------
    BundleError
        There is no such generation, it was pruned, or it cannot be opened; nothing has changed.
    """
    root = Path(root)
    if generation is None:
        current(root)  # raises where there is no bundle, before a lock file is created
    elif generation not in names(root):
        raise unknown_generation(root, generation)
    with exclusive_lock(root):
        target = generation or _previous(root, current(root))
        open_bundle(root, target).close()
        write_atomically(root / "CURRENT", f"{target}\n".encode())
    return target


def _previous(root: Path, name: str) -> str:
    previous, known = lineage_of(root, name).previous, names(root)
    if previous is None:
        raise BundleError(f"cannot roll back: {name} is the oldest generation in {root}")
    if previous not in known:
        raise BundleError(
            f"cannot roll back: {previous}, which {name} replaced, was pruned from {root}; "
            f"name one of those that are left: {', '.join(known)}"
        )
    return previous
