"""The settings: read, refused, documented."""

from pathlib import Path

import pytest

from recommender.errors import ConfigError
from serving.settings import Settings


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
