"""What is wrong with a shop's files: every problem with its file, row and id; a few of a kind are shown."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recommender.errors import DataError
from recommender.progress import notice

Rows = NDArray[np.int64]
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One thing found in a file.

    Attributes
    ----------
    kind
        What sort of problem, such as "duplicate id".
    severity
        "error" where something was left out; "warning" where only less is known.
    row
        As a spreadsheet counts, the header being row 1; the line of JSON Lines; 0 for the whole file.
    id
        Of the product or user concerned, "" unknown.
    message
        What was found, what was expected and what was done.
    """

    kind: str
    severity: Severity
    file: str
    row: int
    id: str
    message: str

    def __str__(self) -> str:
        place = f" row {self.row}" if self.row else ""
        whose = f' (id "{self.id}")' if self.id else ""
        return f"{self.file}{place}{whose}: {self.message}"


@dataclass
class DataReport:
    """The problems of some files, and figures of what was read.

    Attributes
    ----------
    shown
        How many problems of one kind are kept; all are counted.
    problems
        Those kept, in the order found.
    counts
        Problems per kind.
    facts
        Figures such as "products" and "products without a photo".
    """

    shown: int = 20
    problems: list[DataProblem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    facts: dict[str, int] = field(default_factory=dict)
    errors: int = 0

    def add(
        self,
        kind: str,
        file: str,
        rows: Sequence[int] | Rows,
        ids: Sequence[str],
        message: Callable[[int], str],
        severity: Severity = "error",
    ) -> None:
        """Count a problem on each of these rows of a file, and keep the first of them.

        Parameters
        ----------
        rows, ids
            Where, and of what; equally long.
        message
            Called with a position in them, and only for the problems that are kept.
        """
        if not len(rows):
            return
        room = max(0, self.shown - self.counts[kind])
        for i in range(min(room, len(rows))):
            self.problems.append(DataProblem(kind, severity, file, int(rows[i]), str(ids[i]), message(i)))
        self.counts[kind] += len(rows)
        self.errors += len(rows) if severity == "error" else 0

    def merge(self, other: "DataReport") -> None:
        """Take over what another report holds."""
        for problem in other.problems:
            kept = sum(known.kind == problem.kind for known in self.problems)
            if kept < self.shown:
                self.problems.append(problem)
        self.counts += other.counts
        self.facts |= other.facts
        self.errors += other.errors

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON would have it."""
        return {
            "facts": self.facts,
            "errors": self.errors,
            "counts": dict(self.counts),
            "problems": [asdict(problem) for problem in self.problems],
        }

    def lines(self) -> list[str]:
        """Return the figures, then each kind's count with the problems kept."""
        return [f"{count:,} {what}" for what, count in self.facts.items()] + list(self._kinds())

    def _kinds(self) -> Iterator[str]:
        for kind, count in self.counts.items():
            kept = [problem for problem in self.problems if problem.kind == kind]
            yield f"{kind}: {count:,}"
            yield from (f"  {problem}" for problem in kept)
            if count > len(kept):
                yield f"  ... and {count - len(kept):,} more"
        if not self.counts:
            yield "no problem found"

    def tell(self) -> None:
        """Give notice of what was found, one line a kind."""
        for kind, count in self.counts.items():
            first = next(problem for problem in self.problems if problem.kind == kind)
            notice(f"{kind}: {count:,}, such as {first}")

    def raise_if_strict(self, strict: bool) -> None:
        """Raise the first error if `strict`.

        Raises
        ------
        DataError
            If anything was left out.
        """
        if strict and self.errors:
            first = next((problem for problem in self.problems if problem.severity == "error"), "")
            raise DataError(f"{self.errors:,} problems with --strict, the first: {first}")
