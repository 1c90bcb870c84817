"""Combine an encoder for texts with one for images."""

from collections.abc import Collection, Mapping, Sequence

from PIL import Image

from recommender.encoders.base import INT8_SUFFIX, Asymmetric, Encoder, Quantizable, Vectors, known_words
from recommender.progress import notice


class Pair:
    """Two encoders as one; see `recommender.encoders.base.Encoder`.

    Parameters
    ----------
    text, image
        Each encodes its modality alone.
    """

    def __init__(self, text: Encoder, image: Encoder) -> None:
        self.text, self.image = text, image
        self.name = f"{text.name} (texts) and {image.name} (images)" if image.image_dim else text.name
        self.fingerprint = f"{text.fingerprint}+{image.fingerprint}"
        self.aligned = text.aligned and _space(text) == _space(image)
        self.image_dim, self.text_dim = image.image_dim, text.text_dim
        if not self.aligned and self.text_dim and self.image_dim:
            notice(f"{self.name} do not share a space; a projection that aligns them is learned from the products")

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """See `Encoder.encode_images`."""
        return self.image.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder.encode_texts`."""
        return self.text.encode_texts(texts)

    def known_words(self, text: str) -> tuple[list[str], list[str]]:
        """See `WordBased`."""
        return known_words(self.text, text)

    def for_queries(self) -> Encoder:
        """See `Asymmetric`."""
        return Pair(self.text.for_queries(), self.image) if isinstance(self.text, Asymmetric) else self


def quantize(encoder: Encoder, modalities: Collection[str]) -> Encoder:
    """Return the encoder with int8 weights for texts, images or both, as far as it supports that."""
    parts = [(name, encoder_of(encoder, name)) for name in modalities]
    return replaced(encoder, {name: part.quantized() for name, part in parts if isinstance(part, Quantizable)})


def replaced(encoder: Encoder, parts: Mapping[str, Encoder]) -> Encoder:
    """Return the encoder with others for some modalities; the rest keep their fingerprint, and so their cache."""
    if not parts:
        return encoder
    return Pair(*(parts.get(name) or encoder_of(encoder, name) for name in ("text", "image")))


def _space(encoder: Encoder) -> str:
    return encoder.fingerprint.removesuffix(INT8_SUFFIX)


def encoder_of(encoder: Encoder, modality: str) -> Encoder:
    """Return the encoder of the modality 'image' or 'text': the cache goes by its fingerprint."""
    return getattr(encoder, modality) if isinstance(encoder, Pair) else encoder
