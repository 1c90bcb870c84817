"""OpenAI's embeddings, or any server that speaks the same language; texts alone."""

import base64
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recommender.encoders.base import Vectors
from recommender.encoders.support.hosted import HostedEncoder, HostedModel, Provider

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "base_url", "dimensions")
_USUAL = "text-embedding-3-small"
_PROVIDER = Provider(
    name="openai",
    url="https://api.openai.com/v1",
    path="/embeddings",
    key_names=("OPENAI_API_KEY",),
    models={
        "text-embedding-3-small": HostedModel(1536, {"tokens": 0.02}, shortens=True),
        "text-embedding-3-large": HostedModel(3072, {"tokens": 0.13}, shortens=True),
        "text-embedding-ada-002": HostedModel(1536, {"tokens": 0.10}),
    },
    texts=512,  # 2,048 may be; they would gain nothing
    bytes=300_000,
    text_bytes=8191,
)


class OpenAIEncoder(HostedEncoder):
    """Unit vectors of texts; see `recommender.encoders.base.Encoder`."""

    aligned = False
    image_dim = 0

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return nothing: images are not read."""
        return np.empty((len(images), 0), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return the provider's vectors (b, text_dim); what goes beyond 8,191 bytes is not read."""
        empty = np.empty((0, self.text_dim), np.float32)
        return np.concatenate([empty, *map(self._request, self.batches(texts))])

    def _request(self, texts: Sequence[str]) -> Vectors:
        body: dict[str, Any] = {"input": self._cut(texts), "encoding_format": "base64"}
        if self._shortened:
            body["dimensions"] = self._shortened
        answer = self._post(body)
        try:
            self._billed["tokens"] += int(answer["usage"]["total_tokens"])
            found = sorted(answer["data"], key=lambda entry: entry["index"])
            return np.array([_floats(entry["embedding"]) for entry in found], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(error) from error


def create(config: "EncoderChoice") -> OpenAIEncoder:
    """Return the encoder; the key is OPENAI_API_KEY, the address ``base_url``, OPENAI_BASE_URL or OpenAI's own."""
    url = config.base_url or os.environ.get("OPENAI_BASE_URL")
    return OpenAIEncoder(_PROVIDER, config.model or _USUAL, url, config.dimensions)


def _floats(embedding: str | list[float]) -> np.ndarray:
    """Read little-endian floats in base64, a quarter of the bytes of digits; some servers give only the latter."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4")
    return np.array(embedding, np.float32)
