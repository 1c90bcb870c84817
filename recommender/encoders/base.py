"""The interface of encoders, and the optional abilities that some of them have."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recommender.errors import EncoderError

INT8_SUFFIX = "-int8"  # ends the fingerprint of a quantized encoder
Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Encodes texts and images as vectors, row by row: a vector depends on its own input alone.

    Attributes
    ----------
    name
        As in the config, with model and weights where there is a choice.
    fingerprint
        Identifies weights, preprocessing and pooling together, and can be a file name. Vectors of two
        fingerprints are never mixed.
    aligned
        Whether text and image vectors share one space, a text near the image that it describes.
    image_dim, text_dim
        Dimension of the vectors; 0 for a modality that is not supported.
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
class Asymmetric(Encoder, Protocol):
    """An encoder that encodes queries differently from documents, such as with another prompt."""

    def for_queries(self) -> Encoder:
        """Return the same encoder for queries; weights and vector space are shared."""
        ...


@runtime_checkable
class Preprocesses(Encoder, Protocol):
    """An encoder whose image preprocessing can run apart from the model, in the threads that read images."""

    def preprocess(self, image: Image.Image) -> Image.Image:
        """Return the image cropped and resized to the model's input; its vector stays the same."""
        ...


@runtime_checkable
class Quantizable(Encoder, Protocol):
    """An encoder that can run with int8 weights: faster on a CPU, with almost the same vectors.

    Attributes
    ----------
    quantizable
        The modalities that can be quantized: 'image', 'text', or both.
    """

    quantizable: tuple[str, ...]

    def quantized(self) -> Encoder:
        """Return the encoder with int8 weights, and a fingerprint of its own.

        Raises
        ------
        EncoderError
            If the model cannot be quantized; some raise when they are first used.
        """
        ...


@runtime_checkable
class Metered(Encoder, Protocol):
    """An encoder that is billed by use. The vectors of each request are cached before the next is sent.

    Attributes
    ----------
    images_per_request
        Images that one request may hold.
    """

    images_per_request: int

    def batches(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Split texts into lists that fit into one request each."""
        ...

    def report_estimate(self, texts: Sequence[str], images: int = 0) -> None:
        """Print about what encoding these will cost."""
        ...

    def report_usage(self) -> dict[str, float]:
        """Print and return the units billed since the last call, and their price."""
        ...


@runtime_checkable
class WordBased(Encoder, Protocol):
    """An encoder that does not know every word: the vector of unknown words alone says nothing."""

    def known_words(self, text: str) -> tuple[list[str], list[str]]:
        """Return the words of a text that the encoder knows, and those that it does not."""
        ...


def known_words(encoder: Encoder, text: str) -> tuple[list[str], list[str]]:
    """Return the words of a text that an encoder knows, and the others; most encoders know every word."""
    if isinstance(encoder, WordBased):
        return encoder.known_words(text)
    return text.split(), []


def check_vectors(vectors: Vectors, shape: tuple[int, int], encoder: Encoder) -> Vectors:
    """Return `vectors` if they have this shape (b, dim) and are finite and not zero: the cache keeps them forever.

    Raises
    ------
    EncoderError
        If they do not.
    """
    if vectors.shape != shape:
        raise EncoderError(f"encoder {encoder.name} returned an array {vectors.shape}; expected {shape}")
    if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
        raise EncoderError(f"encoder {encoder.name} returned a zero or infinite vector; check its weights")
    return vectors.astype(np.float32, copy=False)
