"""The packages in requirements-serve.txt answer and batch: every other package is refused in these processes.

Fresh environments are installed from the file itself in test_environments.py; this is what runs at every change.
"""

import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from recommender.demo.shop import Shop

ROOT = Path(__file__).parent.parent
REFUSING = """
import sys
from importlib.abc import MetaPathFinder

refused = set({refused})

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""
COMMAND = "from recommender.cli import main; main()"
# The service, without a server.
REQUESTS = """
from pathlib import Path
from serving.app import create_app
from serving.settings import Settings

bundles = Path(sys.argv[1])
client = create_app(bundles, Settings.load(None, store=f"sqlite:///{bundles}.sqlite")).test_client()
assert client.get("/healthz/ready").status_code == 200
answers = [
    client.get("/v1/items/000100/similar?limit=3"),
    client.post("/v1/recommendations", json={"seeds": {"items": [{"item_id": "000100"}]}, "limit": 3}),
]
assert [len(answer.json["items"]) for answer in answers] == [3, 3]
assert client.post("/v1/search", json={"text": "red bag"}).status_code == 200
assert client.post("/v1/search", json={"image": "aGVsbG8="}).status_code == 501
"""


def allowed() -> set[str]:
    """Return the distributions of the file."""
    lines = (ROOT / "requirements-serve.txt").read_text().splitlines()
    return {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}


@pytest.fixture(scope="module")
def refusing() -> str:
    """Python code that refuses every installed package which the file leaves out."""
    names = allowed() | {"hybrid-recommender"}
    refused = [
        module
        for module, distributions in packages_distributions().items()
        if not names & set(map(canonicalize_name, distributions))
    ]
    assert {"torch", "scipy", "sklearn", "transformers"} <= set(refused)
    return REFUSING.format(refused=refused)


def run(code: str, *args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_command_line_answers_and_batches(
    refusing: str, demo_shop: Shop, demo_bundles: Path, tmp_path: Path
) -> None:
    events = demo_shop.config.parent / "events.csv"
    user = events.read_text().splitlines()[1].split(",")[0]
    for args in [
        ["similar", demo_bundles, "000100", "-k", 3, "--filter", "price < 500", "--explain", "--json"],
        ["recommend", demo_bundles, "--history", "000100,000200", "-k", 3, "--json"],
        ["recommend", demo_bundles, "--user", user, "--events", events, "-k", 3, "--json"],
    ]:
        done = run(refusing + COMMAND, *args)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["items"]) == 3
    for args in [
        ["batch", demo_bundles, "--kind", "similar", "-k", 3, "--out", tmp_path / "similar.parquet"],
        ["batch", demo_bundles, "--kind", "user", "--events", events, "-k", 3, "--out", tmp_path / "users"],
        ["bundles", "list", demo_bundles],
        ["validate", "--config", demo_shop.config],
    ]:
        done = run(refusing + COMMAND, *args)
        assert done.returncode == 0, done.stderr


def test_the_service_answers(refusing: str, demo_bundles: Path) -> None:
    done = run(refusing + REQUESTS, demo_bundles)
    assert done.returncode == 0, done.stderr


def test_missing_extras_are_named_in_one_line(
    refusing: str, demo_shop: Shop, demo_bundles: Path, tmp_path: Path
) -> None:
    for args in [
        ["fit", "--config", demo_shop.config, "--out", tmp_path / "bundles"],
        ["encode", "--config", demo_shop.config],
        ["bundles", "compact", demo_bundles],
    ]:
        done = run(refusing + COMMAND, *args)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "which is not installed; run: pip install hybrid-recommender" in line


def test_a_text_query_says_what_its_encoder_needs(refusing: str, demo_bundles: Path) -> None:
    code = """
import recommender
from recommender.errors import RecommenderError

rec = recommender.load(sys.argv[1])
try:
    rec.search("red bag")
except RecommenderError as error:
    print(error)
"""
    done = run(refusing + code, demo_bundles)
    assert done.stdout.strip() == (
        "encoder 'offline' needs torch, which is not installed; run: pip install hybrid-recommender"
    ), done.stderr
