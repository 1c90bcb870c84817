"""Every notebook runs from top to bottom on the demo shop, and is kept without its outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.fixture(scope="module")
def run_first_look(demo_bundles: Path) -> NotebookNode:
    notebook = nbformat.read(FOLDER / "01_first_look.ipynb", as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUNDLES", str(demo_bundles))
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return notebook


def test_first_look_shows_pictures_and_reasons(run_first_look: NotebookNode) -> None:
    shown = {cell.source: _html(cell) for cell in run_first_look.cells if cell.cell_type == "code"}
    answers = [html for source, html in shown.items() if source.endswith(("answer", ")")) and "eligible" in html]
    assert len(answers) == 5
    assert all(html.count("data:image/jpeg;base64,") >= 4 for html in answers)  # one in fifty has no photo


def _html(cell: NotebookNode) -> str:
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
