"""Recommendation ids: they attribute events to the generation, placement, strategy and arm that was shown."""

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

# Bytes at the end of an id: a random number, and the first bytes of the HMAC of all that precedes them.
_RANDOM, _SIGNATURE = 5, 7
SUFFIX_LENGTH = 17  # "~" and the characters of these bytes: what differs between the answers of one attribution
# The arm of a caller without an id, which is drawn for each request: it is not counted.
DRAWN = "-"


class Attribution(NamedTuple):
    """What a recommendation id attributes an event to; reports are grouped by it.

    Parameters
    ----------
    generation
        Of the bundle.
    placement, strategy
        Of the request; the placement is empty without one.
    arm
        Of the placement's experiment; empty without one.
    """

    generation: str
    placement: str
    strategy: str
    arm: str = ""

    def new_id(self, key: bytes, seed: bytes | None = None) -> str:
        """Return a new recommendation id, signed with a key; its random number is a seed, where one is given."""
        return _signed("~".join(self), new_seed() if seed is None else seed, key)

    @classmethod
    def parse(cls, prefix: str) -> "Attribution | None":
        """Parse an id without its last `SUFFIX_LENGTH` characters; None if it is not one of ours."""
        parts = prefix.split("~")
        return cls(*parts) if len(parts) == len(cls._fields) else None


def new_seed() -> bytes:
    """Return the random number of a recommendation id, from which the answer's exploration is drawn."""
    return os.urandom(_RANDOM)


def seed_of(recommendation_id: str) -> bytes:
    """Return the random number of a recommendation id: with it, `Exploration` draws what the answer drew."""
    return urlsafe_b64decode(recommendation_id.rpartition("~")[2])[:_RANDOM]


def is_signed(recommendation_id: str, key: bytes) -> bool:
    """Return whether a recommendation id was made with a key."""
    prefix, _, suffix = recommendation_id.rpartition("~")
    try:
        random = urlsafe_b64decode(suffix)[:_RANDOM]
        expected = _signed(prefix, random, key).encode()
        return hmac.compare_digest(expected, recommendation_id.encode())
    except ValueError:  # not base64, or not Unicode
        return False


def _signed(prefix: str, random: bytes, key: bytes) -> str:
    signature = hmac.digest(key, prefix.encode() + random, "sha256")[:_SIGNATURE]
    return f"{prefix}~{urlsafe_b64encode(random + signature).decode()}"
