"""Which events count in reports and trending: of known products, genuine answers, and not too many visitors."""

import hmac
import os
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from time import monotonic

from recommender.stores import EventStore
from recommender.stores.attribution import Attribution, is_signed
from serving.rates import WINDOW_SECONDS

# Addresses whose visitors are remembered; beyond that the one that was quiet longest is forgotten.
MAX_ADDRESSES = 5000


class Signer:
    """Makes recommendation ids, and recognizes those that were made with the same key.

    Parameters
    ----------
    events
        Its key is used where none is given.
    key
        Of the settings.
    """

    def __init__(self, events: EventStore, key: str | None) -> None:
        self._events = events
        self._key = None if key is None else key.encode()
        self._temporary = os.urandom(32)  # until the store answers, which has no event to attribute before

    def refresh(self) -> None:
        """Read the key of the store, if it is needed and not known yet."""
        if self._key is None:
            self._key = self._events.signing_key()

    def new_id(self, attribution: Attribution, seed: bytes | None = None) -> str:
        """Return a new recommendation id, of a seed where there is one."""
        return attribution.new_id(self._key or self._temporary, seed)

    def signature(self, text: str) -> str:
        """Return what only services with the key can make of a text."""
        key = self._key or self._temporary
        return hmac.new(key, b"studio\0" + text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    def is_genuine(self, recommendation_id: str) -> bool:
        """Return whether an id was made with the key."""
        self.refresh()
        return is_signed(recommendation_id, self._key or self._temporary)


class VisitorLimit:
    """Bounds how many visitors of one address count in an hour, since a script invents as many as it likes.

    It counts in this process alone, so N workers admit up to N times as many; see `SharedVisitorLimit`.

    Parameters
    ----------
    limit
        Visitors of one address in an hour.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # address → when its hour began, and the hashes of its visitors; least recent address first
        self._addresses: OrderedDict[str, tuple[float, set[int]]] = OrderedDict()
        self._lock = Lock()

    def admits(self, address: str, visitors: Sequence[str]) -> list[bool]:
        """Return of each visitor whether it is among the first of its address in this hour."""
        now = monotonic()
        with self._lock:
            start, known = self._addresses.pop(address, (now, set()))
            if now - start > WINDOW_SECONDS:
                start, known = now, set()
            self._addresses[address] = start, known
            if len(self._addresses) > MAX_ADDRESSES:
                self._addresses.popitem(last=False)
            return [self._admit(known, hash(visitor)) for visitor in visitors]

    def _admit(self, known: set[int], visitor: int) -> bool:
        if len(known) < self._limit:
            known.add(visitor)
        return visitor in known
