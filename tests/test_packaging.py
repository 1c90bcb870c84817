"""What is installed is the three packages, and what they need is pinned."""

import configparser
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = {"recommender", "serving", "training"}


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
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
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
    assert top == PACKAGES  # ".." leads to bin/recommender
    alone = [python, "-I", "-c", "import recommender; print(recommender.__version__)"]
    assert subprocess.run(alone, capture_output=True, check=True).stdout.strip()


def _requirements() -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    lines = [config["options"]["install_requires"], *(extras[name] for name in extras)]
    return [Requirement(line) for text in lines for line in text.splitlines() if line and line[0] != "#"]


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    assert len(pinned) == len(lines)
    for requirement in _requirements():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement}, but constraints.txt has {version}"


def test_pins_are_portable() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "+cpu" not in text  # a local version is on one index only
    assert "/" not in text
    assert " @ " not in text
