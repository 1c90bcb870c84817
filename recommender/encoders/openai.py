"""OpenAI's embedding API, or any compatible server; texts alone."""

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
_DEFAULT = "text-embedding-3-small"
_PROVIDER = Provider(
    name="openai",
    url="https://api.openai.com/v1",
    path="/embeddings",
    key_names=("OPENAI_API_KEY",),
    models={
        "text-embedding-3-small": HostedModel(1536, {"tokens": 0.02}, variable_dim=True),
        "text-embedding-3-large": HostedModel(3072, {"tokens": 0.13}, variable_dim=True),
        "text-embedding-ada-002": HostedModel(1536, {"tokens": 0.10}),
    },
    max_texts=512,  # the limit is 2,048, and no faster
    max_bytes=300_000,
    max_text_bytes=8191,
)


class OpenAIEncoder(HostedEncoder):
    """Unit vectors of texts; see `recommender.encoders.base.Encoder`."""

    aligned = False
    image_dim = 0

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return vectors of dimension 0: images are not supported."""
        return np.empty((len(images), 0), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return the provider's vectors (b, text_dim); texts are truncated to 8,191 bytes."""
        empty = np.empty((0, self.text_dim), np.float32)
        return np.concatenate([empty, *map(self._request, self.batches(texts))])

    def _request(self, texts: Sequence[str]) -> Vectors:
        body: dict[str, Any] = {"input": self._truncated(texts), "encoding_format": "base64"}
        if self._output_dim:
            body["dimensions"] = self._output_dim
        response = self._post(body)
        try:
            self._billed["tokens"] += int(response["usage"]["total_tokens"])
            entries = sorted(response["data"], key=lambda entry: entry["index"])
            return np.array([_floats(entry["embedding"]) for entry in entries], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise self._malformed(error) from error


def create(config: "EncoderChoice") -> OpenAIEncoder:
    """Return the encoder; the key is OPENAI_API_KEY, the address ``base_url``, OPENAI_BASE_URL or OpenAI's own."""
    url = config.base_url or os.environ.get("OPENAI_BASE_URL")
    return OpenAIEncoder(_PROVIDER, config.model or _DEFAULT, url, config.dimensions)


def _floats(embedding: str | list[float]) -> np.ndarray:
    """Decode floats from base64, a quarter of the size of JSON numbers; some servers send only those."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4")
    return np.array(embedding, np.float32)
