"""A client of embedding providers: posts JSON with an API key, and retries rate limits and server errors."""

import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from recommender.encoders.support.retries import RETRYABLE_STATUSES, Unavailable, retrying
from recommender.errors import EncoderError

_RETRYING = retrying(attempts=7, backoff=1.0, max_wait=60.0)


class ProviderClient:
    """Posts JSON with an API key.

    Parameters
    ----------
    name
        Of the provider, for messages.
    url
        Where requests go.
    key_names
        Environment variables; the first that is set holds the key.

    Raises
    ------
    EncoderError
        If no key is set.
    """

    def __init__(self, name: str, url: str, key_names: Sequence[str]) -> None:
        key = next((os.environ[variable] for variable in key_names if os.environ.get(variable)), None)
        if key is None:
            raise EncoderError(f"encoder {name!r} needs a key; set the environment variable {key_names[0]}")
        self._name, self._url = name, url
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"}, timeout=httpx.Timeout(60, connect=10)
        )
        weakref.finalize(self, self._client.close)

    def post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to one request; rate limits, server errors and broken connections are retried.

        Raises
        ------
        EncoderError
            If the provider refuses the request, or still fails after seven attempts.
        """
        try:
            response = _RETRYING(self._send, body)
        except (httpx.TransportError, Unavailable) as error:
            reason = str(error) if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
            raise EncoderError(
                f"{self._name} does not answer ({reason}); vectors so far are cached: fit again later"
            ) from error
        try:
            document: dict[str, Any] = response.json()
        except ValueError as error:
            raise EncoderError(f"{self._url} answers no JSON; is it the provider's address?") from error
        return document

    def _send(self, body: Mapping[str, Any]) -> httpx.Response:
        response = self._client.post(self._url, json=body)
        if response.is_success:
            return response
        reason = f"status {response.status_code}: {_message(response)}"
        exhausted = "insufficient_quota" in response.text  # a 429 that no waiting helps
        if response.status_code in RETRYABLE_STATUSES and not exhausted:
            raise Unavailable(reason, response)
        raise EncoderError(f"{self._name} refuses: {reason}")


def _message(response: httpx.Response) -> str:
    """Return the first line of the provider's error message."""
    try:
        body = response.json()
        error = body.get("error") or body
        message = error if isinstance(error, str) else error.get("message", "")
    except (ValueError, AttributeError):
        message = response.text
    lines = str(message).strip().splitlines()
    return lines[0][:200] if lines else response.reason_phrase
