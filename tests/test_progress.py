"""Progress bars and notices: what stderr shows, with a terminal and without."""

import io
import logging
import re
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from recommender import progress as module
from recommender.progress import notice, print_notices, progress


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Show everything at once, and leave no console behind."""
    for name in ("_BAR_DELAY", "_BAR_INTERVAL", "_LINE_INTERVAL"):
        monkeypatch.setattr(module, name, 0.0)
    logger = logging.getLogger("recommender")
    before = logger.level, logger.handlers
    module._bars.cache_clear()
    yield
    module._bars.cache_clear()
    logger.level, logger.handlers = before


def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress(["a", "b"], "texts", 1002, "text")
    bar.update(1000)
    for item in bar:
        bar.note(f"loss {item}")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"texts: 1,001/1,002, [\d,.]+ text/s, loss a", first)
    assert re.fullmatch(r"texts: 1,002/1,002, [\d,.]+ text/s, loss b", second)


def test_quick_work_shows_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINE_INTERVAL", 2.0)
    assert list(progress(range(9), "texts")) == list(range(9))
    assert capsys.readouterr() == ("", "")


def test_bars_on_a_terminal_are_nested_and_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(module, "_console", lambda: console)
    print_notices()
    for epoch in progress(range(2), "[epochs]", 2, "epoch"):
        for _ in progress(range(2), "batches", 2, "batch"):
            time.sleep(0.06)
            notice(f"epoch {epoch} [/red] of a name as long as any that a path or a model may have, in one line")
    assert not module._bars().tasks
    shown = screen.getvalue()
    assert "[epochs]" in shown
    assert "1/2, " in shown
    assert "epoch 1 [/red] of a name as long as any that a path or a model may have, in one line\n" in shown
    assert shown.endswith("\x1b[2K\x1b[?25h\r")  # the bars are erased, and the cursor is back


def test_notices_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_notices()
    notice("encoder: [tiny] " + 30 * "long ")
    assert capsys.readouterr() == ("", "encoder: [tiny] " + 30 * "long " + "\n")
