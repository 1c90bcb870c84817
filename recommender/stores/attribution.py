"""What an answer was, told by its `recommendation_id`: so that events which send the id back say what worked."""

import os
from typing import NamedTuple

_RANDOM = 8  # bytes
SUFFIX = 1 + 2 * _RANDOM  # characters at the end of an id that tell one answer from another


class Served(NamedTuple):
    """The kind of an answer: what a report tells apart.

    Parameters
    ----------
    generation
        The bundle that answered.
    placement, strategy
        What was asked; an empty placement is none.
    arm
        Of the placement's experiment; empty if there is none.
    """

    generation: str
    placement: str
    strategy: str
    arm: str = ""

    def new_id(self) -> str:
        """Return an id for one more answer of this kind."""
        return f"{'~'.join(self)}~{os.urandom(_RANDOM).hex()}"

    @classmethod
    def of(cls, prefix: str) -> "Served | None":
        """Read an id without its last `SUFFIX` characters; None if it is none of ours."""
        parts = prefix.split("~")
        return cls(*parts) if len(parts) == len(cls._fields) else None
