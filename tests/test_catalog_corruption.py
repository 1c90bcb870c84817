"""Good files, corrupted at random: no unexpected error, and no row is lost that is not reported."""

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pandas as pd
import pytest

from recommender.catalog import Catalog, Interactions
from recommender.catalog.report import DataReport
from recommender.config import Config
from recommender.errors import RecommenderError

Rows = list[list[str]]
PRODUCTS = ["id", "title", "description", "price", "brand", "availability"]
EVENTS = ["user_id", "item_id", "event_name", "timestamp", "quantity"]
TITLES = [
    "Mug",
    "Café crème",
    'Shelf 24"',
    '"Rustic" table',
    "Lamp, red",
    "Möbel für Küche",
    "椅子",
    "Salt & Pepper",
]
TEXTS = [
    "",
    "Soft and warm.",
    "First line\nsecond line, with commas\nthird",
    "<p>Bold &amp; bright</p>",
    "a; b\tc | d",
]
JUNK = [
    '"',
    '""',
    ",",
    ";",
    "\t",
    "\0",
    "\x0b",
    "'",
    "\\",
    '\\"',
    "<",
    "&",
    "{",
    "]",
    "NaN",
    "-1",
    "1e999",
    "é",
    "\ufffd",
]


def products(draw: random.Random, count: int) -> Rows:
    return [
        [f"P{n:03d}", f"{draw.choice(TITLES)} {n}", draw.choice(TEXTS), f"{n}.50", draw.choice("ABC"), "in_stock"]
        for n in range(count)
    ]


def events(draw: random.Random, count: int) -> Rows:
    return [
        [
            f"U{draw.randrange(9)}",
            f"P{n % 20:03d}",
            "view_item",
            f"2025-03-{n % 28 + 1:02d}T06:41:{n % 60:02d}Z",
            "1",
        ]
        for n in range(count)
    ]


# A file with its rows: one string each, the header first.


def as_csv(header: list[str], rows: Rows, quoting: int = csv.QUOTE_MINIMAL, delimiter: str = ",") -> list[str]:
    lines = []
    for row in [header, *rows]:
        out = io.StringIO()
        csv.writer(out, quoting=quoting, delimiter=delimiter, lineterminator="\n").writerow(row)
        lines.append(out.getvalue())
    return lines


def as_tsv(header: list[str], rows: Rows) -> list[str]:
    return ["\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in [header, *rows]]


def as_json_lines(header: list[str], rows: Rows) -> list[str]:
    return ["", *(json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)]


def as_xml(header: list[str], rows: Rows) -> list[str]:
    def item(row: list[str]) -> str:
        cells = zip(header, row, strict=True)
        return "<item>" + "".join(f"<g:{name}>{escape(cell)}</g:{name}>" for name, cell in cells) + "</item>\n"

    begin = '<?xml version="1.0"?><rss xmlns:g="http://base.google.com/ns/1.0"><channel>\n'
    return [begin, *map(item, rows), "</channel></rss>\n"]


WRITERS: dict[str, Callable[[list[str], Rows], list[str]]] = {
    ".csv": as_csv,
    "-all.csv": lambda header, rows: as_csv(header, rows, csv.QUOTE_ALL),
    "-semicolon.csv": lambda header, rows: as_csv(header, rows, delimiter=";"),
    "-quoted.tsv": lambda header, rows: as_csv(header, rows, delimiter="\t"),
    ".tsv": as_tsv,
    ".jsonl": as_json_lines,
    ".xml": as_xml,
}


def corrupted_cells(draw: random.Random, header: list[str], rows: Rows) -> tuple[list[str], Rows]:
    """Corrupt cells, the order of columns, or a column's type, before the file is written."""
    kind = draw.choice(["cell", "column", "type", "none"])
    if kind == "cell":
        row = draw.choice(rows)
        row[draw.randrange(1, len(row))] = "".join(draw.choices([*JUNK, "text", " ", "7"], k=draw.randrange(6)))
    elif kind == "column":
        order = draw.sample(range(len(header)), len(header))
        return [header[at] for at in order], [[row[at] for at in order] for row in rows]
    elif kind == "type":
        at = draw.randrange(1, len(header))
        value = draw.choice(["x", "12,5", "2025-01-01", "true", "[1, 2]", '{"a": 1}', ""])
        for row in draw.sample(rows, draw.randrange(len(rows))):
            row[at] = value
    return header, rows


def corrupted_lines(draw: random.Random, lines: list[str], written: int) -> tuple[list[str], int]:
    """Corrupt one row of a file; return the lines and the number of rows that are in them."""
    lines = lines.copy()
    at = draw.randrange(1, written + 1)
    line = lines[at]
    kind = draw.choice(["delete", "insert", "quote", "mark", "drop", "repeat", "blank", "swap", "none"])
    if not line.strip():
        return lines, written
    inner = [position for position, character in enumerate(line) if character not in "\n\r"]
    place = draw.choice(inner or [0])
    if kind == "delete":
        lines[at] = line[:place] + line[place + 1 :]
    elif kind == "insert":
        lines[at] = line[:place] + draw.choice(JUNK) + line[place:]
    elif kind == "quote" and '"' in line:
        place = draw.choice([position for position in inner if line[position] == '"'])
        lines[at] = line[:place] + line[place + 1 :]
    elif kind == "mark":
        starts = [0, *(position + 1 for position in inner if line[position] in ",;\t>")]
        place = draw.choice(starts)
        lines[at] = line[:place] + '"' + line[place:]
    elif kind == "drop":
        del lines[at]
        written -= 1
    elif kind == "repeat":
        lines.insert(at, line)
        written += 1
    elif kind == "blank":
        lines.insert(at, "\n")
    elif kind == "swap":
        other = draw.randrange(1, written + 1)
        lines[at], lines[other] = lines[other], line
    return lines, written


def encoded(draw: random.Random, text: str) -> bytes:
    """Encode a text, at times in another encoding, or with a byte that is not of it."""
    codec = draw.choice(["utf-8"] * 5 + ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
    data = text.encode(codec, "replace")
    if codec == "utf-8" and draw.random() < 0.2:
        at = draw.choice([at for at in range(len(data) // 4, len(data)) if data[at] not in b"\r\n"])
        data = data[:at] + bytes([draw.choice([0xFF, 0xC3, 0x80, 0x00, 0x93])]) + data[at:]
    return data


def corrupted(seed: int, folder: Path) -> tuple[Path, bool, int]:
    """Write a corrupted file; return it, whether it is of events, and the number of rows written."""
    draw = random.Random(seed)
    of_events = draw.random() < 0.4
    suffix = draw.choice([name for name in WRITERS if not (of_events and name == ".xml")])
    count = draw.choice([3, 12, 40])
    header, rows = (EVENTS, events(draw, count)) if of_events else (PRODUCTS, products(draw, count))
    lines = WRITERS[suffix](*corrupted_cells(draw, header, rows))
    for _ in range(draw.randrange(3)):
        lines, count = corrupted_lines(draw, lines, count)
    path = folder / f"file{suffix}"
    path.write_bytes(encoded(draw, "".join(lines)))
    return path, of_events, count


KNOWN = Catalog.from_frame(pd.DataFrame({"id": [f"P{n:03d}" for n in range(20)]}))


def load(path: Path, of_events: bool) -> tuple[int, DataReport]:
    if of_events:
        tables = {"catalog": {"path": "p.csv"}, "events": {"path": path}}
        interactions = Interactions.load(Config.from_mapping(tables), KNOWN)
        return len(interactions), interactions.report
    catalog = Catalog.load(Config.from_mapping({"catalog": {"path": path}}))
    return len(catalog), catalog.report


def check(seeds: range, folder: Path) -> None:
    """Assert that each file is read with all of its rows, or that what it lacks is reported; few are refused."""
    refused = 0
    for seed in seeds:
        path, of_events, written = corrupted(seed, folder)
        try:
            read, report = load(path, of_events)
        except RecommenderError:
            refused += 1
            continue
        left_out = sum(report.left_out.values()) + report.counts["repeated row"]
        assert read + left_out >= written, (seed, path.name, read, left_out, written, report.lines())
    assert refused < len(seeds) / 10


def test_corrupted_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(range(400), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 10_000, 1000))
def test_many_corrupted_files(tmp_path: Path, start: int, capsys: pytest.CaptureFixture[str]) -> None:
    check(range(start, start + 1000), tmp_path)
