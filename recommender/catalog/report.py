"""Problems of a shop's files: each with file, row and id; a few of each kind are listed, all are counted."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recommender.catalog.losses import Loss, loss_line
from recommender.errors import DataError
from recommender.progress import notice

if TYPE_CHECKING:
    from recommender.catalog.summary import ColumnSummary

Rows = NDArray[np.int64]
Severity = Literal["left_out", "error", "warning"]


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One problem of a file.

    Attributes
    ----------
    kind
        Such as "duplicate id".
    severity
        "left_out" where the row was, "error" where a part of it was, else "warning".
    row
        Counted from 1, the header of a CSV file included; 0 for the whole file.
    id
        Of the product or user, "" unknown.
    message
        What was found, what was expected, and what was done.
    count
        Of how many problems it tells.
    """

    kind: str
    severity: Severity
    file: str
    row: int
    id: str
    message: str
    count: int = 1

    def __str__(self) -> str:
        row = f" row {self.row}" if self.row else ""
        item = f' (id "{self.id}")' if self.id else ""
        return f"{self.file}{row}{item}: {self.message}"


@dataclass
class DataReport:
    """Problems of files, and counts of what was read.

    Attributes
    ----------
    shown
        The number of listed problems per kind.
    problems
        The listed problems, in order.
    counts
        The number of problems per kind, listed or not.
    facts
        Counts such as "products" and "products without a photo".
    errors
        The number of problems by which something was left out.
    columns
        What `validate` understood of each column.
    left_out
        The number of rows that were left out per kind.
    losses
        How many of the products, events and photos could be used.
    parts
        Of each folder that is read as one table: its files, each with the number of rows in those before.
    """

    shown: int = 20
    problems: list[DataProblem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    facts: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    columns: "list[ColumnSummary]" = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    losses: list[Loss] = field(default_factory=list)
    parts: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def add_part(self, folder: str, file: str, before: int) -> None:
        """Add a file of a folder that is read as one table, its rows numbered on after those of earlier files."""
        self.parts.setdefault(folder, []).append((before, file))

    def place(self, file: str, row: int) -> tuple[str, int]:
        """Return the file of a row and its number there: those of a part if `file` is a folder."""
        parts = self.parts.get(file)
        if not parts or not row:
            return file, row
        before, part = parts[bisect_left(parts, row, key=itemgetter(0)) - 1]
        return part, row - before

    def add(
        self,
        kind: str,
        file: str,
        rows: Sequence[int] | Rows,
        ids: Sequence[str],
        message: Callable[[int], str],
        severity: Severity = "error",
        counts: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        """Count a problem on each of these rows of a file, and list the first of them.

        Parameters
        ----------
        rows, ids
            Rows and ids of the problems; equally long.
        message
            From a position in `rows` to the message; called for listed problems alone. Of rows that were left out
            it says so by itself.
        counts
            The number of rows that each of the first ones stands for, which are listed alone; by default 1.
        """
        if not len(rows):
            return
        room = max(0, self.shown - self.counts[kind])
        for i in range(min(room, len(rows) if counts is None else len(counts))):
            place = self.place(file, int(rows[i]))
            text = f"{message(i)}; left out" if severity == "left_out" else message(i)
            self.problems.append(
                DataProblem(kind, severity, *place, str(ids[i]), text, 1 if counts is None else int(counts[i]))
            )
        self.counts[kind] += len(rows)
        self.left_out[kind] += len(rows) if severity == "left_out" else 0
        self.errors += len(rows) if severity != "warning" else 0

    def count_used(self, what: Literal["products", "events"], file: str, used: int) -> None:
        """Note how many of a file were used; the others were left out for the reasons reported so far."""
        lost = {kind: count for kind, count in self.left_out.items() if count}
        self.losses.append(Loss(what, file, used + sum(lost.values()), used, lost))

    def add_group(self, kind: str, file: str, id: str, count: int, message: str, severity: Severity) -> None:
        """Count problems of one cause, and list them as one; `id` is that of the first."""
        if sum(problem.kind == kind for problem in self.problems) < self.shown:
            self.problems.append(DataProblem(kind, severity, file, 0, id, message, count))
        self.counts[kind] += count
        self.errors += count if severity != "warning" else 0

    def merge(self, other: "DataReport") -> None:
        """Add another report to this one."""
        for problem in other.problems:
            listed = sum(known.kind == problem.kind for known in self.problems)
            if listed < self.shown:
                self.problems.append(problem)
        self.counts += other.counts
        self.facts |= other.facts
        self.errors += other.errors
        self.columns += other.columns
        self.left_out += other.left_out
        self.losses += other.losses

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "facts": self.facts,
            "errors": self.errors,
            "counts": dict(self.counts),
            "problems": [asdict(problem) for problem in self.problems],
            "columns": [asdict(column) for column in self.columns],
            "losses": [asdict(loss) for loss in self.losses],
        }

    def lines(self) -> list[str]:
        """Return the report as lines of text: counts, then the problems of each kind."""
        return [f"{count:,} {what}" for what, count in self.facts.items()] + list(self._kinds())

    def _kinds(self) -> Iterator[str]:
        for kind, count in self.counts.items():
            listed = [problem for problem in self.problems if problem.kind == kind]
            yield f"{kind}: {count:,}"
            yield from (f"  {problem}" for problem in listed)
            more = count - sum(problem.count for problem in listed)
            if more > 0:
                yield f"  ... and {more:,} more"
        if not self.counts:
            yield "no problem found"
        if line := loss_line(self.losses):
            yield line

    def print_summary(self) -> None:
        """Print one line per kind of problem."""
        for kind, count in self.counts.items():
            first = next(problem for problem in self.problems if problem.kind == kind)
            notice(f"{kind}: {count:,}, such as {first}")

    def raise_if_strict(self, strict: bool) -> None:
        """Raise an error if `strict` and anything was left out.

        Raises
        ------
        DataError
            If anything was left out.
        """
        if strict and self.errors:
            first = next((problem for problem in self.problems if problem.severity != "warning"), "")
            raise DataError(f"{self.errors:,} problems with --strict, the first: {first}")


@dataclass(frozen=True)
class CellReport:
    """Reports problems of the cells of a table.

    Parameters
    ----------
    report
        Gets the problems.
    file, rows, ids
        Name of the table, and the row number and id of each of its n rows.
    """

    report: DataReport
    file: str
    rows: Rows
    ids: Sequence[str]

    def add(
        self,
        kind: str,
        mask: NDArray[np.bool_],
        message: Callable[[int], str],
        severity: Severity = "error",
    ) -> None:
        """Count a problem on each row of a mask (n,); `message` is given the position of a row."""
        positions = np.flatnonzero(mask)
        ids = [self.ids[position] for position in positions.tolist()]
        self.report.add(kind, self.file, self.rows[positions], ids, lambda i: message(int(positions[i])), severity)

    def add_file(self, kind: str, message: str, severity: Severity = "warning") -> None:
        """Count a problem of the whole file."""
        self.report.add(kind, self.file, [0], [""], lambda i: message, severity)
