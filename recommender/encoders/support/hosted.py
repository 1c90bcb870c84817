"""The base of hosted encoders: requests within the provider's limits, and what they cost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recommender.encoders.cache import digest
from recommender.encoders.support.provider_client import ProviderClient
from recommender.errors import EncoderError
from recommender.progress import notice

_CHARACTERS_PER_TOKEN = 4  # of English, on average; for the estimate
_TOKENS_PER_IMAGE = 1600  # of 512 x 512 pixels


@dataclass(frozen=True)
class HostedModel:
    """A model of a provider.

    Parameters
    ----------
    dim
        Default dimension of its vectors.
    prices
        US dollars for a million of each billed unit, as listed when this was written.
    variable_dim
        Whether a smaller dimension can be requested.
    """

    dim: int
    prices: Mapping[str, float] = field(default_factory=dict)
    variable_dim: bool = False


@dataclass(frozen=True)
class Provider:
    """A provider and the limits of one request.

    Parameters
    ----------
    name, url, path
        Of the provider; its default address; the path of embeddings.
    key_names
        Environment variables that may hold the key.
    models
        Known models.
    max_texts, max_bytes
        Of one request. Bytes of UTF-8 stand for tokens: a token has one at least.
    max_text_bytes
        Longer texts are truncated.
    """

    name: str
    url: str
    path: str
    key_names: Sequence[str]
    models: Mapping[str, HostedModel]
    max_texts: int
    max_bytes: int
    max_text_bytes: int


class HostedEncoder:
    """A model at a provider; see `recommender.encoders.base.Metered`.

    Parameters
    ----------
    provider
        Its address, limits and models.
    model
        The model's name.
    url
        Another address than the provider's.
    dimensions
        Dimension of the vectors, if not the model's default.

    Raises
    ------
    EncoderError
        If no key is set, or an unknown model has no `dimensions`.
    """

    images_per_request = 64

    def __init__(self, provider: Provider, model: str, url: str | None, dimensions: int | None) -> None:
        known = provider.models.get(model)
        if known is None and dimensions is None:
            listed = ", ".join(provider.models)
            raise EncoderError(f"{model} is none of {listed}; set the length of its vectors: dimensions = N")
        spec = known or HostedModel(dim=dimensions or 0)
        self.text_dim = dimensions or spec.dim
        self.name = f"{provider.name} {model}"
        address = (url or provider.url).rstrip("/")
        self.fingerprint = f"{provider.name}-{digest(f'{address} {model} {self.text_dim}').decode()[:16]}"
        self._provider, self._model, self._prices = provider, model, spec.prices
        self._output_dim = self.text_dim if spec.variable_dim and dimensions else None
        self._client = ProviderClient(provider.name, address + provider.path, provider.key_names)
        self._billed: Counter[str] = Counter()

    def batches(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Split texts into lists that fit into one request each."""
        batch: list[str] = []
        size, limits = 0, self._provider
        for text in texts:
            length = min(len(text.encode("utf-8", "replace")), limits.max_text_bytes)
            if batch and (len(batch) == limits.max_texts or size + length > limits.max_bytes):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += length
        if batch:
            yield batch

    def report_estimate(self, texts: Sequence[str], images: int = 0) -> None:
        """Print the estimated number of tokens of these texts and images, and their price."""
        units = Counter({"tokens": sum(map(len, texts)) // _CHARACTERS_PER_TOKEN})
        units["image_tokens"] = _TOKENS_PER_IMAGE * images
        notice(f"{self.name}: {len(texts)} texts and {images} images to encode, about {self._cost(units)}")

    def report_usage(self) -> dict[str, float]:
        """Print and return the units billed since the last call and, where known, ``dollars``."""
        units, self._billed = self._billed, Counter()
        notice(f"{self.name}: billed {self._cost(units)}")
        return {**units, **({"dollars": self._dollars(units)} if self._prices else {})}

    def _cost(self, units: Counter[str]) -> str:
        listed = " and ".join(f"{n} {unit.replace('_', ' ')}" for unit, n in units.items() if n) or "nothing"
        return f"{listed}, {self._dollars(units):.4f} US dollars" if self._prices else listed

    def _dollars(self, units: Counter[str]) -> float:
        return round(sum(n * self._prices.get(unit, 0.0) for unit, n in units.items()) / 1e6, 6)

    def _truncated(self, texts: Sequence[str]) -> list[str]:
        limit = self._provider.max_text_bytes
        return [text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore") for text in texts]

    def _malformed(self, error: Exception) -> EncoderError:
        return EncoderError(f"{self.name} answers something else than vectors: {error!r}")

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._client.post({"model": self._model, **body})
