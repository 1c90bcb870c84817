"""The columns of a catalogue and their kinds."""

from dataclasses import dataclass

import pandas as pd

from recommender.catalog.values.cells import shared
from recommender.config import CatalogConfig
from recommender.errors import ConfigError, nearest
from recommender.items.schema import Kind

# They do not describe a product: stock and sales change, and a group is an identifier.
_NEVER_LEARNED = {"availability", "item_group_id", "currency", "regular_price", "sale_price"}


@dataclass(frozen=True)
class ColumnSpec:
    """A column of a catalogue: its name, its kind, and whether the category block learns from it."""

    name: str
    kind: Kind
    learn: bool


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
