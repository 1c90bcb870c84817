"""Find an encoder that a fit has trained on the shop's texts."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from recommender.errors import EncoderError

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

_LOCAL = "local-dir:"


def trained_folder(config: "EncoderChoice") -> Path:
    """Return the folder of a trained encoder.

    Raises
    ------
    EncoderError
        If the config names none: training needs the texts, which only a fit has.
    """
    folder = Path((config.model or "").removeprefix(_LOCAL))
    if not (config.model or "").startswith(_LOCAL) or not folder.is_dir():
        raise EncoderError(
            f"encoder {config.name!r} is trained by fit on the shop's texts, and there is none at {config.model}; "
            f'expected model = "{_LOCAL}FOLDER" of one that was trained'
        )
    return folder


def folder_fingerprint(name: str, folder: Path) -> str:
    """Return the fingerprint of all files of a folder."""
    hashed = sha256(name.encode())
    for path in sorted(folder.iterdir()):
        hashed.update(path.name.encode())
        hashed.update(path.read_bytes())
    return f"{name}-{hashed.hexdigest()[:16]}"
