"""What a format is: its name, how it is recognized, and how its table is mapped to the standard columns."""

from collections.abc import Callable
from dataclasses import dataclass

from recommender.catalog.files.tables import Table
from recommender.catalog.report import DataReport


@dataclass(frozen=True)
class Format:
    """A format of a shop system or an event tracker.

    Attributes
    ----------
    name
        Value of `format` in the config.
    title
        What a file of this format is, for messages, such as "a Shopify export".
    read
        From a file's table to one with the standard column names; what is left out or guessed is reported.
    recognizes
        Whether the headings of a table are clearly of this format.
    """

    name: str
    title: str
    read: Callable[[Table, DataReport], Table]
    recognizes: Callable[[Table], bool]
