"""What every encoder offers, and how the name in a config becomes one."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recommender.errors import EncoderError, nearest

if TYPE_CHECKING:
    from recommender.bundle import Bundle
    from recommender.config import EncoderConfig

Vectors = NDArray[np.float32]

_HELPERS = {"base", "cache", "images", "onnx_tower", "photos", "pipeline", "torchvision_shim"}


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


def names() -> list[str]:
    """Return the names that a config may use: one module of this folder each, with a ``create(config)``."""
    folder = str(Path(__file__).parent)
    return sorted({module.name for module in iter_modules([folder])} - _HELPERS)


def create(config: "EncoderConfig") -> Encoder:
    """Load the encoder that the config names; its module is imported only now.

    Raises
    ------
    EncoderError
        If there is no such encoder, or its weights cannot be had.
    """
    if config.name not in names():
        guess = nearest(config.name, names())
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise EncoderError(f"encoder {config.name!r} is none of {', '.join(names())}{hint}")
    encoder: Encoder = import_module(f"recommender.encoders.{config.name}").create(config)
    return encoder


def create_for(bundle: "Bundle") -> Encoder:
    """Load the encoder that a bundle's vectors came from, to encode queries for it.

    A model that was fine-tuned on the catalogue lies in the bundle itself, in its part ``encoder``.

    Raises
    ------
    EncoderError
        If it cannot be had here, or its weights or recipe have changed since.
    """
    from recommender.config import EncoderConfig

    built = bundle.manifest.encoders
    settings = {**bundle.manifest.config["encoder"], "name": built["name"].split()[0]}
    if "encoder" in bundle.manifest.parts:
        settings |= {"model": f"local-dir:{bundle.folder('encoder')}", "pretrained": None, "checkpoint": None}
    encoder = create(EncoderConfig(**settings))
    if encoder.fingerprint != built["fingerprint"]:
        raise EncoderError(
            f"the bundle's vectors are by {built['fingerprint']}, the encoder here is {encoder.fingerprint}; "
            "install what it was built with, or fit again"
        )
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
