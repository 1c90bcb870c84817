"""Retry HTTP requests with exponential backoff; ``Retry-After`` is honoured."""

import time
from email.utils import parsedate_to_datetime

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

RETRYABLE_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504, 529}


class Unavailable(Exception):
    """A response that a later attempt may improve on, such as a rate limit."""

    def __init__(self, message: str, response: httpx.Response) -> None:
        super().__init__(message)
        self.retry_after = _retry_after(response)


def retrying(attempts: int, backoff: float, max_wait: float) -> Retrying:
    """Return a policy that repeats a call on `Unavailable` and `httpx.TransportError`, and raises the last.

    Parameters
    ----------
    attempts
        How often to call at most.
    backoff
        Upper bound of the first wait in seconds; it doubles each time. Waits are random below it, so that many
        clients do not return at once.
    max_wait
        Longest wait in seconds, also where ``Retry-After`` asks for more.
    """
    jittered = wait_random_exponential(multiplier=backoff, max=max_wait)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        stated = error.retry_after if isinstance(error, Unavailable) else None
        return jittered(state) if stated is None else min(stated, max_wait)

    retry = retry_if_exception_type((httpx.TransportError, Unavailable))
    return Retrying(stop=stop_after_attempt(attempts), wait=wait, retry=retry, reraise=True)


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that ``Retry-After`` states, as a number or as a date."""
    stated = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(stated))
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(stated).timestamp() - time.time())
        except ValueError:
            return None
