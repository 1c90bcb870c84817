"""Split lines of delimited text to cells where quotation marks do not pair, or are plain characters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_MAX_LINES = 10_000  # of one cell
_FEW_LINES = 50  # looked at first: where quotation marks are never closed, each of them would cost the most
_MIN_LEARNED = 5  # rows; fewer say nothing about a column
_OPENING = re.compile(' *"')
_LINE_END = re.compile(r"\r\n|\r|\n")


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, whatever ends them; the last is "" where the text ends with a line end."""
    return _LINE_END.split(text) if "\r" in text else text.split("\n")


class Row(NamedTuple):
    """A row: its cells, its number of lines (0: not complete), whether it breaks a rule, and what to report."""

    cells: list[str]
    lines: int
    irregular: bool = False
    note: str = ""


@dataclass(frozen=True)
class _Column:
    """What all values of a column have in common."""

    filled: bool
    spaces: bool
    letters: bool
    digits: bool
    length: int

    @classmethod
    def of(cls, values: Sequence[str]) -> "_Column":
        filled = [value for value in values if value]
        return cls(
            filled=len(filled) == len(values),
            spaces=any(" " in value for value in filled),
            letters=any(map(_has_letter, filled)),
            digits=bool(filled) and all(map(_has_digit, filled)),
            length=4 * max(map(len, filled), default=0) + 20,
        )

    def fits(self, value: str) -> bool:
        """Return whether a value may be of this column."""
        if not value:
            return not self.filled
        return (
            len(value) <= self.length
            and (self.spaces or " " not in value)
            and (self.letters or not _has_letter(value))
            and (not self.digits or _has_digit(value))
        )


def _has_letter(value: str) -> bool:
    return any(map(str.isalpha, value))


def _has_digit(value: str) -> bool:
    return any(map(str.isdigit, value))


@dataclass
class Splitter:
    r"""Splits lines to cells.

    Attributes
    ----------
    quoting
        Whether quotation marks enclose cells; else they are plain characters.
    escaped
        Whether ``\"`` is a quotation mark within a cell.
    """

    separator: str = ","
    quoting: bool = True
    escaped: bool = False
    _width: int = 0
    _columns: list[_Column] = field(default_factory=list)

    def learn(self, lines: Sequence[str], width: int) -> None:
        """Take the number of cells of a row, and from lines that are rows what columns are like."""
        self._width = width
        rows = [self._enclosed([line], 0) if self.quoting else self.record([line], 0) for line in lines]
        regular = [row.cells for row in rows if row.lines and not row.irregular and len(row.cells) == width]
        if len(regular) >= _MIN_LEARNED:
            self._columns = [_Column.of(values) for values in zip(*regular, strict=True)]

    def row(self, lines: Sequence[str], start: int) -> Row:
        """Return the row that begins at a line; a cell takes several lines only if they are no rows."""
        line = lines[start]
        if not self.quoting or '"' not in line:
            return Row(line.split(self.separator), 1)
        row = self._enclosed(lines, start, _FEW_LINES)
        broken = row.irregular or len(row.cells) != self._width
        following = self._next_row(lines, start, row.lines or _FEW_LINES) if broken else None
        if not row.lines and following is None:
            row = self._enclosed(lines, start)
        if row.lines == 1 and (not row.irregular or len(row.cells) == self._width):
            return row._replace(note=_LITERAL if row.irregular else "")
        if row.lines > 1 and not self._swallows(row, lines, start, following):
            return row._replace(note=_LITERAL if row.irregular else "")
        if row.lines == 1 or following is None or len(self.alone(line)) == self._width:
            found = _LITERAL if row.lines == 1 else _UNCLOSED
            return Row(self.alone(line), int(row.lines != 0 or following is not None), True, found)
        cells, end = self._until(lines, start, following)
        return Row(cells, end - start, True, _UNCLOSED)

    def record(self, lines: Sequence[str], start: int) -> Row:
        """Return the row that begins at a line, where nothing is known yet of its columns."""
        if not self.quoting or '"' not in lines[start]:
            return Row(lines[start].split(self.separator), 1)
        row = self._enclosed(lines, start, _FEW_LINES)
        return row if row.lines else Row(self.alone(lines[start]), 1, True)

    def alone(self, line: str) -> list[str]:
        """Return the cells of a line that is a row by itself; quotation marks that do not pair are left out."""
        row = self._enclosed([line], 0)
        if row.lines and (len(row.cells) == self._width or not self._width):
            return row.cells
        cells = line.split(self.separator)
        if row.lines and len(cells) != self._width:
            return row.cells
        return [_stripped(cell) for cell in cells]

    def _until(self, lines: Sequence[str], start: int, following: int) -> tuple[list[str], int]:
        """Return the cells of a row that ends before a line, and where it ends: earlier if it would be several."""
        ends = [following, *range(start + 1, following)]
        rows = ((self.alone("\n".join(lines[start:end])), end) for end in ends)
        whole = next(rows)
        if len(whole[0]) <= self._width:
            return whole
        return next((row for row in rows if len(row[0]) == self._width), whole)

    def _next_row(self, lines: Sequence[str], start: int, count: int) -> int | None:
        """Return the first of some lines after a line at which a row seems to begin."""
        end = min(start + count, start + _FEW_LINES, len(lines))
        return next((each for each in range(start + 1, end) if self._is_row(lines, each)), None)

    def _swallows(self, row: Row, lines: Sequence[str], start: int, following: int | None) -> bool:
        """Return whether a cell of several lines has swallowed rows, because its quotation mark is not closed."""
        alone = len(self.alone(lines[start])) == self._width
        if len(row.cells) != self._width:
            return alone or following is not None
        if row.irregular:
            return following is not None
        # It keeps to the rules, as most cells of several lines do: text may have as many separators by chance.
        enough = self._width > 2 or row.lines > 3
        others = range(start + 1, start + row.lines)
        return enough and alone and all(self._fits(self.alone(lines[each])) for each in others)

    def _is_row(self, lines: Sequence[str], start: int) -> bool:
        """Return whether a row seems to begin at a line."""
        if self._fits(self.alone(lines[start])):
            return True
        row = self._enclosed(lines, start, _FEW_LINES)
        return row.lines > 0 and not row.irregular and self._fits(row.cells)

    def _fits(self, cells: list[str]) -> bool:
        """Return whether cells are as many as in the header, and nearly all like those of their columns."""
        if len(cells) != self._width:
            return False
        wrong = sum(not column.fits(cell) for column, cell in zip(self._columns, cells, strict=False))
        return wrong <= len(cells) // 4

    def _enclosed(self, lines: Sequence[str], start: int, most: int = _MAX_LINES) -> Row:
        """Return the row that begins at a line, its cells enclosed by quotation marks; 0 lines if beyond `most`.

        In an enclosed cell, a quotation mark that is neither doubled nor followed by a separator is a character.
        """
        separator, cells, irregular = self.separator, [], False
        number, line, position = start, lines[start], 0
        while True:
            opening = _OPENING.match(line, position)
            if opening is None:
                end = line.find(separator, position)
                cells.append(line[position:] if end < 0 else line[position:end])
            else:
                position = opening.end()
                parts: list[str] = []
                while (mark := line.find('"', position)) < 0 or not self._closes(line, mark):
                    if mark < 0:
                        parts += line[position:], "\n"
                        number, position = number + 1, 0
                        if number == len(lines) or number - start >= most:
                            return Row([], 0, True)
                        line = lines[number]
                    elif self.escaped and line[mark - 1 : mark] == "\\":
                        parts += line[position : mark - 1], '"'
                        position = mark + 1
                    else:
                        doubled = line[mark + 1 : mark + 2] == '"'
                        irregular |= not doubled
                        parts.append(line[position : mark + 1])
                        position = mark + 1 + doubled
                cells.append("".join([*parts, line[position:mark]]))
                end = line.find(separator, mark)
            if end < 0:
                return Row(cells, number - start + 1, irregular)
            position = end + len(separator)

    def _closes(self, line: str, mark: int) -> bool:
        """Return whether a quotation mark ends its cell."""
        if self.escaped and line[mark - 1 : mark] == "\\":
            return False
        after = mark + 1
        while line[after : after + 1] == " ":
            after += 1
        return after == len(line) or line.startswith(self.separator, after)


def _stripped(cell: str) -> str:
    """Return a cell without the quotation mark before it, if none follows, and without those around it."""
    text = cell.strip()
    if not text.startswith('"'):
        return cell
    return text[1:-1].replace('""', '"') if len(text) > 1 and text.endswith('"') else text[1:]


_UNCLOSED = "has a quotation mark that is not closed; the line is read as one row, without that mark"
_LITERAL = "has quotation marks that do not pair; they are read as characters"
