"""Run the notebooks on a demo shop and store their outputs in them: `make notebooks`.

    python notebooks/run.py [notebooks/01_first_look.ipynb ...]

Each stores the digest of the sources that were run, so that a test can tell whether its outputs are current.
"""

import hashlib
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
FORMS = ("text/html", "image/png", "image/jpeg", "text/plain")  # the best form of an output is stored


def digest(notebook: NotebookNode) -> str:
    """Return a digest of the sources of all cells."""
    sources = (f"{cell.cell_type}\n{cell.source}" for cell in notebook.cells)
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def run(path: Path, folder: Path) -> None:
    """Run a notebook in a folder and store its outputs, without progress and times."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "data" in output:
                    form = next(form for form in FORMS if form in output["data"])
                    output["data"] = {form: output["data"][form]}
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["sources_digest"] = digest(notebook)
    nbformat.write(notebook, path)


def main(paths: list[Path]) -> None:
    """Make a demo shop and run notebooks on it."""
    from recommender.config import Config
    from recommender.demo.shop import make_shop
    from training.fit import fit

    with TemporaryDirectory() as name:
        shop = make_shop(Path(name) / "demo-shop", n=400, users=1000, events=15_000).config
        fit(Config.load(shop), shop.parent / "bundles", cache_dir=Path(name) / "cache")
        os.environ |= {
            "BUNDLES": str(shop.parent / "bundles"),
            "EVENTS": str(shop.parent / "events.csv"),
            "OUT": name,
            "RECOMMENDER_CACHE": str(Path(name) / "cache"),
        }
        for path in paths:
            run(path.absolute(), Path(name))
            print(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")))
