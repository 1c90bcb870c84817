"""The encoding benchmark end to end, with a tiny model instead of the large one."""

import json

import pytest
from tiny_clip import NAME, tiny_clip
from typer.testing import CliRunner

from recommender.cli import app
from recommender.commands.benchmarks import encode

pytestmark = pytest.mark.slow


def test_every_encoder_is_compared_with_a_plain_loop(tmp_path, monkeypatch):
    tiny_clip(tmp_path)
    monkeypatch.setattr(encode, "ARCHITECTURE", NAME)
    command = ["benchmark", "encode", "--n", "8", "--cached", "300", "--json"]
    ran = CliRunner().invoke(app, command, catch_exceptions=False)
    figures = json.loads(ran.stdout)
    cached = figures["300 products"]
    assert cached["warm items/s"] > cached["cold items/s"] > 0
    assert cached["peak MB"] > 10
    speeds = figures["per CPU second"]
    assert next(iter(speeds)) == "plain loop, tiny-clip"
    clips = {"plain loop, tiny-clip", "open_clip, tiny-clip", "open_clip, tiny-clip, int8"}
    assert set(speeds) == clips | {"offline", "offline, int8", "timm"}
    assert all(figure > 0 for rates in speeds.values() for figure in rates.values())
    assert set(speeds["timm"]) == {"images"}
    assert "plain loop" in encode.table(figures)
