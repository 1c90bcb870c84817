"""A bundle written by an older version: it opens, gives the recorded answers, and can be updated and compacted.

``data/bundle_format_2`` has a shop of 60 products in two generations, the second of which has a delta, and the
answers of the version that wrote it (0.1.0, format 2).
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recommender
from recommender.bundle import FORMAT, generations, open_bundle
from recommender.bundle.migrate import migrate
from recommender.commands.output import show_figures
from recommender.evaluation.data_quality import data_quality
from recommender.pages import write_report
from training.update.compact import compact
from training.update.updater import Updater, config_of

DATA = Path(__file__).parent / "data" / "bundle_format_2"
ANSWERS: list[dict[str, Any]] = json.loads((DATA / "answers.json").read_text())["answers"]
BASE, LATEST = sorted({answer["generation"] for answer in ANSWERS})
POSITIONAL = ("item_id", "history", "text")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("format_2")
    shutil.unpack_archive(DATA / "bundles.tar.gz", folder, filter="data")
    return folder / "bundles"


@pytest.fixture
def bundles(unpacked: Path, tmp_path: Path) -> Path:
    return shutil.copytree(unpacked, tmp_path / "bundles")


def name_of(answer: dict[str, Any]) -> str:
    call = answer["arguments"].get("strategy", answer["call"])
    return f"{'delta' if answer['generation'] == LATEST else 'base'}-{call}"


@pytest.mark.parametrize("answer", ANSWERS, ids=name_of)
def test_results_equal_those_of_the_old_version(unpacked: Path, answer: dict[str, Any]) -> None:
    rec = recommender.load(unpacked, generation=answer["generation"])
    arguments = dict(answer["arguments"])
    if answer["call"] == "search":  # the old version knew no words; popularity broke no ties
        arguments["weights"] = {"words": 0.0, "prior": 0.0} | arguments.get("weights", {})
    seeds = [arguments.pop(name) for name in POSITIONAL if name in arguments]
    items = getattr(rec, answer["call"])(*seeds, **arguments)
    assert [item.item_id for item in items] == [item_id for item_id, _ in answer["items"]]
    assert [item.score for item in items] == pytest.approx([score for _, score in answer["items"]], abs=1e-6)


def test_it_is_listed_and_its_metrics_print(unpacked: Path) -> None:
    listed = generations(unpacked).to_frame()
    assert list(listed.index) == [BASE, LATEST]
    assert listed["products"].tolist() == [60, 60]
    assert LATEST in generations(unpacked)._repr_html_()
    bundle = open_bundle(unpacked, verify=True)
    assert repr(bundle.manifest) == f"<Manifest {LATEST}: 60 products, blocks text, category, behaviour>"
    metrics = bundle.manifest.metrics
    assert metrics["seconds"]["refit"] > 0
    assert "refit" in show_figures(metrics)
    assert len(recommender.load(unpacked)) == 60


def test_a_report_counts_no_removed_product(unpacked: Path, tmp_path: Path) -> None:
    rec = recommender.load(unpacked)
    quality = data_quality(rec)
    assert rec.n == 61
    assert quality.products == 60
    table = pd.read_csv(DATA / "changed.csv", dtype=str, keep_default_na=False)
    prices = quality.to_frame().loc["price"]
    assert prices["filled"] == (table["price"] != "").mean()
    assert quality.variants == int((table["item_group_id"] != "").sum())
    write_report(rec, tmp_path / "report.html")
    assert '<b>60</b><span class="note">products' in (tmp_path / "report.html").read_text()


def test_it_can_be_updated_and_compacted(bundles: Path, tmp_path: Path) -> None:
    table = pd.read_csv(DATA / "changed.csv", dtype=str, keep_default_na=False)
    table.loc[table["id"] == "T26", "title"] = "Another title"
    table[table["id"] != "T10"].to_csv(tmp_path / "changed.csv", index=False)
    config = config_of(bundles, None, None, None)
    done = Updater(bundles, config, tmp_path / "changed.csv", complete=True, cache_dir=tmp_path / "cache").update()
    assert (done.embedded, done.removed) == (1, 1)
    for generation in (done.generation, compact(bundles)):
        rec = recommender.load(bundles)
        assert rec.generation == generation
        assert len(rec) == 59
        assert "T10" not in rec
        assert rec.product("T26")["title"] == "Another title"
        assert json.loads((bundles / "generations" / f"{generation}.json").read_text())["format"] == FORMAT
    assert [manifest.generation for manifest in generations(bundles)][:2] == [BASE, LATEST]


def test_metric_names_of_format_2_are_renamed() -> None:
    lead = {"mean": 0.1, "low": 0.0, "high": 0.2}
    recall = {"mean": 0.3, "error": 0.01, "low": 0.2, "high": 0.4, "hybrid_ahead": lead}
    old = {
        "format": 2,
        "metrics": {
            "evaluation": {
                "customers": 9,
                "choices": 20,
                "cuts": ["2025-01-01"],
                "contenders": {"text alone": {"group": "part", "coverage": 0.5, "all": {"recall": recall}}},
                "ablation": {"rarely chosen products": {"choices": 7, "recall": lead, "lost": {"text": lead}}},
            },
            "training": {"weights": {"smoothing": 0.3, "own_weights_tried": []}, "prior": None},
        },
    }
    before = json.dumps(old)
    evaluation = migrate(old)["metrics"]["evaluation"]
    assert (evaluation["users"], evaluation["interactions"], evaluation["split_dates"]) == (9, 20, ["2025-01-01"])
    ranker = evaluation["rankers"]["text alone"]
    assert ranker["group"] == "component"
    assert ranker["all"]["recall"] == {
        "mean": 0.3,
        "std_error": 0.01,
        "low": 0.2,
        "high": 0.4,
        "hybrid_lead": lead,
    }
    assert evaluation["ablation"]["long-tail products"] == {
        "interactions": 7,
        "recall": lead,
        "recall_drop": {"text": lead},
    }
    assert migrate(old)["metrics"]["training"] == {"tuning": {"smoothing": 0.3, "categories": []}, "prior": None}
    assert json.dumps(old) == before


def test_the_present_format_is_not_changed() -> None:
    data = {"format": FORMAT, "metrics": {"seconds": {"weights": 1}}}
    assert migrate(data) == data
