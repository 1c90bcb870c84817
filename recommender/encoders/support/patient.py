"""Posting to a provider that limits rates and fails now and then: waits, tries again, gives up in the end."""

import os
import random
import time
import weakref
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from recommender.errors import EncoderError

_TRIES = 7
_LONGEST_PAUSE = 60.0  # seconds
_AGAIN = {408, 409, 429, 500, 502, 503, 504, 529}


class PatientClient:
    """Posts JSON with a key.

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
        """Return the answer to one request.

        Rate limits, faults of the server and broken connections are waited out: as long as ``Retry-After`` says,
        else twice as long each time, with jitter, so that many clients don't come back at once.

        Raises
        ------
        EncoderError
            If the provider refuses the request, or has not answered after seven tries.
        """
        reason = ""
        for attempt in range(_TRIES):
            pause = random.uniform(0.5, 1.0) * min(2.0**attempt, _LONGEST_PAUSE)
            try:
                answer = self._client.post(self._url, json=body)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    return self._read(answer)
                reason = f"status {answer.status_code}: {_said(answer)}"
                if answer.status_code not in _AGAIN or "insufficient_quota" in answer.text:  # no waiting fills it
                    raise EncoderError(f"{self._name} refuses: {reason}")
                stated = _retry_after(answer)
                pause = pause if stated is None else stated
            if attempt < _TRIES - 1:
                time.sleep(pause)
        raise EncoderError(
            f"{self._name} does not answer ({reason}); what it has encoded is kept: fit again later"
        )

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            found: dict[str, Any] = answer.json()
        except ValueError as error:
            raise EncoderError(f"{self._url} answers no JSON; is it the provider's address?") from error
        return found


def _said(answer: httpx.Response) -> str:
    """Return the first line of the provider's own words."""
    try:
        body = answer.json()
        error = body.get("error") or body
        words = error if isinstance(error, str) else error.get("message", "")
    except (ValueError, AttributeError):
        words = answer.text
    lines = str(words).strip().splitlines()
    return lines[0][:200] if lines else answer.reason_phrase


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, as a number or as a date, at most a minute."""
    stated = answer.headers.get("retry-after", "")
    try:
        seconds = float(stated)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(stated).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE)
