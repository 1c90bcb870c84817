"""Recordings of answers: two of the same code are equal, and a difference is reported."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from recommender.cli import app
from recommender.commands.benchmarks.answers.comparison import DIGITS, MESSAGES, OTHER, compare
from recommender.commands.benchmarks.answers.runs import read_lines, read_requests, write_lines

BUNDLES = Path(__file__).parent / "data" / "bundle_format_2" / "bundles.tar.gz"


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", "answers", *map(str, args), "--json"])


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("answers")
    shutil.unpack_archive(BUNDLES, folder, filter="data")
    old, new = folder / "old.jsonl.gz", folder / "new.jsonl.gz"
    for out in (old, new):
        ran = run(folder / "bundles", out, "--requests", folder / "requests.jsonl.gz", "--n", 60)
        assert ran.exit_code == 0, ran.output
    return old, new


def test_two_recordings_of_the_same_code_are_equal(recordings: tuple[Path, Path]) -> None:
    ran = run("--compare", *recordings)
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert report["differences"] == {MESSAGES: [], DIGITS: [], OTHER: []}
    kinds = report["kinds"]
    assert {"python similar", "http POST placements", "python recommend after changes"} < kinds.keys()
    assert recordings[0].read_bytes() == recordings[1].read_bytes()


def test_valid_requests_are_answered(recordings: tuple[Path, Path]) -> None:
    lines = [line for line in read_lines(recordings[0]) if not line["kind"].endswith(("invalid", "changes"))]
    answers = [line["answer"] for line in lines if isinstance(line["answer"], dict)]
    failed = [answer for answer in answers if "error" in answer or answer.get("status", 200) >= 400]
    assert len(failed) < len(answers) / 4  # some ids are unknown, and some filters need a seed


def test_a_changed_recording_is_different(recordings: tuple[Path, Path], tmp_path: Path) -> None:
    old, lines = recordings[0], read_lines(recordings[0])
    similar = [line for line in lines if line["kind"] == "python similar" and line["answer"].get("items")]
    first, second, third = similar[:3]
    first["answer"]["items"][0]["item_id"] = "another"
    score = float.fromhex(second["answer"]["items"][0]["score"])
    second["answer"]["items"][0]["score"] = (score * (1 + 1e-13)).hex()
    third["messages"].append("another warning")
    write_lines(tmp_path / "changed.jsonl.gz", lines)
    differences = compare(old, tmp_path / "changed.jsonl.gz")["differences"]
    assert {verdict: len(lines) for verdict, lines in differences.items()} == {MESSAGES: 1, DIGITS: 1, OTHER: 1}
    assert differences[OTHER][0].endswith('is now "another"')
    assert run("--compare", old, tmp_path / "changed.jsonl.gz").exit_code == 1


def test_calls_of_version_0_1_are_mapped(tmp_path: Path) -> None:
    old = [
        {"kind": "setup", "settings": {}},
        {"call": "newest", "args": {"k": 3}},
        {"call": "recommend", "args": {"strengths": [1.0]}},
        {"call": "explain", "args": {"item_ids": ["a"], "plan": "exact"}},
    ]
    write_lines(tmp_path / "requests.jsonl.gz", old)
    assert read_requests(tmp_path / "requests.jsonl.gz")[1:] == [
        {"call": "recommend", "args": {"k": 3, "strategy": "new"}},
        {"call": "recommend", "args": {"history_weights": [1.0]}},
        {"call": "explain", "args": {"item_ids": ["a"]}},
    ]
