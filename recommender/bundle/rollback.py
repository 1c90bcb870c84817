"""Rolls back to an older generation: checks that it opens, then makes it current."""

from pathlib import Path

from recommender.bundle.disk import exclusive_lock, write_atomically
from recommender.bundle.generations import current, names, unknown_generation
from recommender.bundle.open import open_bundle
from recommender.errors import BundleError


def rollback(root: Path | str, generation: str | None = None) -> str:
    """Make a generation current: the given one, or the one before the current.

    Parameters
    ----------
    root
        The bundle's folder.
    generation
        Its name; by default the one published before the current one.

    Returns
    -------
    str
        The generation that is now current.

    Raises
    ------
    BundleError
        There is no such generation or it cannot be opened; nothing has changed.
    """
    root = Path(root)
    if generation is None:
        current(root)  # raises where there is no bundle, before a lock file is created
    elif generation not in names(root):
        raise unknown_generation(root, generation)
    with exclusive_lock(root):
        target = generation or _before(root, current(root))
        open_bundle(root, target).close()
        write_atomically(root / "CURRENT", f"{target}\n".encode())
    return target


def _before(root: Path, name: str) -> str:
    older = [other for other in names(root) if other < name]
    if not older:
        raise BundleError(f"cannot roll back: {name} is the oldest generation in {root}")
    return older[-1]
