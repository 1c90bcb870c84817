"""Loads the configured encoder; trains it first if it learns from the shop's texts, and caches it."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from recommender.bundle.disk import exclusive_lock, fsync
from recommender.catalog import Catalog
from recommender.config import EncoderChoice, EncoderConfig
from recommender.encoders.base import Encoder
from recommender.encoders.cache import cache_location, digest
from recommender.encoders.registry import create
from recommender.encoders.support.tokens import VERSION
from recommender.encoders.support.trained import trained_folder
from recommender.errors import DataError
from recommender.progress import notice
from training.encoders.texts import lstm, tfidf, word2vec

Train = Callable[[Path, Sequence[str], EncoderChoice, int], None]
_TRAINED: dict[str, Train] = {"lstm": lstm.train, "tfidf": tfidf.train, "word2vec": word2vec.train}
_MIN_TEXTS = 20


def encoder_for(
    config: EncoderConfig, catalog: Catalog, seed: int, cache_dir: Path | None = None
) -> tuple[Encoder, Path | None]:
    """Load the configured encoder; train it first if it learns from the shop's texts.

    Returns
    -------
    tuple
        The encoder; and the folder of its trained model, which a bundle has to carry, None if it was not trained.

    Raises
    ------
    EncoderError
        See `recommender.encoders.registry.create`.
    DataError
        If there are too few texts to learn from.
    """
    choice = config.text or config
    if choice.name not in _TRAINED:
        return create(config), None
    if choice.model is None:
        folder = _trained(choice, sorted(set(catalog.texts()) - {""}), seed, cache_dir)
        choice = choice.model_copy(update={"model": f"local-dir:{folder}", "checkpoint": None})
    whole = {"model": choice.model, "checkpoint": None}
    resolved = config.model_copy(update=whole if config.text is None else {"text": choice})
    return create(resolved), trained_folder(choice)


def _trained(choice: EncoderChoice, texts: Sequence[str], seed: int, cache_dir: Path | None) -> Path:
    if len(texts) < _MIN_TEXTS:
        raise DataError(
            f"encoder {choice.name!r} has {len(texts)} different texts to learn from; expected at least "
            f"{_MIN_TEXTS}. Map title or description in [catalog], or name another encoder"
        )
    options = choice.model_dump_json(exclude={"text", "image"})
    inputs = [options, str(VERSION), str(seed), _file_stamp(choice.checkpoint), *texts]
    folder = cache_location(cache_dir) / "trained" / digest("\0".join(inputs)).decode()
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder):
        if not (folder / "model").is_dir():
            notice(f"training {choice.name} on {len(texts)} texts")
            staged = folder / "new"
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir()
            _TRAINED[choice.name](staged, texts, choice, seed)
            for path in [*staged.iterdir(), staged]:
                fsync(path)
            staged.replace(folder / "model")
    return folder / "model"


def _file_stamp(path: Path | None) -> str:
    """Return size and modification time of a file; "" if it is missing, which is reported when it is opened."""
    if path is None or not path.exists():
        return ""
    return f"{path.stat().st_size} {path.stat().st_mtime_ns}"
