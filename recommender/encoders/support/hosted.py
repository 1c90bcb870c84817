"""What encoders have in common that run at a provider: requests within its limits, and the bill."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recommender.encoders.cache import digest
from recommender.encoders.support.provider_client import ProviderClient
from recommender.errors import EncoderError
from recommender.progress import notice

_CHARACTERS_A_TOKEN = 4  # of English, on average; for the estimate before, never for the bill
_TOKENS_AN_IMAGE = 1600  # of 512 x 512 pixels


@dataclass(frozen=True)
class HostedModel:
    """What a provider says of a model.

    Parameters
    ----------
    dim
        Length of its vectors if no other is asked for.
    prices
        US dollars for a million of each unit that it bills, as listed when this was written.
    shortens
        Whether it can be asked for shorter vectors.
    """

    dim: int
    prices: Mapping[str, float] = field(default_factory=dict)
    shortens: bool = False


@dataclass(frozen=True)
class Provider:
    """A provider and what one request may hold.

    Parameters
    ----------
    name, url, path
        Of the provider; its usual address; where embeddings are under it.
    key_names
        Environment variables that may hold the key.
    models
        Those that are known.
    texts, bytes
        So many texts a request, so many bytes in UTF-8 all together: a token has one at least.
    text_bytes
        So many a text; what is longer is cut.
    """

    name: str
    url: str
    path: str
    key_names: Sequence[str]
    models: Mapping[str, HostedModel]
    texts: int
    bytes: int
    text_bytes: int


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
        Length of the vectors, if not the model's own.

    Raises
    ------
    EncoderError
        If no key is set, or the length of an unknown model's vectors is not said.
    """

    images_per_request = 64

    def __init__(self, provider: Provider, model: str, url: str | None, dimensions: int | None) -> None:
        known = provider.models.get(model)
        if known is None and dimensions is None:
            listed = ", ".join(provider.models)
            raise EncoderError(f"{model} is none of {listed}; say how long its vectors are: dimensions = N")
        stated = known or HostedModel(dim=dimensions or 0)
        self.text_dim = dimensions or stated.dim
        self.name = f"{provider.name} {model}"
        address = (url or provider.url).rstrip("/")
        self.fingerprint = f"{provider.name}-{digest(f'{address} {model} {self.text_dim}').decode()[:16]}"
        self._provider, self._model, self._prices = provider, model, stated.prices
        self._shortened = self.text_dim if stated.shortens and dimensions else None
        self._client = ProviderClient(provider.name, address + provider.path, provider.key_names)
        self._billed: Counter[str] = Counter()

    def batches(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Split texts into lists that one request may hold."""
        batch: list[str] = []
        size, limits = 0, self._provider
        for text in texts:
            held = min(len(text.encode("utf-8", "replace")), limits.text_bytes)
            if batch and (len(batch) == limits.texts or size + held > limits.bytes):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += held
        if batch:
            yield batch

    def report_estimate(self, texts: Sequence[str], images: int = 0) -> None:
        """Say, before, about how many tokens so many texts and images have and what they cost."""
        units = Counter({"tokens": sum(map(len, texts)) // _CHARACTERS_A_TOKEN})
        units["image_tokens"] = _TOKENS_AN_IMAGE * images
        notice(f"{self.name}: {len(texts)} texts and {images} images to encode, about {self._costing(units)}")

    def report_usage(self) -> dict[str, float]:
        """Say, after, what was paid for since the last bill; return units and, where known, ``dollars``."""
        units, self._billed = self._billed, Counter()
        notice(f"{self.name}: paid for {self._costing(units)}")
        return {**units, **({"dollars": self._dollars(units)} if self._prices else {})}

    def _costing(self, units: Counter[str]) -> str:
        listed = " and ".join(f"{n} {unit.replace('_', ' ')}" for unit, n in units.items() if n) or "nothing"
        return f"{listed}, {self._dollars(units):.4f} US dollars" if self._prices else listed

    def _dollars(self, units: Counter[str]) -> float:
        return round(sum(n * self._prices.get(unit, 0.0) for unit, n in units.items()) / 1e6, 6)

    def _cut(self, texts: Sequence[str]) -> list[str]:
        """Cut texts to the bytes that one may have."""
        most = self._provider.text_bytes
        return [text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore") for text in texts]

    def _strange(self, error: Exception) -> EncoderError:
        return EncoderError(f"{self.name} answers something else than vectors: {error!r}")

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._client.post({"model": self._model, **body})
