"""List the generations of a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

from recommender.bundle.manifest import Manifest, read_manifest
from recommender.bundle.remote import origin
from recommender.errors import BundleError, nearest

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = ".published"  # in a local copy: the current generation of its store


class GenerationList(list[Manifest]):
    """The manifests of a bundle's generations, oldest first."""

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per generation: created_at, products, encoder, index recall and package_version."""
        import pandas as pd

        rows = {
            manifest.generation: {
                "created_at": manifest.created_at,
                "products": manifest.n,
                "encoder": manifest.encoders.get("name"),
                "recall": manifest.metrics.get("recall", {}).get("recall"),
                "package_version": manifest.package_version,
            }
            for manifest in self
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("generation")

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html())


def current(root: Path | str) -> str:
    """Return the name of the current generation; raises `BundleError` where nothing was published."""
    try:
        return (Path(root) / "CURRENT").read_text("utf-8", "replace").strip()
    except OSError as error:
        place = origin(Path(root)) or root
        raise BundleError(
            f"no bundle in {place} (CURRENT: {error.strerror}); publish one: recommender fit --out {place}"
        ) from None


def served(root: Path) -> str | None:
    """Return the name of the generation that is opened from a folder; None where nothing was published."""
    return read_name(root / "CURRENT")


def published(root: Path) -> str | None:
    """Return the name of the current generation; in a local copy that of its store, which may not be here yet."""
    return read_name(root / PUBLISHED) or served(root)


def read_name(path: Path) -> str | None:
    """Return the name of a generation that a file has; None without the file."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except FileNotFoundError:
        return None


def names(root: Path | str) -> list[str]:
    """Return the names of all generations, oldest first: names sort in the order of publishing."""
    return sorted(path.stem for path in (Path(root) / "generations").glob("*.json"))


def manifest_path(root: Path | str, generation: str) -> Path:
    """Return the path of a generation's manifest."""
    return Path(root) / "generations" / f"{generation}.json"


def generations(root: Path | str) -> GenerationList:
    """Return the manifests of all generations, oldest first.

    Parameters
    ----------
    root
        The bundle's folder.

    Raises
    ------
    BundleError
        One of them cannot be read.
    """
    return GenerationList(read_manifest(manifest_path(root, name)) for name in names(root))


def unknown_generation(root: Path, generation: str) -> BundleError:
    """Return the error for an unknown generation."""
    known = names(root)
    suggestion = nearest(generation, known)
    hint = f"did you mean {suggestion!r}?" if suggestion else f"there are: {', '.join(known) or 'none'}"
    return BundleError(f"no generation {generation!r} in {origin(root) or root}; {hint}")
