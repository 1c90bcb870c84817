"""Which columns a catalogue has and what each is."""

from dataclasses import dataclass

import pandas as pd

from recommender.catalog.cells import shared
from recommender.config import CatalogConfig
from recommender.errors import ConfigError, nearest
from recommender.items.schema import Kind

# They say nothing of what a product is: stock changes, and a group is a name of its own.
_NEVER_LEARNED = {"availability", "item_group_id"}


@dataclass(frozen=True)
class ColumnSpec:
    """A column of a catalogue: its name, what its cells are, and whether the category block learns from it."""

    name: str
    kind: Kind
    learn: bool


def columns_of(frame: pd.DataFrame, kinds: dict[str, Kind], config: CatalogConfig) -> tuple[ColumnSpec, ...]:
    """Decide which columns the category block learns from.

    Raises
    ------
    ConfigError
        If `learn` names a column that is not there, or that cannot be learned from.
    """
    chosen = config.learn
    if chosen is None:
        chosen = [name for name, kind in kinds.items() if _teaches(name, kind, frame[name])]
    for name in chosen:
        if name not in kinds:
            guess = nearest(name, kinds)
            hint = f"; did you mean {guess!r}?" if guess else f"; there are {', '.join(kinds)}"
            raise ConfigError(f"[catalog] learn: there is no column {name!r}{hint}")
        if kinds[name] not in ("category", "multi", "number"):
            raise ConfigError(f"[catalog] learn: {name!r} is a {kinds[name]}; expected categories or numbers")
    return tuple(ColumnSpec(name, kind, name in chosen) for name, kind in kinds.items())


def _teaches(name: str, kind: Kind, cells: pd.Series) -> bool:
    """Tell whether a column has two values or more that two products share on average; prices need not."""
    if kind in ("date", "text") or name in _NEVER_LEARNED:
        return False
    values = cells.explode() if kind == "multi" else cells
    filled = values[values.notna() & (values != "")]
    return filled.nunique() >= 2 and (name == "price" or shared(filled))
