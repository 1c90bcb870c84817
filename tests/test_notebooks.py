"""Every notebook runs from top to bottom on the demo shop, and is stored without its outputs."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from recommender.demo.shop import Shop

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_the_library_alone(path: Path) -> None:
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    lines = [line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert {name.split(".")[0] for name in lines} <= {
        *("recommender", "numpy", "pandas", "IPython"),
        *("os", "pathlib", "dataclasses", "datetime", "tempfile", "time"),
    }


@pytest.fixture(scope="module")
def ran(
    demo_bundles: Path, demo_shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[NotebookNode]]:
    """The cells of each notebook, run one after the other in one kernel, which forgets in between."""
    parts: dict[str, list[NotebookNode]] = {}
    whole = new_notebook()
    for path in NOTEBOOKS[1:]:
        parts[path.stem] = nbformat.read(path, as_version=4).cells
        whole.cells += [*parts[path.stem], new_code_cell("%reset -f")]
    with pytest.MonkeyPatch.context() as patch:
        bundles = shutil.copytree(demo_bundles, tmp_path_factory.mktemp("notebooks") / "bundles")
        patch.setenv("BUNDLES", str(bundles))  # a copy: maps are kept beside a bundle
        patch.setenv("EVENTS", str(demo_shop.config.parent / "events.csv"))
        patch.setenv("OUT", str(bundles.parent))
        NotebookClient(whole, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return parts


def shown(cells: list[NotebookNode], ends: str) -> str:
    """Return what a cell shows whose source ends so: HTML where it has some, else text."""
    (cell,) = (cell for cell in cells if cell.cell_type == "code" and cell.source.rstrip().endswith(ends))
    outputs = []
    for output in cell.outputs:
        data = output.get("data", {})
        outputs.append(output.get("text") or data.get("text/html") or data.get("text/plain") or "")
    return "".join(outputs)


@pytest.mark.slow
def test_quick_start_fits_from_two_frames(
    demo_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notebook,) = (nbformat.read(path, as_version=4) for path in NOTEBOOKS if path.stem == "00_quick_start")
    monkeypatch.setenv("EVENTS", str(demo_shop.config.parent / "events.csv"))
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "cache"))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    assert "80 products" in shown(notebook.cells, "\nrec")
    assert "data:image/jpeg;base64," in shown(notebook.cells, "explain=True)")
    assert "Bags" in shown(notebook.cells, "rec.products().head()")


def test_first_look_shows_health_pictures_and_reasons(ran: dict[str, list[NotebookNode]]) -> None:
    cells = ran["01_first_look"]
    assert "98.8%" in shown(cells, "bar(vmin=0, vmax=1)")  # one in eighty has no photo
    assert "1 products without a photo" in shown(cells, "in without[:5]])")
    html = [
        "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
        for cell in cells
        if cell.cell_type == "code"
    ]
    answers = [each for each in html if "eligible" in each]
    assert len(answers) == 5
    assert all(each.count("data:image/jpeg;base64,") >= 4 for each in answers)


def test_the_map_tells_what_each_block_knows(ran: dict[str, list[NotebookNode]]) -> None:
    cells = ran["02_embedding_map"]
    assert "<iframe" in shown(cells, "height=620)")
    assert shown(cells, "in rec.layout.names))").count("<circle") == 4 * 80
    assert "category alone" in shown(cells, "shared.round(2)")


def test_the_evaluation_has_intervals_and_slices(ran: dict[str, list[NotebookNode]]) -> None:
    cells = ran["03_evaluation"]
    assert all(name in shown(cells, "rankers(evaluation).round(4)") for name in ("EASE + recency", "lead_low"))
    assert "all products" in shown(cells, "slices(evaluation).round(4)")
    assert "popular_share" in shown(cells, "beyond_accuracy(evaluation).round(3)")


def test_fusion_says_what_parts_are_worth_and_what_is_left_out(ran: dict[str, list[NotebookNode]]) -> None:
    cells = ran["04_fusion"]
    assert "the recall over all products" in shown(cells, "print(sentence)")
    assert "unknown" in shown(cells, "for each in placed\n    ]\n)")
    assert "excluded" in shown(cells, "for each in placed\n    ]\n)")


def test_an_event_moves_the_list(ran: dict[str, list[NotebookNode]]) -> None:
    cells = ran["05_users"]
    assert "popular popular" in shown(cells, "\nnobody")
    moved = shown(cells, 'moves.sort_values("after")')
    assert "NaN" in moved  # what was bought is no longer recommended


def test_batches_are_joined_back(ran: dict[str, list[NotebookNode]]) -> None:
    cells = ran["06_batch"]
    assert "800 rows" in shown(cells, "neighbours.head()")
    assert "hold the same answers" in shown(cells, 'nothing to do")')
    assert "title" in shown(cells, "letter.head(6)")
