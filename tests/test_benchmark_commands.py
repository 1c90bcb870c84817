"""The benchmarks of speed, memory and robustness end to end, on as little as they take."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recommender.commands.benchmarks.service import children, wait_until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent


def run(*args: object) -> Any:
    command = [sys.executable, "-m", "recommender.cli", "benchmark", *map(str, args), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_searches_of_synthetic_vectors_reach_high_recall() -> None:
    report = run("retrieval", "--n", 1500, "--dim", 16, "--queries", 30)
    for method in ("ours, whole query", "ours, index", "ours, without numba"):
        assert max(recall for recall, _ in report["curves"][method]) > 0.95
    assert report["filters"]["50.0% random"]["retained"] == pytest.approx(750, abs=120)


def test_a_published_bundle_is_timed_at_its_own_and_at_other_weights(demo_bundles: Path) -> None:
    report = run("retrieval", demo_bundles, "--queries", 5, "--changes", 100)
    assert {"similar", "recommend", "image alone", "random 1"} <= set(report["bundle"])
    assert all(figures["p50_us"] > 0 for figures in report["bundle"].values())
    live = report["live changes"]
    assert live["entries"] == 100
    assert live["similar with a filter, each after a change"]["p50_ms"] > 0


def test_a_large_index_is_measured_by_stage_and_can_be_saved(tmp_path: Path) -> None:
    report = run("scale", "--n", 1500, "--dim", 16, "--fit", 160, "--fit", 240, "--out", tmp_path / "bundles")
    assert report["recall"] > 0.95
    assert {"Annoy's trees", "graph, all of it", "all of the index"} <= set(report["stages"])
    assert (tmp_path / "bundles" / "CURRENT").exists()
    assert set(report["fits"]) == {"160", "240"}
    for stages in report["fits"].values():
        assert {"behaviour", "tuning", "evaluation", "refit", "publishing"} <= set(stages)
        parts = sum(stage["cpu_s"] for name, stage in stages.items() if ":" not in name and name != "whole fit")
        assert 0 < parts <= stages["whole fit"]["cpu_s"] + 1.0


def test_batch_ranking_equals_numpy(demo_bundles: Path) -> None:
    report = run("batch", demo_bundles, "--sample", 40, "-k", 5)
    assert report["ranking alone"]["numpy"]["lists equal to ours"] == 1
    assert report["history to file"]["users/s"] > 0
    runs = report["runs for users who changed"]
    assert (runs["first"]["users"], runs["second"]["users"]) == (40, 1)
    assert report["similar, by matrix products"]["products per CPU s"] > 0


def test_the_service_is_measured_beside_a_bare_route(demo_bundles: Path) -> None:
    report = run("serve", demo_bundles, "--seconds", 0.5, "--rounds", 1, "--connections", 2, "--workers", 1)
    assert all(report[name]["rate"] > 0 for name in ("similar", "for_you", "bare"))


def test_a_benchmark_that_is_terminated_ends_its_services(demo_bundles: Path) -> None:
    command = [sys.executable, "-m", "recommender.cli", "benchmark", "serve", str(demo_bundles), "--seconds", "60"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as benchmark:
        wait_until(lambda: bool(children(benchmark.pid)))
        time.sleep(1)
        services = children(benchmark.pid)
        benchmark.terminate()
        assert benchmark.wait(60) == 143
    assert services
    assert not [pid for pid in services if Path(f"/proc/{pid}").exists()]


def test_the_costliest_requests_are_measured_and_none_fails(demo_bundles: Path) -> None:
    report = run("limits", demo_bundles, "--times", 1)
    assert {each["status"] for each in report} <= {200, 422}
    assert {"page: 12 placements", "1,000 events of 2 products"} <= {each["kind"] for each in report}
    assert sum(each["worker_ms"] for each in report) > 0


def test_no_fault_loses_data(demo_bundles: Path) -> None:
    report = run("faults", demo_bundles, "--kills", 1, "--swaps", 2, "--malformed", 60)
    assert all(result.get("passed", "left out" in result) for result in report.values())


def test_markets_of_the_same_bundle_map_its_pages_once(demo_bundles: Path) -> None:
    figures = run("markets", demo_bundles, "--markets", 2)
    mapped = {name: each["mapped"] for name, each in figures.items()}
    assert mapped["each market, same bundle"] < 0.5 * mapped["a worker without markets"]
    assert mapped["each market, another bundle"] > 0.5 * mapped["a worker without markets"]
