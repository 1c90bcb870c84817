"""Compare two recordings of answers."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recommender.commands.benchmarks.answers.runs import read_lines

Json = Any

EQUAL, MESSAGES, DIGITS, OTHER = VERDICTS = ("equal", "messages", "last digits", "different")
_HEX = re.compile(r"-?0x[01]\.[0-9a-f]+p[+-]\d+")
_TOLERANCE = 1e-9
_MAX_SHOWN = 400


def compare(old: Path, new: Path) -> dict[str, Any]:
    """Compare two recordings, answer by answer.

    Parameters
    ----------
    old, new
        Files of `runs.record`, of the same requests.

    Returns
    -------
    dict
        "kinds": for each kind of request how many answers are equal, differ in messages only, differ in the last
        digits of numbers only (by less than one in 10⁹) or differ otherwise; "differences": each of these three as
        text.
    """
    before, after = ({line["n"]: line for line in read_lines(path)} for path in (old, new))
    kinds: dict[str, Counter[str]] = {}
    differences: dict[str, list[str]] = {MESSAGES: [], DIGITS: [], OTHER: []}
    for number in sorted(before.keys() | after.keys()):
        a, b = before.get(number, {}), after.get(number, {})
        kind = a.get("kind") or b["kind"]
        verdict = _verdict(a, b)
        kinds.setdefault(kind, Counter(dict.fromkeys(VERDICTS, 0)))[verdict] += 1
        if verdict != EQUAL and len(differences[verdict]) < _MAX_SHOWN:
            member = "messages" if verdict == MESSAGES else "answer"
            differences[verdict].append(f"{number} {kind}: {_difference(a.get(member), b.get(member))}")
    return {"kinds": {kind: dict(kinds[kind]) for kind in sorted(kinds)}, "differences": differences}


def are_equal(report: Mapping[str, Any]) -> bool:
    """Return whether answers differ in messages at most."""
    return not any(counts[DIGITS] or counts[OTHER] for counts in report["kinds"].values())


def table(report: Mapping[str, Any]) -> str:
    """Return a comparison as text."""
    kinds: dict[str, Mapping[str, int]] = dict(report["kinds"])
    kinds["all"] = {verdict: sum(counts[verdict] for counts in kinds.values()) for verdict in VERDICTS}
    width = max(map(len, kinds))
    lines = [f"{'kind':{width}}  {'number':>8}" + "".join(f"  {verdict:>11}" for verdict in VERDICTS)]
    for kind, counts in kinds.items():
        cells = "".join(f"  {counts[verdict]:11,}" for verdict in VERDICTS)
        lines.append(f"{kind:{width}}  {sum(counts.values()):8,}{cells}")
    for verdict, differences in report["differences"].items():
        if differences:
            lines += ["", f"{verdict}:", *(f"  {difference}" for difference in differences)]
    return "\n".join(lines)


def _verdict(a: Json, b: Json) -> str:
    if not a or not b:
        return OTHER
    if a["answer"] == b["answer"]:
        return EQUAL if a["messages"] == b["messages"] else MESSAGES
    return DIGITS if _is_close(a["answer"], b["answer"]) else OTHER


def _is_close(a: Json, b: Json) -> bool:
    """Return whether two answers are equal but for the last digits of numbers."""
    match a, b:
        case dict(), dict():
            return a.keys() == b.keys() and all(_is_close(value, b[name]) for name, value in a.items())
        case list(), list():
            return len(a) == len(b) and all(map(_is_close, a, b))
        case str(), str() if _HEX.fullmatch(a) and _HEX.fullmatch(b):
            x, y = float.fromhex(a), float.fromhex(b)
            return abs(x - y) <= _TOLERANCE * max(1.0, abs(x), abs(y))
    return bool(a == b)


def _difference(a: Json, b: Json, path: str = "") -> str:
    """Describe the first difference of two values."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in [*a, *(name for name in b if name not in a)]:
            if a.get(name) != b.get(name):
                return _difference(a.get(name), b.get(name), f"{path}/{name}")
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{path or '/'}: {len(a)} of {_short(a)} are now {len(b)} of {_short(b)}"
        for position, (x, y) in enumerate(zip(a, b, strict=True)):
            if x != y:
                return _difference(x, y, f"{path}/{position}")
    return f"{path or '/'}: {_short(a)} is now {_short(b)}"


def _short(value: Json) -> str:
    if isinstance(value, str) and _HEX.fullmatch(value):
        return repr(float.fromhex(value))
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:160]}…"
