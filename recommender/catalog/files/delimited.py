"""Read delimited text such as CSV: fast where it keeps to the rules, line by line where it does not."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
from numpy.typing import NDArray

from recommender.catalog.files.encodings import encoding_of, utf8_blocks
from recommender.catalog.files.quoting import Splitter, lines_of
from recommender.catalog.report import DataReport, Rows

_SEPARATORS = ",;\t|"
_SAMPLE = 2**18  # characters from which separator, quoting and header are inferred
_SAMPLE_ROWS = 100
_CERTAIN = 0.95  # share of rows with as many cells as the header, from which no other separator is tried
_MAX_PENDING = 2**20  # bytes of a row that is not yet complete
_NUMBER = re.compile(r"[-+]?[\d.,:/-]+")
_INVISIBLE = "\ufeff\u200b\u2060\0 \t\r\n"
_SEP_LINE = re.compile(r"""["']?sep=([,;|:^~\t]|\\t)["']?\s*""", re.IGNORECASE)
Part = tuple[pd.DataFrame, Rows]


def delimited_parts(name: str, file: BinaryIO, report: DataReport) -> Iterator[Part]:
    """Yield the cells of a file as strings, with row numbers, in parts of some megabytes; the header is row 1.

    Rows with too few cells keep those they have; rows with too many are left out. Quotation marks that do not pair
    are read as characters. All is reported.
    """
    encoding = encoding_of(file)
    encoding.report(name, report)
    reader = _Reader(name, report)
    rest = b""
    for block, last in _with_last(utf8_blocks(file, encoding)):
        data = reader.without_zeros(rest + block)
        if not reader.columns and data:
            data = reader.begin(data)
        cut = len(data) if last else reader.cut(data)
        frame, rows, pending = reader.read(data[:cut], last)
        rest = pending + data[cut:]
        encoding.report_replaced(name, frame, rows, report)
        if len(rows) or last:
            yield frame, rows
    reader.end()


def _with_last(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each block with whether it is the last."""
    block = next(blocks, b"")
    for following in blocks:
        yield block, False
        block = following
    yield block, True


@dataclass
class _Reader:
    """Reads the blocks of one file."""

    name: str
    report: DataReport
    columns: list[str] = field(default_factory=list)
    splitter: Splitter = field(default_factory=Splitter)
    _row: int = 1  # the number of the next row
    _tidy: "_Tidy | None" = None
    _returns: bool = False  # lines end with a carriage return alone, as on old Macs
    _zeros: int = 0
    _sample: str = ""  # the first rows, until what they have in common is learned

    def without_zeros(self, data: bytes) -> bytes:
        """Remove NUL bytes, which no text has."""
        zeros = data.count(0)
        self._zeros += zeros
        return data.replace(b"\0", b"") if zeros else data

    def begin(self, data: bytes) -> bytes:
        """Find separator, quoting and header; return the bytes after it."""
        self._returns = b"\n" not in data[:_SAMPLE] and b"\r" in data
        text = data[: 4 * _SAMPLE].decode(errors="ignore")
        splitter, header, self._row, length = _layout(self.name, text, self.report)
        self.splitter = splitter
        quoted = splitter.quoting and b'"' in data
        if splitter.separator == "\t" and quoted:
            self.splitter = _tab_quoting(splitter, data.decode(errors="ignore")[length:], len(header))
        elif quoted and b'\\"' in data:
            self.splitter = _escaping(splitter, data.decode(errors="ignore")[length:], len(header))
        self.columns = _headings(header)
        self._sample = text[length : length + _SAMPLE]
        return data[len(text[:length].encode()) :]

    def cut(self, data: bytes) -> int:
        """Return where the last whole row of a block ends: at a line end outside of quotation marks."""
        end = b"\r" if self._returns else b"\n"
        last = data.rfind(end) + 1
        if not self.splitter.quoting or b'"' not in data:
            return last
        position, odd = last, data.count(b'"', 0, last) % 2
        while position > last - _MAX_PENDING and position > 0 and odd:
            before = data.rfind(end, 0, position - 1) + 1
            odd ^= data.count(b'"', before, position) % 2
            position = before
        return last if odd else position

    def read(self, data: bytes, last: bool) -> tuple[pd.DataFrame, Rows, bytes]:
        """Return the cells of whole rows, their numbers, and the bytes of a row that is not complete."""
        if self._returns:
            data = data.replace(b"\r", b"\n")
        fast = self._fast(data) if data and self._is_regular(data) else None
        pending = b""
        if fast is None:
            frame, rows, pending = self._line_by_line(data.decode(), last)
        else:
            frame, rows = fast
        if self._tidy is None and len(frame):
            self._tidy = _Tidy.of(self.name, frame, self.columns, self.report)
        frame, rows = self._without_blanks(frame, rows)
        return *(self._tidy.apply(self.name, frame, rows, self.report) if self._tidy else (frame, rows)), pending

    def end(self) -> None:
        """Report what was found in the whole file."""
        found = f"{self._zeros:,} NUL bytes were removed"
        self.report.add("NUL bytes", self.name, [0] * bool(self._zeros), [""], lambda i: found, "warning")

    def _is_regular(self, data: bytes) -> bool:
        """Return whether each quotation mark begins or ends a cell, or is beside another, and all pair."""
        if not self.splitter.quoting or b'"' not in data:
            return True
        if self.splitter.escaped and b'\\"' in data:
            return False
        values = np.frombuffer(b"\n" + data + b"\n", np.uint8)
        at = np.flatnonzero(values == ord('"'))
        if len(at) % 2:
            return False
        bounds = np.zeros(256, bool)
        bounds[[ord(character) for character in f'"\r\n{self.splitter.separator}']] = True
        return bool((bounds[values[at - 1]] | bounds[values[at + 1]]).all())

    def _fast(self, data: bytes) -> Part | None:
        """Return the rows of a block; None if quotation marks seem not to pair."""
        quoted = self.splitter.quoting and b'"' in data
        invalid: list[pa.csv.InvalidRow] = []
        try:
            cells = pa.csv.read_csv(pa.BufferReader(data), *self._options(data, quoted, invalid))
        except pa.ArrowInvalid:
            return None
        lines = data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n") + (data[-1:] not in b"\r\n")
        if quoted and any(re.search('["\r\n]', row.text) for row in invalid):
            return None
        if len(cells) + len(invalid) < lines and self._seem_swallowed(cells):
            return None
        numbers = np.arange(self._row, self._row + len(cells) + len(invalid), dtype=np.int64)
        self._row += len(numbers)
        frame = cells.to_pandas()
        if not invalid:
            return frame, numbers
        separator = self.splitter.separator
        rows = [row.number - 1 for row in invalid]
        repaired, retained = self._fitted([row.text.split(separator) for row in invalid], numbers[rows])
        frame = pd.concat([frame, repaired], ignore_index=True)
        numbers = np.concatenate([np.delete(numbers, rows), retained])
        order = np.argsort(numbers, kind="stable")
        return frame.iloc[order].reset_index(drop=True), numbers[order]

    def _options(
        self, data: bytes, quoted: bool, invalid: "list[pa.csv.InvalidRow]"
    ) -> "tuple[pa.csv.ReadOptions, pa.csv.ParseOptions, pa.csv.ConvertOptions]":
        def collect(row: pa.csv.InvalidRow) -> str:
            invalid.append(row)
            return "skip"

        return (
            # rows are numbered without threads alone
            pa.csv.ReadOptions(use_threads=False, column_names=self.columns, block_size=len(data) + 1),
            pa.csv.ParseOptions(
                delimiter=self.splitter.separator,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
                ignore_empty_lines=False,
                invalid_row_handler=collect,
            ),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(self.columns, pa.string()), strings_can_be_null=False
            ),
        )

    def _seem_swallowed(self, cells: "pa.Table") -> bool:
        """Return whether the lines of any cell would be rows with the right number of cells."""
        for position, column in enumerate(cells.columns):
            several = pa.compute.match_substring(column, "\n")
            for text in column.filter(several).to_pylist():
                first, *middle, last = (line.count(self.splitter.separator) for line in text.split("\n"))
                count = len(self.columns) - 1
                if first == count - position and last == position and all(each == count for each in middle):
                    return True
        return False

    def _line_by_line(self, text: str, last: bool) -> tuple[pd.DataFrame, Rows, bytes]:
        """Read rows whose quotation marks do not pair, or that break other rules."""
        lines = lines_of(text)
        if lines and not lines[-1]:
            lines.pop()  # what follows the last line end
        if self._sample:
            self.splitter.learn(lines_of(self._sample)[:_SAMPLE_ROWS], len(self.columns))
            self._sample = ""
        cells: list[list[str]] = []
        notes: dict[int, str] = {}
        position, left = 0, len(text)
        while position < len(lines):
            row = self.splitter.row(lines, position)
            if row.lines == 0 and not last and left < _MAX_PENDING:
                break  # the quotation mark may be closed in the next block
            if row.note:
                notes[len(cells)] = row.note
            cells.append(row.cells)
            following = position + max(row.lines, 1)
            left -= sum(len(line) + 1 for line in lines[position:following])
            position = following
        numbers = np.arange(self._row, self._row + len(cells), dtype=np.int64)
        self._row += len(cells)
        found = list(notes.values())
        self.report.add(
            "unclosed quote", self.name, numbers[list(notes)], [""] * len(notes), found.__getitem__, "warning"
        )
        pending = "".join(line + "\n" for line in lines[position:])
        return *self._fitted(cells, numbers), pending.encode()

    def _fitted(self, rows: list[list[str]], numbers: Rows) -> Part:
        """Return rows with as many cells as there are columns; report those that had others."""
        count = len(self.columns)
        long = [any(map(str.strip, row[count:])) for row in rows]
        short = [len(row) < count and row != [""] for row in rows]
        widths = [len(row) for row in rows]
        too_many, too_few = (np.flatnonzero(np.array(mask, bool)) for mask in (long, short))
        self.report.add(
            "row left out",
            self.name,
            numbers[too_many],
            [""] * len(too_many),
            lambda i: f"has {widths[too_many[i]]} cells; expected {count}",
            "left_out",
        )
        self.report.add(
            "short row",
            self.name,
            numbers[too_few],
            [""] * len(too_few),
            lambda i: f"has {widths[too_few[i]]} cells; expected {count}; the others are taken as missing",
            "warning",
        )
        retained = [
            (row + [""] * (count - len(row)))[:count]
            for row, omitted in zip(rows, long, strict=True)
            if not omitted
        ]
        columns = list(zip(*retained, strict=True)) or [()] * count
        arrays = [pa.array(column, pa.string()) for column in columns]
        return pa.table(arrays, self.columns).to_pandas(), numbers[~np.array(long, bool)]

    def _without_blanks(self, frame: pd.DataFrame, rows: Rows) -> Part:
        """Leave out rows without any value, and rows that repeat the header, which are reported."""
        first = frame[self.columns[0]]
        suspected = np.flatnonzero(((first == "") | (first == self.columns[0])).to_numpy(bool))
        candidates = frame.iloc[suspected]
        blank = (candidates == "").all(axis=1).to_numpy(bool)
        header = (candidates == self.columns).all(axis=1).to_numpy(bool)
        self.report.add(
            "row left out",
            self.name,
            rows[suspected[header]],
            [""] * int(header.sum()),
            lambda i: "repeats the header",
            "left_out",
        )
        keep = np.ones(len(frame), bool)
        keep[suspected[blank | header]] = False
        return (frame, rows) if keep.all() else (frame[keep].reset_index(drop=True), rows[keep])


@dataclass(frozen=True)
class _Tidy:
    """What to do about columns with no heading or a repeated one, decided from the first part of a file."""

    empty: list[str]
    merged: dict[str, str]

    @classmethod
    def of(cls, name: str, frame: pd.DataFrame, columns: list[str], report: DataReport) -> "_Tidy":
        """Drop columns without heading and values; merge columns of one heading that never differ."""
        unnamed = [column for column in columns if _UNNAMED.fullmatch(column)]
        empty = [column for column in unnamed if (frame[column] == "").all()]
        named = [column for column in unnamed if column not in empty]
        merged = {}
        for column in columns:
            original = _original(column, columns)
            if original and not _contradict(frame[original], frame[column]).any():
                merged[column] = original
        report.add(
            "heading",
            name,
            [0] * len(named),
            [""] * len(named),
            lambda i: f"a column has no heading; it is read as {named[i]!r}",
            "warning",
        )
        repeated = [(column, original) for column in columns if (original := _original(column, columns))]
        report.add(
            "heading",
            name,
            [0] * len(repeated),
            [""] * len(repeated),
            lambda i: (
                f"the heading {repeated[i][1]!r} is there twice; "
                + (
                    "both say the same"
                    if repeated[i][0] in merged
                    else f"the second is read as {repeated[i][0]!r}"
                )
            ),
            "warning",
        )
        return cls(empty, merged)

    def apply(self, name: str, frame: pd.DataFrame, rows: Rows, report: DataReport) -> Part:
        """Drop and merge columns; values that are lost by it, in a later part of the file, are reported."""
        if not self.empty and not self.merged:
            return frame, rows
        lost = np.zeros(len(frame), bool)
        for column in self.empty:
            lost |= (frame[column] != "").to_numpy(bool)
        for column, original in self.merged.items():
            lost |= _contradict(frame[original], frame[column])
            frame = frame.assign(**{original: frame[original].where(frame[original] != "", frame[column])})
        message = "has a value in a column that was empty, or like another, in earlier rows; it is not read"
        report.add("cell left out", name, rows[lost], [""] * int(lost.sum()), lambda i: message)
        return frame.drop(columns=[*self.empty, *self.merged]), rows


_UNNAMED = re.compile(r"column \d+")
_REPEATED = re.compile(r"(.+)\.\d+")


def _original(column: str, columns: Sequence[str]) -> str:
    """Return the column whose heading a column repeats, "" for none."""
    match = _REPEATED.fullmatch(column)
    return match[1] if match and match[1] in columns else ""


def _contradict(first: pd.Series, second: pd.Series) -> NDArray[np.bool_]:
    return ((first != second) & (first != "") & (second != "")).to_numpy(bool)


def _layout(name: str, text: str, report: DataReport) -> tuple[Splitter, list[str], int, int]:
    """Return how to split lines, the header, the number of the row after it, and where that begins in the text."""
    lines = lines_of(text[:_SAMPLE])
    named = _SEP_LINE.fullmatch(lines[0].strip(_INVISIBLE))
    start = 1 if named else 0
    separator = named[1].replace("\\t", "\t") if named else _separator(lines)
    splitter = Splitter(separator)
    rows: list[tuple[list[str], int]] = []  # cells, and the line after them
    position = start
    while position < len(lines) and len(rows) < _SAMPLE_ROWS:
        row = splitter.record(lines, position)
        position += row.lines
        rows.append((row.cells, position))
    rows = rows or [([""], start)]
    header = _header([cells for cells, _ in rows])
    skipped = [number for number in range(header) if any(map(str.strip, rows[number][0]))]
    message = "is above the header, and is not read"
    report.add(
        "line above the header",
        name,
        [start + 1 + number for number in skipped],
        [""] * len(skipped),
        lambda i: message,
        "warning",
    )
    cells, following = rows[header]
    widths = Counter(len(row) for row, _ in rows[header + 1 :] if row != [""])
    width = max(widths, key=widths.__getitem__, default=0)
    extra = [row[len(cells) :] for row, _ in rows[header + 1 :]]
    if width > len(cells) and not any(any(map(str.strip, row)) for row in extra):
        cells = cells + [""] * (width - len(cells))  # separators at the end of each row
    ends = re.finditer(r"\r\n|\r|\n", text)
    length = next((end.end() for number, end in enumerate(ends, 1) if number == following), len(text))
    return splitter, cells, start + header + 2, length


def _separator(lines: list[str]) -> str:
    """Return the separator that gives the most rows equally many cells, as many as the header's."""

    def score(separator: str) -> tuple[float, int]:
        splitter = Splitter(separator)
        widths: list[int] = []
        position = 0
        while position < len(lines) and len(widths) < _SAMPLE_ROWS:
            row = splitter.record(lines, position)
            position += row.lines
            if any(row.cells):
                widths.append(len(row.cells))
        usual, count = max(Counter(widths).items(), key=lambda item: (item[0] > 1, item[1]), default=(1, 0))
        if usual <= 1:
            return 0.0, 0
        share = count / len(widths)
        return (share if widths[0] > 1 else share / 2), usual

    likely = max(_SEPARATORS, key=lines[0].count)
    return likely if score(likely)[0] > _CERTAIN else max(_SEPARATORS, key=score)


def _header(rows: list[list[str]]) -> int:
    """Return the position of the header: the first row that is neither blank nor a title above the table."""
    for position, row in enumerate(rows):
        filled = [cell for cell in row if cell.strip(_INVISIBLE)]
        if not filled:
            continue
        following = [each for each in rows[position + 1 : position + 5] if any(map(str.strip, each))]
        title = len(filled) == 1 or filled[0].lstrip(_INVISIBLE).startswith("#")
        if title and any(_is_header(each) and len(each) != len(filled) for each in following):
            continue
        return position
    return 0


def _is_header(row: list[str]) -> bool:
    """Return whether a row may be a header: names, each once."""
    names = [cell.strip(_INVISIBLE).lower() for cell in row if cell.strip(_INVISIBLE)]
    known = len(names) > 2 or any(name.endswith("id") for name in names)
    values = any(_NUMBER.fullmatch(name) or "://" in name for name in names)
    return known and len(names) > 1 and len(set(names)) == len(names) and not values


def _headings(cells: list[str]) -> list[str]:
    """Return the names of columns, each once: "column 3" where there is none, ``title.2`` for a repeated one."""
    names: list[str] = []
    for position, cell in enumerate(cells, 1):
        heading = cell.strip(_INVISIBLE) or f"column {position}"
        count = 2
        unique = heading
        while unique in names:
            unique = f"{heading}.{count}"
            count += 1
        names.append(unique)
    return names


def _tab_quoting(splitter: Splitter, text: str, width: int) -> Splitter:
    """Return whether quotation marks enclose the cells of tab-separated text, or are plain characters as usual.

    They do where that gives more rows the header's number of cells, or where nearly all cells that begin with one
    end with one, and have none inside but doubled.
    """
    lines = [line for line in lines_of(text) if line]
    unusual = sum(line.count("\t") != width - 1 for line in lines)
    cells = [cell for line in lines if '"' in line for cell in line.split("\t") if cell.startswith('"')]
    enclosed = sum(bool(re.fullmatch(r'"(?:[^"]|"")*"', cell)) for cell in cells)
    if enclosed > 4 * (len(cells) - enclosed):
        return splitter
    if unusual and _unusual_rows(splitter, lines, width) < unusual / 2:
        return splitter
    return Splitter("\t", quoting=False)


def _unusual_rows(splitter: Splitter, lines: list[str], width: int) -> int:
    count = position = 0
    while position < len(lines):
        row = splitter.record(lines, position)
        position += row.lines
        count += len(row.cells) != width
    return count


def _escaping(splitter: Splitter, text: str, width: int) -> Splitter:
    r"""Return how to split lines that contain \" : as a quotation mark where more rows keep to the rules then."""
    lines = [line for line in lines_of(text) if '\\"' in line][:1000]
    escaped = Splitter(splitter.separator, escaped=True)

    def regular(candidate: Splitter) -> int:
        rows = [candidate.record([line], 0) for line in lines]
        return sum(not row.irregular and len(row.cells) == width for row in rows)

    return escaped if regular(escaped) > regular(splitter) else splitter
