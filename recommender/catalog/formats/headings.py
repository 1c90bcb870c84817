"""Headings of exports: names that a shop system gives its columns, whatever the language and spelling."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.parsing import column, plain_name
from recommender.catalog.report import DataReport

_PUNCTUATION = re.compile(r"[*?¿¡!#\"'’`\ufeff\u200b]")
_REMARK = re.compile(r"\((?![^()]*\b(?:tax|excl|incl|HT|TTC)\b)[^()]*\)")  # such as "(0/1)" and "(x,y,z...)"
_MISSPELT = 0.88  # least similarity of a misspelt heading

Names = Mapping[str, Collection[str]]


def heading(name: object) -> str:
    """Return a heading without case, punctuation, remarks in parentheses and double spaces, for comparison.

    >>> heading("  Active (0/1)"), heading("Mis en avant ?")
    ('active', 'mis en avant')
    """
    plain = unicodedata.normalize("NFKC", _REMARK.sub(" ", str(name))).casefold()
    return " ".join(_PUNCTUATION.sub("", plain).split())


def headings(table: Table) -> set[str]:
    """Return the headings of a table for comparison, see `heading`."""
    return set(map(heading, table.frame))


def spellings(names: Names) -> dict[str, str]:
    """Return the name of each heading that means one."""
    return {heading(spelling): name for name, headings in names.items() for spelling in headings}


def renamed(table: Table, names: Names, title: str, report: DataReport, needs: Iterable[str] = ()) -> Table:
    """Return a table with the names of a format; other columns are unchanged.

    A column that is missing while an unknown heading is like its own is reported.

    Parameters
    ----------
    names
        From the name that the format's code uses to the headings that mean it; the first is for messages.
    title
        What a file of the format is.
    needs
        Names that must be there.

    Raises
    ------
    DataError
        If a needed column is missing; with the nearest heading.
    """
    known, found = spellings(names), dict[str, str]()
    for name in map(str, table.frame):
        if heading(name) in known:
            found.setdefault(known[heading(name)], name)
    first = {name: next(iter(headings)) for name, headings in names.items()}
    for name in needs:
        if name not in found:
            table.require(first[name], f"of {title}")
    unknown = [name for name in map(str, table.frame) if heading(name) not in known]
    _report_misspelt(table, [first[name] for name in names if name not in found], unknown, title, report)
    twins = [name for name in found if name in table.frame and name not in found.values()]
    columns = {old: new for new, old in found.items()}
    return table.with_frame(table.frame.drop(columns=twins).rename(columns=columns))


def _report_misspelt(
    table: Table, missing: Iterable[str], unknown: list[str], title: str, report: DataReport
) -> None:
    """Report unknown headings that are like those of missing columns."""
    guesses = {name: guess for name in missing if (guess := _like(name, unknown)) is not None}
    names = list(guesses)

    def message(i: int) -> str:
        return (
            f"has no column {names[i]!r} of {title}; did you mean {guesses[names[i]]!r} by it? "
            "Rename it; taken as another attribute"
        )

    report.add("unknown heading", table.name, [0] * len(names), [""] * len(names), message, "warning")


def _like(name: str, unknown: list[str]) -> str | None:
    """Return the unknown heading that may be a misspelling of a name."""
    plain = {heading(each): each for each in unknown}
    guesses = get_close_matches(heading(name), plain, n=1, cutoff=_MISSPELT)
    return plain[guesses[0]] if guesses else None


def others(table: Table, names: Iterable[str], ignored: "re.Pattern[str] | None" = None) -> dict[str, pd.Series]:
    """Return the columns that a format does not know and that are not empty, under plain names.

    Parameters
    ----------
    names
        Known columns, used or not.
    ignored
        Headings of columns with nothing to learn from or to filter on.
    """
    known = set(names)
    unknown = [name for name in map(str, table.frame) if name not in known]
    unknown = [name for name in unknown if ignored is None or not ignored.search(name)]
    return {plain_name(name): table.frame[name] for name in unknown if column(table, name).ne("").any()}
