"""Cohere's embedding API, version 2: texts and images in one space."""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recommender.encoders.base import Vectors
from recommender.encoders.support.hosted import HostedEncoder, HostedModel, Provider

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "base_url", "dimensions")
_DEFAULT = "embed-v4.0"
_PRICES_V3 = {"tokens": 0.10, "images": 100.0}
_PROVIDER = Provider(
    name="cohere",
    url="https://api.cohere.com",
    path="/v2/embed",
    key_names=("CO_API_KEY", "COHERE_API_KEY"),
    models={
        "embed-v4.0": HostedModel(1536, {"tokens": 0.12, "image_tokens": 0.47}, variable_dim=True),
        "embed-english-v3.0": HostedModel(1024, _PRICES_V3),
        "embed-multilingual-v3.0": HostedModel(1024, _PRICES_V3),
    },
    max_texts=96,
    max_bytes=128_000,
    max_text_bytes=16_000,
)
_UNITS = {"input_tokens": "tokens", "image_tokens": "image_tokens", "images": "images"}


class CohereEncoder(HostedEncoder):
    """Vectors of texts and images; see `recommender.encoders.base.Encoder`."""

    aligned = True
    _input_type = "search_document"

    def __init__(self, provider: Provider, model: str, url: str | None, dimensions: int | None) -> None:
        super().__init__(provider, model, url, dimensions)
        self.images_per_request = 1 if "-v3" in model else 64

    @property
    def image_dim(self) -> int:
        """See `Encoder`."""
        return self.text_dim

    def for_queries(self) -> "CohereEncoder":
        """Return the encoder for queries, for which the API has an input type of its own."""
        encoder = copy(self)
        encoder._input_type = "search_query"
        return encoder

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return vectors (b, image_dim) of at most 96 RGB images; in one request from version 4 on."""
        urls = [_as_url(image) for image in images]
        if self.images_per_request == 1:
            bodies: list[dict[str, Any]] = [{"input_type": "image", "images": [url]} for url in urls]
        else:
            inputs = [{"content": [{"type": "image_url", "image_url": {"url": url}}]} for url in urls]
            bodies = [{"input_type": self._input_type, "inputs": inputs}] if inputs else []
        return self._joined(bodies)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return vectors (b, text_dim); texts are truncated to 16,000 bytes."""
        batches = map(self._truncated, self.batches(texts))
        return self._joined([{"input_type": self._input_type, "texts": b, "truncate": "END"} for b in batches])

    def _joined(self, bodies: Sequence[Mapping[str, Any]]) -> Vectors:
        return np.concatenate([np.empty((0, self.text_dim), np.float32), *map(self._request, bodies)])

    def _request(self, content: Mapping[str, Any]) -> Vectors:
        body = {**content, "embedding_types": ["float"]}
        if self._output_dim:
            body["output_dimension"] = self._output_dim
        response = self._post(body)
        try:
            for name, unit in _UNITS.items():
                self._billed[unit] += int(response["meta"]["billed_units"].get(name) or 0)
            return np.array(response["embeddings"]["float"], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise self._malformed(error) from error


def create(config: "EncoderChoice") -> CohereEncoder:
    """Return the encoder; the key is CO_API_KEY, the address ``base_url``, CO_API_URL or Cohere's own."""
    url = config.base_url or os.environ.get("CO_API_URL")
    return CohereEncoder(_PROVIDER, config.model or _DEFAULT, url, config.dimensions)


def _as_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
