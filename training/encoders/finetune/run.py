"""From an encoder and a catalogue to an encoder that knows the catalogue; the result is kept in the cache."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.bundle.disk import exclusive_lock, fsync, write_atomically
from recommender.catalog import Catalog
from recommender.config import ClipConfig, EncoderConfig
from recommender.encoders import open_clip
from recommender.encoders.base import Encoder
from recommender.encoders.cache import cache_location, digest
from recommender.encoders.images import quiet
from recommender.encoders.open_clip import OpenClipEncoder
from recommender.encoders.pipeline import EncodedCatalog, encode_catalog
from recommender.errors import DataError, EncoderError
from recommender.progress import notice
from training.encoders.finetune.examples import Examples
from training.encoders.finetune.towers import ImageTower, LockedTower, TextTower, Tower
from training.encoders.finetune.training import Training

LEAST_PAIRS = 50


@dataclass(frozen=True)
class FineTuned:
    """What came of it.

    Parameters
    ----------
    encoder
        To encode with from now on.
    folder
        Its files, which a bundle must carry; None if fine-tuning gained nothing and the encoder is as it was.
    figures
        Retrieval among ``held_out`` products that nothing was learned or chosen by, ``before`` and ``after``; the
        ``validation`` figures before and after each epoch, which chose the ``best_epoch`` (0: before); the number
        of ``pairs`` an epoch; ``seconds``.
    """

    encoder: Encoder
    folder: Path | None
    figures: dict[str, Any]


def finetune(
    encoder: Encoder, catalog: Catalog, settings: ClipConfig, seed: int, cache_dir: Path | None = None
) -> FineTuned:
    """Train an open_clip encoder on the texts and photos of a catalogue, or take what an earlier fit has trained.

    Parameters
    ----------
    encoder
        Its model is trained in place: use the returned one.
    seed
        Of the split, the batches and dropout.
    cache_dir
        Checkpoints and results are kept here. A fit that was killed goes on from its last checkpoint; the same
        catalogue and settings are never trained on twice.

    Raises
    ------
    EncoderError
        If the encoder is not open_clip's.
    DataError
        If there are too few products with both a text and a photo.
    """
    if not isinstance(encoder, OpenClipEncoder):
        raise EncoderError(
            f"[train.clip] fine-tunes an open_clip model, and the encoder here is {encoder.name}; set [encoder] "
            'name = "open_clip" with weights that can be had, or leave [train.clip] out'
        )
    encoded = encode_catalog(catalog, encoder, cache_dir)
    examples = Examples.of(catalog, encoded.has_image & encoded.has_text, seed)
    if examples.distinct < LEAST_PAIRS:
        raise DataError(
            f"[train.clip] has {examples.distinct} products of different names with a text and a photo to learn "
            f"from; expected {LEAST_PAIRS} at least. Leave [train.clip] out"
        )
    folder = cache_location(cache_dir) / "fine-tuned" / _key(encoder, examples, catalog, settings, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder):
        if not (folder / "figures.json").is_file():
            towers = _towers(encoder, encoded, examples, catalog, settings.locked)
            _train(Training(encoder, towers, examples, settings, seed), folder)
    return _kept(encoder, settings.locked, folder, cache_location(cache_dir) / "vectors")


def _train(training: Training, folder: Path) -> None:
    """Train, and leave the model's files and the figures in `folder`, the figures last."""
    started = time.monotonic()
    checkpoint, examples = folder / "checkpoint.safetensors", training.examples
    with quiet():
        figures: dict[str, Any] = {"before": training.figures(examples.test)}
        state = training.run(checkpoint)
        figures["after"] = training.figures(examples.test)
    figures |= {"best_epoch": state.best_epoch, "validation": state.history}
    figures |= {"pairs": examples.distinct, "held_out": len(examples.test)}
    figures |= {"seconds": round(time.monotonic() - started, 1)}
    if state.best_epoch:
        _export(training.encoder, folder / "model")
    write_atomically(folder / "figures.json", json.dumps(figures).encode())
    checkpoint.unlink(missing_ok=True)


def _export(encoder: OpenClipEncoder, folder: Path) -> None:
    staged = folder.with_suffix(".new")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    encoder.save(staged)
    for path in [*staged.iterdir(), staged]:
        fsync(path)
    shutil.rmtree(folder, ignore_errors=True)
    staged.replace(folder)


def _towers(
    encoder: OpenClipEncoder, encoded: EncodedCatalog, examples: Examples, catalog: Catalog, locked: str
) -> list[Tower]:
    """Return the towers of images and of texts; freeze the locked one."""
    image: Tower
    text: Tower
    if locked == "image":
        encoder.model.lock_image_tower()
        image = LockedTower(encoded.image[examples.rows])
    else:
        refs = catalog.image_refs()
        image = ImageTower(encoder, catalog.images, [refs[row] for row in examples.rows])
    if locked == "text":
        encoder.model.lock_text_tower()
        text = LockedTower(encoded.text[examples.rows])
    else:
        texts = catalog.texts()
        text = TextTower(encoder, [texts[row] for row in examples.rows])
    return [image, text]


def _kept(encoder: OpenClipEncoder, locked: str, folder: Path, vectors: Path) -> FineTuned:
    """Open what a training left."""
    figures = json.loads((folder / "figures.json").read_text("utf-8"))
    before, after = (figures[when]["recall@10"] for when in ("before", "after"))
    if not figures["best_epoch"]:
        notice(
            f"fine-tuning gained nothing on {figures['held_out']} held-out products: the encoder stays as it was"
        )
        return FineTuned(encoder, None, figures)
    notice(f"fine-tuned: recall@10 of {figures['held_out']} products held out {before:.3f} -> {after:.3f}")
    model = EncoderConfig(name="open_clip", model=f"local-dir:{folder / 'model'}", batch_size=encoder.batch_size)
    tuned = open_clip.create(model)
    tuned.name = f"{encoder.name}, fine-tuned"
    if locked != "none":
        _share_vectors(vectors, encoder, tuned, locked)
    return FineTuned(tuned, folder / "model", figures)


def _share_vectors(vectors: Path, encoder: Encoder, tuned: Encoder, locked: str) -> None:
    """Give the new encoder the cached vectors of the tower that stayed as it was."""
    target = vectors / tuned.fingerprint / locked
    if not target.is_dir():
        shutil.copytree(vectors / encoder.fingerprint / locked, target)


def _key(encoder: Encoder, examples: Examples, catalog: Catalog, settings: ClipConfig, seed: int) -> str:
    """Name everything that the result depends on."""
    what = [encoder.fingerprint, settings.model_dump_json(), str(seed), examples.fingerprint(catalog)]
    return digest("\n".join(what)).decode()
