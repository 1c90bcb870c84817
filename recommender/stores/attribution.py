"""Recommendation ids: they attribute events to the generation, placement, strategy and arm that was shown."""

import os
from typing import NamedTuple

_RANDOM = 8  # bytes
SUFFIX_LENGTH = 1 + 2 * _RANDOM  # characters at the end of an id that differ between answers of one kind


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

    def new_id(self) -> str:
        """Return a new recommendation id."""
        return f"{'~'.join(self)}~{os.urandom(_RANDOM).hex()}"

    @classmethod
    def parse(cls, prefix: str) -> "Attribution | None":
        """Parse an id without its last `SUFFIX_LENGTH` characters; None if it is not one of ours."""
        parts = prefix.split("~")
        return cls(*parts) if len(parts) == len(cls._fields) else None
