"""Rolls back to an older generation: checks that it opens, then makes it current."""

from pathlib import Path

from recommender.bundle.disk import exclusive_lock
from recommender.bundle.generations import current, names, published, unknown_generation
from recommender.bundle.lineage import lineage_of
from recommender.bundle.open import open_bundle
from recommender.bundle.remote import Remote
from recommender.bundle.replica import make_current, mirror
from recommender.errors import BundleError


def rollback(root: Path | str, generation: str | None = None) -> str:
    """Make a generation current: the given one, or the one that was current before the last fit or update.

    An update is taken back whole, also where it was compacted; a second rollback takes back the one before. What
    was taken back can be made current again by its name. The next update starts from the current generation.

    Parameters
    ----------
    root
        The bundle's folder; of a local copy, the store is rolled back.
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
        _published(root)  # raises where there is no bundle, before a lock file is created
    elif generation not in names(root):
        raise unknown_generation(root, generation)
    with exclusive_lock(root):
        number = mirror(root)
        target = generation or _previous(root, _published(root))
        if Remote.of(root) is None:  # a store's files are checked there
            open_bundle(root, target).close()
        if not make_current(root, target, number):
            raise BundleError(f"another generation became current in {root} meanwhile; list them, and try again")
    return target


def _published(root: Path) -> str:
    return published(root) or current(root)


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
