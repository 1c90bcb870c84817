"""The profile tower: from a user's attributes and the context of a request to a vector on the query's side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.core.blocks import Float
from recommender.towers.category import ColumnVocabulary

FILE = "profile.npy"


@dataclass(frozen=True)
class ProfileTower:
    """Adds one trained vector per known value of a user's attributes and of a request's context.

    The sum is a vector in the space of the fused item vectors: ⟨profile, x⟩ is high where users with these values
    choose x more than others do. Unknown values add nothing, and no user is stored, only values that many share.

    Parameters
    ----------
    user, context
        The vocabularies of attributes and of context, with rows of one table.
    table
        Shape (rows of all vocabularies, d); zero in the first row of each vocabulary, that of unknown values.
    events
        The profile counts half once the history has so many events: then that says more. Infinity for no decay.
    """

    user: tuple[ColumnVocabulary, ...]
    context: tuple[ColumnVocabulary, ...]
    table: Float
    events: float = float("inf")

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names of the known columns of "user" and "context"."""
        kinds = {"user": self.user, "context": self.context}
        return {kind: tuple(v.name for v in vocabularies) for kind, vocabularies in kinds.items()}

    def vector(
        self, user: Mapping[str, Any] | None, context: Mapping[str, Any] | None = None, events: int = 0
    ) -> Float | None:
        """Return the profile of a user, shape (d,); None if no value is known.

        Parameters
        ----------
        user, context
            Column name to value; unknown columns and values say nothing.
        events
            Events of the history.
        """
        rows = [*known_rows(self.user, user or {}), *known_rows(self.context, context or {})]
        if not rows:
            return None
        positions, weights = zip(*rows, strict=True)
        profile = np.array(weights) @ self.table[list(positions)].astype(np.float64)
        return (profile / (1.0 + events / self.events)).astype(np.float32)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the table to the folder of a bundle part; return its entry of the manifest."""
        np.save(folder / FILE, self.table)
        columns = {"user": self.user, "context": self.context}
        exported: dict[str, Any] = {
            kind: [{"name": v.name, "first": v.first, "values": v.values, "knots": v.knots} for v in vocabularies]
            for kind, vocabularies in columns.items()
        }
        return exported | {"events": self.events if np.isfinite(self.events) else None}

    @classmethod
    def open(cls, table: Float, exported: Mapping[str, Any]) -> "ProfileTower":
        """Return the tower of its table and its entry of the manifest."""
        user, context = (
            tuple(
                ColumnVocabulary(v["name"], v["first"], tuple(v["values"]), tuple(v["knots"]))
                for v in exported[kind]
            )
            for kind in ("user", "context")
        )
        return cls(user, context, table, exported["events"] or float("inf"))


def known_rows(vocabularies: tuple[ColumnVocabulary, ...], values: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Return the (table row, weight) pairs of the values that are known."""
    pairs = []
    for vocabulary in vocabularies:
        cell = _cell(values.get(vocabulary.name), bool(vocabulary.knots))
        pairs += [(row, weight) for row, weight in vocabulary.lookup([cell])[0] if row > vocabulary.first]
    return pairs


def _cell(value: Any, is_number: bool) -> Any:
    """Return a value as the vocabulary looks it up: a finite number or None; strings."""
    if is_number:
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        return number if np.isfinite(number) else None
    if isinstance(value, list | tuple):
        return [_text(each) for each in value]
    return _text(value)


def _text(value: Any) -> str | None:
    """Return a value as files of users have it: 3 and 3.0 as "3", True as "true"."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return None if value is None else str(value).strip()
