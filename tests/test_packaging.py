"""What is installed is the three packages, and what they need is pinned."""

import ast
import configparser
import re
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = ["recommender", "serving", "training"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git tracks, as a release is."""
    folder = tmp_path_factory.mktemp("build")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in tracked.decode().rstrip("\0").split("\0"):
        if (ROOT / name).is_file():  # not one deleted and not yet committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return path


def test_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert not [name for name in names if "test" in name.split("/")[-1] and name != "recommender/testing.py"]


def test_wheel_carries_every_tracked_file_of_the_packages(wheel: Path) -> None:
    listing = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {name for name in listing.stdout.split() if (ROOT / name).is_file()}
    assert tracked <= set(zipfile.ZipFile(wheel).namelist())


def test_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(path))
        (entries,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "recommender = recommender.cli:main" in archive.read(entries).decode()
    assert metadata["License"] == "Apache-2.0" or metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"


def test_installed_alone_it_names_the_three_packages(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    code = "from importlib.metadata import files; print({f.parts[0] for f in files('hybrid-recommender')})"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    top = {name for name in eval(done.stdout) if not name.endswith(".dist-info") and name != ".."}
    assert top == set(PACKAGES)  # ".." leads to bin/recommender
    alone = [python, "-I", "-c", "import recommender; print(recommender.__version__)"]
    assert subprocess.run(alone, capture_output=True, check=True).stdout.strip()


def _requirements(*extras: str) -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"], *(config["options.extras_require"][name] for name in extras)]
    return [Requirement(line) for text in texts for line in text.splitlines() if line and line[0] != "#"]


def _imported(folder: str) -> set[str]:
    """Top-level names of all that is imported under a folder, at the top of a module or inside."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        name.split(".")[0] for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    }


def _brought_along(declared: set[str]) -> set[str]:
    """What declared packages require themselves, such as flask its werkzeug."""
    lines = [line for name in declared for line in requires(name) or ()]
    return {canonicalize_name(Requirement(line).name) for line in lines if "extra ==" not in line}


# A benchmark compares with those that happen to be installed.
OTHER_LIBRARIES = ("faiss", "hnswlib", "implicit", "pyvsag", "rabitqlib", "usearch", "voyager")
OPTIONAL = ["mcp", "postgres", "ray", "redis", "tracing"]


@pytest.mark.parametrize(("folder", "extras"), [*((name, OPTIONAL) for name in PACKAGES), ("tests", ["test"])])
def test_every_import_is_required(folder: str, extras: list[str]) -> None:
    declared = {canonicalize_name(requirement.name) for requirement in _requirements(*extras)}
    paths = (ROOT / "tests").rglob("*.py")
    ours = {name for path in paths for name in (path.stem, path.parent.name)}
    own = {*PACKAGES, *ours, *OTHER_LIBRARIES, *sys.stdlib_module_names}
    homes = packages_distributions()
    known = declared | _brought_along(declared)
    strange = {
        name
        for name in _imported(folder) - own
        if not known & set(map(canonicalize_name, homes.get(name, [name])))
    }
    assert not strange, f"{folder} imports {sorted(strange)}, which setup.cfg does not require"


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    assert len(pinned) == len(lines)
    for requirement in _requirements("mlflow", "notebook", "postgres", "test"):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement}, but constraints.txt has {version}"


def test_pins_are_portable() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "+cpu" not in text  # a local version is on one index only
    assert "/" not in text
    assert " @ " not in text


def test_the_serving_requirements_are_complete_pinned_and_without_torch() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "deploy" / "requirements_serve.py"], capture_output=True, text=True, check=True
    )
    text = (ROOT / "requirements-serve.txt").read_text()
    assert text == made.stdout, "setup.cfg or constraints.txt has changed; run: make requirements-serve.txt"
    names = {canonicalize_name(line.split("==")[0]) for line in text.splitlines() if "==" in line}
    assert {"annoy", "flask", "pandas", "numba", "onnxruntime", "psycopg-binary"} <= names
    assert not names & {"torch", "torchvision", "scipy", "scikit-learn", "transformers", "timm"}
    assert {"torch", "open-clip-torch", "pandas", "scikit-learn", "annoy", "flask"} <= {
        canonicalize_name(requirement.name) for requirement in _requirements()
    }


def test_the_image_has_two_targets_and_small_is_the_default() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    stages = [line.split(" AS ")[1] for line in lines if line.startswith("FROM ")]
    assert {"serve", "full"} <= set(stages)
    assert stages[-1] == "serve"
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert services["service"]["build"]["target"] == "serve"
    assert services["update"]["build"]["target"] == "full"  # it embeds products


def test_the_image_is_built_from_the_packages_and_what_installs_them() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    context = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored[0] == "*"
    assert all((ROOT / name).exists() for name in context)
    assert {*PACKAGES, "setup.cfg", "pyproject.toml", "README.md", "constraints.txt"} <= context


def test_an_image_runs_on_other_processors_than_the_one_that_built_it() -> None:
    (flags,) = re.findall('ANNOY_COMPILER_ARGS="(.*)"', (ROOT / "Dockerfile").read_text())
    assert "native" not in flags
    # the variable replaces all of Annoy's own flags
    assert {"-DANNOYLIB_MULTITHREADED_BUILD", "-std=c++14", "-O3"} <= set(flags.split(","))
