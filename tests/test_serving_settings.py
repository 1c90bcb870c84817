"""The settings: read, refused, documented."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender.cli import app
from recommender.errors import ConfigError
from serving.settings import Key, Settings


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("prot = 3", "did you mean 'port'"),
        ('[placements.a]\nquestion = {stratgy = "new"}', "did you mean 'strategy'"),
        ('[placements.a]\nblock = "price <"', "filter"),
        ('[placements.a.experiment]\nname = "x"\narms = [{name = "a", share = 0.4}]', "sum to 0.4"),
        ('[keys.a]\nsha256 = "secret"', "sha256"),
        ("x = [", "not TOML"),
    ],
)
def test_invalid_values_are_named(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "service.toml").write_text(toml)
    with pytest.raises(ConfigError, match=words):
        Settings.load(tmp_path / "service.toml")


def test_settings_override_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "service.toml").write_text("port = 1\nworkers = 2\nrate = 3")
    monkeypatch.setenv("RECOMMENDER_WORKERS", "4")
    monkeypatch.setenv("RECOMMENDER_RATE", "5")
    found = Settings.load(tmp_path / "service.toml", rate=6, store=None)
    assert (found.port, found.workers, found.rate) == (1, 4, 6)


def test_the_entry_of_a_new_key_is_one_of_the_settings() -> None:
    limits = ["--expires", "2027-01-31", "--origin", "https://shop.example", "--rate", "50"]
    fixed = ["--fixed", "limit=8", "--fixed", 'filter=brand != "Acme"']
    shown = CliRunner().invoke(app, ["key", "--scope", "public", "--scope", "server", *limits, *fixed])
    assert shown.exit_code == 0, shown.output
    secret, entry = shown.output.split("\n\n")
    found = Settings.model_validate(tomllib.loads(entry.replace("NAME", "shop"))).keys["shop"]
    assert found.sha256 == Key.hash(secret.removeprefix("key: "))
    assert (found.scopes, found.origins, found.rate) == (("public", "server"), ("https://shop.example",), 50)
    assert found.fixed == {"limit": 8, "filter": 'brand != "Acme"'}
    assert found.expires == datetime(2027, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong", [["--fixed", "colour=red"], ["--expires", "soon"], ["--origin", "shop"], ["--rate", "0"]]
)
def test_a_key_that_the_settings_would_refuse_is_not_made(wrong: list[str]) -> None:
    refused = CliRunner().invoke(app, ["key", *wrong])
    assert refused.exit_code != 0
    assert "key: " not in refused.stdout
