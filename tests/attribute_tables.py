"""Small tables, written and opened as a bundle's attributes."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from recommender.items import Attributes, write_attributes


@dataclass
class Column:
    name: str
    kind: str


@dataclass
class Table:
    """What `write_attributes` needs of a catalogue."""

    ids: list[str]
    frame: pd.DataFrame
    columns: list[Column]


def attributes(ids, **columns):
    """Write and open a table; each column is (kind, values)."""
    frame = pd.DataFrame({name: pd.Series(values) for name, (_, values) in columns.items()})
    table = Table(ids, frame, [Column(name, kind) for name, (kind, _) in columns.items()])
    with TemporaryDirectory() as folder:
        write_attributes(Path(folder), table)
        return Attributes.open(Path(folder))
