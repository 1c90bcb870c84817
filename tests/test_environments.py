"""Fresh environments, made by the Dockerfile's own commands for its targets `serve` and `full`, do their main job.

No Docker is needed: of each build stage the ``RUN pip …`` lines run in a new virtual environment, with the stage's
ENV, in a copy of what .dockerignore leaves of the tracked files.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from recommender.demo.shop import Shop

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MAX_SERVE_MB = 950
SECONDS_TO_START = 120


@dataclass
class Environment:
    """A virtual environment; commands run in an empty folder beside it, away from the checkout."""

    folder: Path
    variables: dict[str, str]

    def run(self, command: str, cwd: Path | None = None, code: int = 0) -> str:
        """Run a command of the shell and return its output; fails unless it exits with `code`."""
        done = subprocess.run(
            command, shell=True, cwd=cwd or self.folder.parent, env=self.variables, capture_output=True, text=True
        )
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr


def stages() -> dict[str, list[str]]:
    """Return the instructions of the Dockerfile by stage, one line each."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    parts = re.split(r"^FROM .* AS (\w+(?:-\w+)*)$", text, flags=re.MULTILINE)[1:]
    return {name: body.split("\n") for name, body in zip(parts[::2], parts[1::2], strict=True)}


def build(stage: str, context: Path, folder: Path, before: str = "") -> Environment:
    """Make the environment of a build stage; `before` is a command that runs first."""
    venv.create(folder / "env", with_pip=True)
    lines = stages()
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)", "\n".join(lines["build"]), re.MULTILINE))
    (annoy,) = re.findall('ANNOY_COMPILER_ARGS="(.*?)"', "\n".join(lines["build"]))
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))} | {
        "PATH": f"{folder / 'env' / 'bin'}:{os.environ['PATH']}",
        "ANNOY_COMPILER_ARGS": annoy.replace("${MARCH}", arguments["MARCH"]),
    }
    made = Environment(folder / "env", variables)
    commands = [line.removeprefix("RUN ") for line in lines[stage] if line.startswith("RUN pip ")]
    assert commands
    for command in [before, *commands] if before else commands:
        made.run(command, context)
    return made


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tracked files that a build sees."""
    folder = tmp_path_factory.mktemp("context")
    included = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    listed = subprocess.run(
        ["git", "ls-files", "-z", *included], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def small(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return build("build-serve", context, tmp_path_factory.mktemp("serve"))


@contextmanager
def served(small: Environment, bundles: Path, log: Path, *options: str) -> Iterator[str]:
    """Run `recommender serve` and yield its URL once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [small.folder / "bin" / "recommender", "serve", bundles, "--port", str(port), *options]
    with log.open("w") as file:
        process = subprocess.Popen(command, env=small.variables, stderr=file, cwd=log.parent)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(lambda: call(f"{url}/healthz/ready")[0] == 200)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def call(url: str, body: object = None) -> tuple[int, dict[str, object]]:
    """Return the status and the JSON of an answer; a refused connection is status 0."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)
    except URLError:
        return 0, {}


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while not until():
        assert time.monotonic() < end, f"not within {SECONDS_TO_START} s"
        time.sleep(0.2)


def test_the_serving_environment_is_small_and_without_torch(small: Environment) -> None:
    installed = {line.split("==")[0].lower() for line in small.run("pip list --format freeze").split()}
    assert not installed & {"torch", "torchvision", "scipy", "scikit-learn", "transformers"}
    lacking = small.run("pip check || true").splitlines()  # only this package lacks something: what training needs
    assert lacking
    assert all(line.startswith("hybrid-recommender") for line in lacking)
    assert int(small.run(f"du -sm {small.folder}").split()[0]) <= MAX_SERVE_MB


def test_the_serving_environment_answers_and_batches(
    small: Environment, demo_shop: Shop, demo_bundles: Path, tmp_path: Path
) -> None:
    events = demo_shop.config.parent / "events.csv"
    answer = json.loads(small.run(f"recommender similar {demo_bundles} 000100 -k 3 --explain --json"))
    assert len(answer["items"]) == 3
    answer = json.loads(small.run(f"recommender recommend {demo_bundles} --history 000100,000200 -k 3 --json"))
    assert len(answer["items"]) == 3
    small.run(
        f"recommender batch {demo_bundles} --kind user --events {events} -k 3 --out {tmp_path}/users.parquet"
    )
    assert (tmp_path / "users.parquet").stat().st_size > 0
    error = small.run(f"recommender fit --config {demo_shop.config} --out {tmp_path}/bundles", code=1)
    assert error.count("\n") == 1
    assert "pip install hybrid-recommender" in error


def test_the_serving_environment_serves(small: Environment, demo_bundles: Path, tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"  # the store lies beside it
    shutil.copytree(demo_bundles, bundles)
    log = tmp_path / "log"
    with served(small, bundles, log, "--query-encoder") as url:
        status, answer = call(f"{url}/v1/items/000100/similar?limit=3")
        assert (status, len(answer["items"])) == (200, 3)
        status, answer = call(
            f"{url}/v1/recommendations", {"seeds": {"items": [{"item_id": "000100"}]}, "limit": 3}
        )
        assert (status, len(answer["items"])) == (200, 3)
        status, answer = call(f"{url}/v1/search", {"text": "red bag"})
        assert (status, answer["items"] != []) == (200, True)
        assert "the query encoder does not answer; try again" in answer["warnings"]
        _wait(lambda: "needs torch" in log.read_text())
    assert log.read_text().count("needs torch") == 1
    assert "Traceback" not in log.read_text()


def test_the_full_environment_fits_and_encodes_queries(
    context: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (command,) = set(re.findall(r"pip install --constraint constraints\.txt \.", (ROOT / "README.md").read_text()))
    full = build("build-full", context, tmp_path_factory.mktemp("full"), before=command)
    assert full.run("pip check").startswith("No broken requirements")
    full.run("recommender demo shop --products 80 --no-serve")
    code = "import recommender; print(len(recommender.load('shop/bundles').search('red bag', k=3).items))"
    assert full.run(f'python -c "{code}"').strip() == "3"
