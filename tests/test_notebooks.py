"""Every notebook runs from top to bottom on the demo shop, and its stored outputs are those of its sources."""

import runpy
import shutil
from pathlib import Path
from tempfile import gettempdir

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from recommender.demo.shop import Shop

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


DIGEST = runpy.run_path(str(FOLDER / "run.py"))["digest"]
ALONE = ("00_quick_start", "07_two_frames", "09_mlflow")  # each fits, or needs a package of its own


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stored_outputs_are_those_of_the_sources(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    current = notebook.metadata.get("sources_digest") == DIGEST(notebook)
    assert current, f"{path.name} was changed since it was run; run: make notebooks"
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert path.stat().st_size < 300_000


def test_stored_notebooks_have_pictures_and_name_no_folder_of_the_machine_that_ran_them() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in NOTEBOOKS}
    pictures = {name for name, text in texts.items() if "data:image/" in text or "image/jpeg" in text}
    assert pictures >= set(texts) - {"03_evaluation", "06_batch", "07_two_frames"}
    assert not [name for name, text in texts.items() if gettempdir() in text or str(FOLDER.parent) in text]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_the_library_alone(path: Path) -> None:
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    lines = [line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert {name.split(".")[0] for name in lines} <= {
        *("recommender", "numpy", "pandas", "IPython", "mlflow"),
        *("os", "pathlib", "dataclasses", "datetime", "re", "shutil", "tempfile", "time"),
    }


@pytest.fixture(scope="module")
def ran(
    demo_bundles: Path, demo_shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[NotebookNode]]:
    """The cells of each notebook, run one after the other in one kernel, which forgets in between."""
    parts: dict[str, list[NotebookNode]] = {}
    whole = new_notebook()
    for path in NOTEBOOKS:
        if path.stem in ALONE:
            continue
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


def run_alone(name: str, monkeypatch: pytest.MonkeyPatch, **environment: Path) -> list[NotebookNode]:
    """Return the cells of a notebook after a run."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for variable, path in environment.items():
        monkeypatch.setenv(variable, str(path))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return list(notebook.cells)


@pytest.mark.slow
def test_quick_start_fits_from_two_frames(
    demo_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = demo_shop.config.parent / "events.csv"
    cells = run_alone(
        "00_quick_start", monkeypatch, EVENTS=events, OUT=tmp_path, RECOMMENDER_CACHE=tmp_path / "cache"
    )
    assert "80 products" in shown(cells, "\nrec")
    assert "data:image/jpeg;base64," in shown(cells, "explain=True)")
    assert "Bags" in shown(cells, "rec.products().head()")


@pytest.mark.slow
def test_a_shop_is_fitted_from_frames_made_in_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = run_alone("07_two_frames", monkeypatch, OUT=tmp_path, RECOMMENDER_CACHE=tmp_path / "cache")
    similar = shown(cells, "k=5).to_frame()")
    assert all(f"<th>{name}</th>" in similar for name in ("title", "price", "link"))
    refused = shown(cells, '{error}\\n")')
    assert "indexed by 0 and others" in refused
    assert "did you mean '1042'?" in refused
    assert "own origin" in shown(cells, "assert own > 0.4")
    assert "popularity" in shown(cells, ".round(3)")


def test_mlflow_has_the_metrics_and_the_bundle(
    demo_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'hybrid-recommender[mlflow]'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cells = run_alone("09_mlflow", monkeypatch, BUNDLES=demo_bundles, OUT=tmp_path)
    assert "metrics.hybrid.all.recall.mean" in shown(cells, "*shown]].T")
    assert shown(cells, "k=4)").count("<b>") == 4
    kept = {path.name for path in tmp_path.glob("*/artifacts/**/*")}
    assert "CURRENT" in kept
    assert ".evaluation_key" not in kept


def test_questions_of_a_shop_are_answered(ran: dict[str, list[NotebookNode]]) -> None:
    cells = ran["08_questions"]
    assert "gain" in shown(cells, "ascending=False).round(3)")
    assert "data:image/jpeg;base64," in shown(cells, "weights=content)")
    assert "of a list stay on average" in shown(cells, "both.round(3)")
    assert all(length in shown(cells, "customers=by_length.size()).round(3)") for length in ("short", "long"))
    assert "of those who lose" in shown(cells, "wanted.loc[losers].head(5)")


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
