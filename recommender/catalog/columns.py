"""The columns of a catalogue and their kinds."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import is_multi, numbers, shared
from recommender.catalog.values.kinds import are_codes, kind_of
from recommender.config import CatalogConfig
from recommender.errors import ConfigError, nearest
from recommender.items.schema import STANDARD, Kind

# They do not describe a product: stock and sales change, and a group is an identifier.
_NEVER_LEARNED = {"availability", "item_group_id", "currency", "regular_price", "sale_price"}


@dataclass(frozen=True)
class ColumnSpec:
    """A column of a catalogue: its name, its kind, and whether the category block learns from it."""

    name: str
    kind: Kind
    learn: bool


def check_kinds(config: CatalogConfig, columns: Mapping[str, pd.Series]) -> None:
    """Check that `[catalog] kinds` names columns whose kind is open.

    Raises
    ------
    ConfigError
        If it does not.
    """
    for name in config.kinds:
        if STANDARD.get(name, "category") != "category":
            raise ConfigError(f"[catalog] kinds: {name} is always a {STANDARD[name]}; leave it out there")
        if name not in columns:
            guess = nearest(name, columns)
            hint = f"; did you mean {guess!r}?" if guess else f"; there are {', '.join(columns)}"
            raise ConfigError(f"[catalog] kinds: there is no column {name!r}{hint}")


class KindGuesses:
    """The kinds of the columns of a table.

    Parameters
    ----------
    given
        Of some columns, whatever their cells are.
    config
        Time zone and format of dates.
    """

    def __init__(self, given: Mapping[str, Kind], config: CatalogConfig) -> None:
        self._given, self._config = given, config
        self.kinds: dict[str, Kind] = {}
        self._codes: list[str] = []

    def of(self, name: str, cells: pd.Series) -> Kind:
        """Return the kind of a column: a given one, the standard one, or what its cells are."""
        kind = self._given.get(name) or STANDARD.get(name) or self._inferred(name, cells)
        if kind == "category" and name not in self._config.kinds and is_multi(cells):
            kind = "multi"
        self.kinds[name] = kind
        return kind

    def _inferred(self, name: str, cells: pd.Series) -> Kind:
        kind = kind_of(cells, self._config.timezone, self._config.timestamp_format)
        if kind == "number" and are_codes(pd.Series(numbers(cells)[0]).dropna(), name):
            self._codes.append(name)
            return "category"
        return kind

    def report(self, report: DataReport) -> None:
        """Add the columns of whole numbers that were taken as codes to the report's facts."""
        if self._codes:
            report.facts[f"columns of whole numbers taken as codes ({', '.join(self._codes)})"] = len(self._codes)


def columns_of(frame: pd.DataFrame, kinds: dict[str, Kind], config: CatalogConfig) -> tuple[ColumnSpec, ...]:
    """Return the columns of a frame, with those that the category block learns from.

    Raises
    ------
    ConfigError
        If `learn` names a column that does not exist, or that cannot be learned from.
    """
    learned = config.learn
    if learned is None:
        learned = [name for name, kind in kinds.items() if _is_informative(name, kind, frame[name])]
    for name in learned:
        if name not in kinds:
            guess = nearest(name, kinds)
            hint = f"; did you mean {guess!r}?" if guess else f"; there are {', '.join(kinds)}"
            raise ConfigError(f"[catalog] learn: there is no column {name!r}{hint}")
        if kinds[name] not in ("category", "multi", "number"):
            raise ConfigError(f"[catalog] learn: {name!r} is a {kinds[name]}; expected categories or numbers")
    return tuple(ColumnSpec(name, kind, name in learned) for name, kind in kinds.items())


def _is_informative(name: str, kind: Kind, cells: pd.Series) -> bool:
    """Return whether a column has at least two values, and shared ones; prices need not be shared."""
    if kind in ("date", "text") or name in _NEVER_LEARNED:
        return False
    values = cells.explode() if kind == "multi" else cells
    filled = values[values.notna() & (values != "")]
    return filled.nunique() >= 2 and (name == "price" or shared(filled))
