"""The registry lists encoders by what their modules define, without importing them."""

import subprocess
import sys
from pathlib import Path

import pytest

from recommender.encoders import registry


def test_listing_encoders_imports_none() -> None:
    code = "import sys; from recommender.encoders.registry import names; assert 'offline' in names(); "
    code += "print({'torch', 'transformers', 'open_clip', 'recommender.encoders.offline'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_new_module_is_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bag_of_words.py").write_text("OPTIONS = ()\n\n\ndef create(config): ...\n")
    (tmp_path / "helper.py").write_text("def create(config): ...\n")
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "registry.py"))
    registry.names.cache_clear()
    try:
        assert registry.names() == ("bag_of_words",)
    finally:
        registry.names.cache_clear()
