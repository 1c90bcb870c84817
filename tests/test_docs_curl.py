"""docs/guides/http.md: every example is run against a real server, and no call of the contract is without one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recommender.bundle import current
from recommender.cli import main
from recommender.demo.shop import Shop
from recommender.demo.tour import tour
from recommender.recommender import load
from tests.test_serving_server import running

PAGE = Path(__file__).parent.parent / "docs" / "guides" / "http.md"


def examples() -> list[str]:
    """Return the commands of the page, those of several lines joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [
        command.strip() for block in blocks for command in re.split(r"^(?=curl )", block, flags=re.MULTILINE)[1:]
    ]


def called(command: str) -> tuple[str, str]:
    """Return the method and the path of a command."""
    method = re.search(r"-X (\w+)", command)
    path = re.search(r"127\.0\.0\.1:8000([^'? \n]+)", command)
    assert path, command
    return method[1] if method else "POST" if "--json" in command else "GET", path[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: apt-get install curl")
def test_every_route_has_a_working_example(
    demo_bundles: Path, demo_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = shutil.copytree(demo_bundles, tmp_path / "bundles")
    *_, update, served = tour(demo_shop, port=8000)
    monkeypatch.setattr("sys.argv", ["recommender", update[0], str(bundles), *update[2:]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    newer = current(bundles)
    assert newer != current(demo_bundles)
    config = Path(served[served.index("--config") + 1])
    known = dict(
        zip(("SKU-1001", "SKU-1", "SKU-2", "SKU-3", "SKU-4"), ["new-1", *load(bundles).ids], strict=False)
    )
    with running(bundles, tmp_path / "store.db", workers=1, config=config) as (client, _):
        for example in examples():
            command = example.replace("curl ", "curl -sS --fail-with-body ", 1)
            command = command.replace("127.0.0.1:8000", str(client.base_url.netloc, "ascii"))
            command = command.replace("20261123T101500Z-3f9ac2d1", newer)
            for name, item_id in known.items():
                command = command.replace(name, item_id)
            ran = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, timeout=30)
            needs_encoder = "/v1/search" in example and b"serve with --query-encoder" in ran.stdout
            assert ran.returncode == 0 or needs_encoder, (example, ran.stdout, ran.stderr)
        paths = client.get("/openapi.json").json()["paths"]
    calls = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    templates = {re.sub(r"\\{\w+\\}", "[^/:]+", re.escape(path)): path for _, path in calls}
    shown = {
        (method, template)
        for method, path in map(called, examples())
        for pattern, template in templates.items()
        if re.fullmatch(pattern, path)
    }
    assert calls - {("GET", "/"), ("GET", "/docs")} <= shown, calls - shown
