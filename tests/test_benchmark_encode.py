"""The encoding benchmark end to end, with a tiny model in the place of the large one."""

import json
import sys
from pathlib import Path

import pytest
import typer
from tiny_clip import NAME, tiny_clip
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import encode

pytestmark = pytest.mark.slow


def test_every_encoder_stands_beside_the_plain_loop(tmp_path, monkeypatch):
    tiny_clip(tmp_path)
    monkeypatch.setattr(encode, "ARCHITECTURE", NAME)
    app = typer.Typer()
    app.command()(encode.main)
    ran = CliRunner().invoke(app, ["--n", "8", "--many", "300", "--json"], catch_exceptions=False)
    figures = json.loads(ran.stdout)
    cached = figures["300 products"]
    assert cached["warm items/s"] > cached["cold items/s"] > 0
    assert cached["peak MB"] > 10
    speeds = figures["a second of the processor"]
    assert next(iter(speeds)) == "plain loop, tiny-clip"
    clips = {"plain loop, tiny-clip", "open_clip, tiny-clip", "open_clip, tiny-clip, 8 bits"}
    assert set(speeds) == clips | {"offline", "offline, 8 bits", "timm"}
    assert all(figure > 0 for found in speeds.values() for figure in found.values())
    assert set(speeds["timm"]) == {"images"}
    assert "plain loop" in encode.table(figures)
