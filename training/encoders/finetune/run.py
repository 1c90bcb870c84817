"""Fine-tunes an open_clip encoder on a catalogue; the result is cached."""

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
from training.encoders.finetune.loop import FineTuning
from training.encoders.finetune.towers import LockedTower, Tower, TrainableImageTower, TrainableTextTower

MIN_PAIRS = 50


@dataclass(frozen=True)
class FineTuned:
    """The result of a fine-tuning.

    Parameters
    ----------
    encoder
        The fine-tuned one, or the original one if fine-tuning gained nothing.
    folder
        Of its files, which a bundle has to carry; None if fine-tuning gained nothing.
    metrics
        Retrieval among the ``held_out`` products of the test split, ``before`` and ``after``; the ``validation``
        metrics before and after each epoch, which selected the ``best_epoch`` (0: before); the number of ``pairs``
        of an epoch; ``seconds``.
    """

    encoder: Encoder
    folder: Path | None
    metrics: dict[str, Any]


def finetune(
    encoder: Encoder, catalog: Catalog, config: ClipConfig, seed: int, cache_dir: Path | None = None
) -> FineTuned:
    """Fine-tune an open_clip encoder on the texts and images of a catalogue, or load an earlier result.

    Parameters
    ----------
    encoder
        Its model is trained in place: use the returned one.
    catalog, config
        The products, and ``[train.clip]``.
    seed
        Of the split, the batches and dropout.
    cache_dir
        Folder of checkpoints and results: an interrupted fine-tuning resumes, and a finished one is not repeated.

    Raises
    ------
    EncoderError
        If the encoder is not open_clip's.
    DataError
        If there are too few products with both a text and an image.
    """
    if not isinstance(encoder, OpenClipEncoder):
        raise EncoderError(
            f"[train.clip] fine-tunes an open_clip model, and the encoder here is {encoder.name}; set [encoder] "
            'name = "open_clip" with available weights, or leave [train.clip] out'
        )
    encoded = encode_catalog(catalog, encoder, cache_dir)
    examples = Examples.of(catalog, encoded.has_image & encoded.has_text, seed)
    if examples.train_groups < MIN_PAIRS:
        raise DataError(
            f"[train.clip] has {examples.train_groups} products of different names with a text and an image to "
            f"learn from; expected at least {MIN_PAIRS}. Leave [train.clip] out"
        )
    folder = cache_location(cache_dir) / "fine-tuned" / _key(encoder, examples, catalog, config, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder):
        if not (folder / "figures.json").is_file():
            towers = _towers(encoder, encoded, examples, catalog, config.locked)
            _train(FineTuning(encoder, towers, examples, config, seed), folder)
    return _load_result(encoder, config.locked, folder, cache_location(cache_dir) / "vectors")


def _train(training: FineTuning, folder: Path) -> None:
    """Train, and write the model's files and then the metrics into `folder`."""
    started = time.monotonic()
    checkpoint, examples = folder / "checkpoint.safetensors", training.examples
    with quiet():
        metrics: dict[str, Any] = {"before": training.evaluate(examples.test)}
        state = training.run(checkpoint)
        metrics["after"] = training.evaluate(examples.test)
    metrics |= {"best_epoch": state.best_epoch, "validation": state.history}
    metrics |= {"pairs": examples.train_groups, "held_out": len(examples.test)}
    metrics |= {"seconds": round(time.monotonic() - started, 1)}
    if state.best_epoch:
        _export(training.encoder, folder / "model")
    write_atomically(folder / "figures.json", json.dumps(metrics).encode())
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
    """Return the towers of images and of texts, the locked one frozen."""
    image: Tower
    text: Tower
    if locked == "image":
        encoder.model.lock_image_tower()
        image = LockedTower(encoded.image[examples.rows])
    else:
        refs = catalog.image_refs()
        image = TrainableImageTower(encoder, catalog.images, [refs[row] for row in examples.rows])
    if locked == "text":
        encoder.model.lock_text_tower()
        text = LockedTower(encoded.text[examples.rows])
    else:
        texts = catalog.texts()
        text = TrainableTextTower(encoder, [texts[row] for row in examples.rows])
    return [image, text]


def _load_result(encoder: OpenClipEncoder, locked: str, folder: Path, vectors: Path) -> FineTuned:
    """Load the fine-tuned encoder; the original one if fine-tuning gained nothing."""
    metrics = json.loads((folder / "figures.json").read_text("utf-8"))
    before, after = (metrics[when]["recall@10"] for when in ("before", "after"))
    if not metrics["best_epoch"]:
        notice(f"fine-tuning gained nothing on {metrics['held_out']} held-out products: the encoder is unchanged")
        return FineTuned(encoder, None, metrics)
    notice(f"fine-tuned: recall@10 of {metrics['held_out']} held-out products {before:.3f} -> {after:.3f}")
    model = EncoderConfig(name="open_clip", model=f"local-dir:{folder / 'model'}", batch_size=encoder.batch_size)
    tuned = open_clip.create(model)
    tuned.name = f"{encoder.name}, fine-tuned"
    if locked != "none":
        _share_vectors(vectors, encoder, tuned, locked)
    return FineTuned(tuned, folder / "model", metrics)


def _share_vectors(vectors: Path, encoder: Encoder, tuned: Encoder, locked: str) -> None:
    """Copy the cached vectors of the locked tower, which are the new encoder's too."""
    target = vectors / tuned.fingerprint / locked
    if not target.is_dir():
        shutil.copytree(vectors / encoder.fingerprint / locked, target)


def _key(encoder: Encoder, examples: Examples, catalog: Catalog, config: ClipConfig, seed: int) -> str:
    """Return a digest of everything that the result depends on."""
    inputs = [encoder.fingerprint, config.model_dump_json(), str(seed), examples.fingerprint(catalog)]
    return digest("\n".join(inputs)).decode()
