"""Where an encoder lies that a fit has trained on the shop's own texts."""

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
        If the config names none: only a fit has the texts to train on.
    """
    folder = Path((config.model or "").removeprefix(_LOCAL))
    if not (config.model or "").startswith(_LOCAL) or not folder.is_dir():
        raise EncoderError(
            f"encoder {config.name!r} is trained by fit on the shop's texts, and there is none at {config.model}; "
            f'expected model = "{_LOCAL}FOLDER" of one that was trained'
        )
    return folder


def folder_fingerprint(name: str, folder: Path) -> str:
    """Return a fingerprint over all of a folder's files."""
    found = sha256(name.encode())
    for path in sorted(folder.iterdir()):
        found.update(path.name.encode())
        found.update(path.read_bytes())
    return f"{name}-{found.hexdigest()[:16]}"
