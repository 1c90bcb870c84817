"""What every encoder offers, and how the name in a config becomes one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recommender.errors import EncoderError, nearest

if TYPE_CHECKING:
    from recommender.bundle import Bundle
    from recommender.config import EncoderChoice, EncoderConfig

EIGHT_BITS = "-int8"  # ends the fingerprint of an encoder that `Shrinks`
Vectors = NDArray[np.float32]

_HELPERS = {
    *(
        "base",
        "billing",
        "cache",
        "clip_texts",
        "extras",
        "forward",
        "gpu",
        "hosted",
        "hub",
        "image_tower",
        "images",
        "onnx_tower",
        "pair",
        "patient",
        "photos",
        "pipeline",
    ),
    *("sentences", "torchvision_shim", "trained", "words"),
}


class Encoder(Protocol):
    """Texts and images to vectors, row by row: a vector depends on nothing but its own input.

    Attributes
    ----------
    name
        What the config calls it, with model and weights where there is a choice.
    fingerprint
        Names weights, preprocessing and pooling together, fit for a file name. Vectors of two fingerprints
        never mix.
    aligned
        Whether a text and the picture that it describes get near vectors in one shared space.
    image_dim, text_dim
        Length of the vectors; 0 where the modality is not offered.
    """

    name: str
    fingerprint: str
    aligned: bool
    image_dim: int
    text_dim: int

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return the vectors (b, image_dim) of RGB images."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors (b, text_dim) of texts, none of them empty."""
        ...


@runtime_checkable
class AsksDifferently(Encoder, Protocol):
    """An encoder that reads a question otherwise than a product's text."""

    def for_queries(self) -> Encoder:
        """Return the same encoder for questions; it shares the weights and the space."""
        ...


@runtime_checkable
class Fits(Encoder, Protocol):
    """An encoder that fits a photo to its model apart, for the threads that read ahead of it."""

    def fitted(self, image: Image.Image) -> Image.Image:
        """Return the part of the photo that is seen, as small as it is seen; of that, `encode_images` sees all."""
        ...


@runtime_checkable
class Shrinks(Encoder, Protocol):
    """An encoder that can read faster, and almost alike, with weights of 8 bits.

    Attributes
    ----------
    shrinks
        What it reads so: 'image', 'text', or both.
    """

    shrinks: tuple[str, ...]

    def in_eight_bits(self) -> Encoder:
        """Return the encoder with those weights and a fingerprint of its own.

        Raises
        ------
        EncoderError
            If its model cannot be had in that form; some raise when they are first used.
        """
        ...


@runtime_checkable
class Paid(Encoder, Protocol):
    """An encoder that costs money for each thing it reads: what one request holds is kept before the next is sent.

    Attributes
    ----------
    images_at_once
        How many one request holds.
    """

    images_at_once: int

    def requests(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Split texts into lists that one request may hold."""
        ...

    def quote(self, texts: Sequence[str], images: int = 0) -> None:
        """Say what it will cost, about."""
        ...

    def bill(self) -> dict[str, float]:
        """Say, and return, what was paid for since the last bill."""
        ...


def names() -> list[str]:
    """Return the names that a config may use: one module of this folder each, with a ``create(config)``."""
    folder = str(Path(__file__).parent)
    return sorted({module.name for module in iter_modules([folder])} - _HELPERS)


def create(config: "EncoderConfig") -> Encoder:
    """Load the encoder that the config names, or the two of them; a module is imported only now.

    Raises
    ------
    EncoderError
        If there is no such encoder, it has no such option, or its weights cannot be had.
    """
    if config.text is None and config.image is None:
        return _load(config)
    from recommender.encoders.support.pair import Pair

    return Pair(_load(config.text or config), _load(config.image or config))


def create_for(bundle: "Bundle") -> Encoder:
    """Load the encoder that a bundle's vectors came from, to encode queries for it.

    A model that was trained on the catalogue lies in the bundle itself, in its part ``encoder``.

    Raises
    ------
    EncoderError
        If it cannot be had here, or its weights or recipe have changed since.
    """
    trained = bundle.folder("encoder") if "encoder" in bundle.manifest.parts else None
    made = bundle.manifest.encoders
    encoder = create_again(bundle.manifest.config["encoder"], made["name"], made["fingerprint"], trained)
    return encoder.for_queries() if isinstance(encoder, AsksDifferently) else encoder


def create_again(config: Mapping[str, Any], name: str, fingerprint: str, trained: Path | None = None) -> Encoder:
    """Load an encoder as it was elsewhere, or at another time.

    Parameters
    ----------
    config
        As `EncoderConfig` writes itself.
    name, fingerprint
        What the encoder called itself.
    trained
        Where its model lies, if that was trained on the catalogue.

    Raises
    ------
    EncoderError
        If it cannot be had here, or is not the same.
    """
    from recommender.config import EncoderConfig

    settings = dict(config)
    if settings["name"] == "auto" and not (settings.get("text") or settings.get("image")):
        found = {"name": name.split()[0]}
        settings = found if found["name"] == "offline" else settings | found
    if trained is not None:  # of two encoders only that of the texts is ever trained
        model = {"model": f"local-dir:{trained}", "pretrained": None, "checkpoint": None}
        if settings.get("text"):
            settings["text"] = settings["text"] | model
        else:
            settings |= model
    encoder = create(EncoderConfig(**settings))
    from recommender.encoders.support.pair import in_eight_bits

    encoder = in_eight_bits(encoder, _small(fingerprint))
    check_same(fingerprint, encoder)
    return encoder


def _small(fingerprint: str) -> list[str]:
    """Return what a `Pair` of this fingerprint reads in 8 bits."""
    text, _, image = fingerprint.partition("+")
    return [name for name, part in (("text", text), ("image", image)) if part.endswith(EIGHT_BITS)]


def check_same(fingerprint: str, encoder: Encoder) -> None:
    """Raise `EncoderError` unless an encoder has the fingerprint of some vectors: two kinds never mix."""
    if encoder.fingerprint != fingerprint:
        raise EncoderError(
            f"the vectors are by {fingerprint}, the encoder here is {encoder.fingerprint}; "
            "install what they were made with, or fit again"
        )


def _load(choice: "EncoderChoice") -> Encoder:
    if choice.name not in names():
        guess = nearest(choice.name, names())
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise EncoderError(f"encoder {choice.name!r} is none of {', '.join(names())}{hint}")
    module = import_module(f"recommender.encoders.{choice.name}")
    options = ("name", "batch_size", "text", "image", *module.OPTIONS)
    given = [option for option, value in choice if value is not None and option not in options]
    if given:
        known = ", ".join(module.OPTIONS) or "none"
        raise EncoderError(f"encoder {choice.name!r} has no option {given[0]!r}; its options: {known}")
    encoder: Encoder = module.create(choice)
    return encoder


def checked(vectors: Vectors, shape: tuple[int, int], encoder: Encoder) -> Vectors:
    """Return `vectors` if of this shape (b, dim), finite and not zero: a cache keeps a bad one forever.

    Raises
    ------
    EncoderError
        If they are not.
    """
    if vectors.shape != shape:
        raise EncoderError(f"encoder {encoder.name} returned an array {vectors.shape}; expected {shape}")
    if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
        raise EncoderError(f"encoder {encoder.name} returned a zero or infinite vector; check its weights")
    return vectors.astype(np.float32, copy=False)
