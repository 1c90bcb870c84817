"""What was understood of each column of a shop's files, with examples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from recommender.catalog.mapping import sources_of
from recommender.config import CatalogConfig, EventsConfig, UsersConfig
from recommender.items.schema import Kind

if TYPE_CHECKING:
    from recommender.catalog.catalog import Catalog
    from recommender.catalog.interactions import Interactions
    from recommender.catalog.users import Users

_EXAMPLES = 3
_MAX_EXAMPLE = 40  # characters
_EVENT_COLUMNS: dict[str, tuple[Kind, str]] = {
    "user_id": ("category", "user"),
    "item_id": ("category", "product"),
    "event_name": ("category", "weight of the event"),
    "timestamp": ("date", "order and age"),
    "value": ("number", "rating"),
}


@dataclass(frozen=True)
class ColumnSummary:
    """What was understood of one column.

    Attributes
    ----------
    file
        The file's name.
    heading
        The heading in the file, or the template over headings; "" where a format made the column.
    name
        The name that requests, filters and answers use.
    kind
        category, multi, number, date or text.
    use
        What it serves for, such as "encoded text" or "learned, filters".
    filled
        Share of the rows that have a value.
    distinct
        Number of distinct values.
    examples
        The most frequent values; of numbers and dates the lowest, the middle and the highest.
    """

    file: str
    heading: str
    name: str
    kind: Kind
    use: str
    filled: float
    distinct: int
    examples: tuple[str, ...]


def summarize_products(catalog: "Catalog", config: CatalogConfig) -> list[ColumnSummary]:
    """Return what was understood of each column of a catalogue, the id first."""
    kinds: dict[str, Kind] = {"id": "category", **{column.name: column.kind for column in catalog.columns}}
    learned = {column.name for column in catalog.columns if column.learn}
    encoded = {"title", "description"} if config.text is None else set(sources_of(config.text))

    def use(name: str) -> str:
        if name == "id":
            return "id"
        if name == "image_link":
            return "photo"
        if name == "item_group_id":
            return "variants"
        uses = {"encoded text": name in encoded, "learned": name in learned, "filters": kinds[name] != "text"}
        return ", ".join(each for each, holds in uses.items() if holds) or "shown"

    return [
        _summary(config.path.name, _heading(config, name), name, kind, use(name), catalog.frame[name])
        for name, kind in kinds.items()
    ]


def summarize_events(interactions: "Interactions", config: EventsConfig) -> list[ColumnSummary]:
    """Return what was understood of each column of the events; empty ones are left out."""
    columns = ((name, interactions.frame[name], *known) for name, known in _EVENT_COLUMNS.items())
    summaries = [
        _summary(config.path.name, "" if config.format else getattr(config, name), name, kind, use, cells)
        for name, cells, kind, use in columns
    ]
    return [summary for summary in summaries if summary.filled]


def summarize_users(users: "Users", config: UsersConfig) -> list[ColumnSummary]:
    """Return what was understood of each column of the users' attributes, the id first."""
    ids = pd.Series(users.frame.index)
    summaries = [_summary(config.path.name, config.user_id, "user_id", "category", "user", ids)]
    for name, kind in users.all_kinds.items():
        use, cells = "learned" if name in users.kinds else "not learned", users.values(name)
        summaries.append(_summary(config.path.name, name, name, kind, use, cells.reset_index(drop=True)))
    return summaries


def _heading(config: CatalogConfig, name: str) -> str:
    source: str | None = getattr(config, name, None)
    return "" if config.format else source or name


def _summary(file: str, heading: str, name: str, kind: Kind, use: str, cells: pd.Series) -> ColumnSummary:
    values = cells.explode() if kind == "multi" else cells
    values = values[values.notna() & (values != "")]
    rows = values.index.nunique() if kind == "multi" else len(values)
    filled = rows / len(cells) if len(cells) else 0.0
    return ColumnSummary(file, heading, name, kind, use, filled, values.nunique(), tuple(_examples(values, kind)))


def _examples(values: pd.Series, kind: Kind) -> Iterator[str]:
    if not len(values):
        return
    if kind in ("number", "date"):
        ordered = values.sort_values()
        ends = (ordered.iloc[position] for position in (0, len(ordered) // 2, len(ordered) - 1))
        yield from dict.fromkeys(f"{value:.10g}" if kind == "number" else str(value) for value in ends)
        return
    for text in map(str, values.value_counts().index[:_EXAMPLES]):
        yield text if len(text) <= _MAX_EXAMPLE else f"{text[: _MAX_EXAMPLE - 1]}…"
