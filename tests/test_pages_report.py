"""The report on a bundle: what it says, and what it does in a browser."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recommender
from recommender.batch import by_user
from recommender.catalog import read_events
from recommender.cli import main
from recommender.config import EventsConfig
from recommender.demo.shop import Shop
from recommender.evaluation.data_quality import data_quality
from recommender.evaluation.headline import headline
from recommender.evaluation.latency import latency
from recommender.pages import charts, report, write_report
from recommender.recommender import Recommender
from tests.browser import quiet_page


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


def test_data_quality_counts_missing_values(rec: Recommender, demo_shop: Shop) -> None:
    quality = data_quality(rec)
    photos = np.mean([product.has_photo for product in demo_shop.products])
    assert quality.blocks["image"] == pytest.approx(photos)
    columns = {column["name"]: column for column in quality.columns}
    assert columns["brand"]["distinct"] == len({product.brand for product in demo_shop.products})
    assert columns["description"]["filled"] == np.mean(
        [bool(product.description) for product in demo_shop.products]
    )
    assert columns["price"]["top"].startswith(str(min(product.price for product in demo_shop.products)))


def test_indistinguishable_products_are_counted(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    before = data_quality(rec).indistinguishable
    vectors = rec.segment.vectors.copy()
    first, second = np.unique(rec.segment.groups, return_index=True)[1][:2]
    vectors[second] = vectors[first]
    monkeypatch.setattr(rec, "segment", replace(rec.segment, vectors=vectors))
    assert data_quality(rec).indistinguishable >= before + 1
    assert "indistinguishable" in repr(data_quality(rec))


def test_latency_of_each_kind_of_request(rec: Recommender) -> None:
    measured = latency(rec)
    assert all(
        0 < row.p50_ms <= row.p95_ms and row.requests_per_second > 1
        for row in (measured.similar, measured.recommend)
    )
    assert list(measured.to_frame().index) == ["similar", "recommend"]


def test_a_chart_grows_to_the_right_and_upwards() -> None:
    drawn = charts.line("loss", [3.0, 1.0])
    (x0, y0), (x1, y1) = ([float(v) for v in point.split(",")] for point in drawn["points"].split())
    assert x0 < x1
    assert y0 < y1  # in SVG, downwards
    assert charts.line("flat", [1.0])["points"] == "130.0,55.0"


def test_the_page_in_a_browser(rec: Recommender, demo_shop: Shop, tmp_path: Path, browser: Any) -> None:
    events = demo_shop.config.parent / "events.csv"
    histories = by_user(read_events(events, EventsConfig(path=events)))
    out = tmp_path / "report.html"
    write_report(rec, out, histories)
    with quiet_page(browser, out.as_uri(), viewport={"width": 1200, "height": 900}) as page:
        for part in ("data", "training", "evaluation", "ablation", "index", "products", "users"):
            assert page.locator(f"#{part} h2").count() == 1
        evaluation = rec.manifest.metrics["evaluation"]
        assert page.locator("#evaluation tr.ranker").count() == len(evaluation["rankers"])
        popularity = page.locator("#evaluation tr", has_text="popularity, last 30 days").inner_text()
        assert f"{evaluation['rankers']['popularity, last 30 days']['all']['recall']['mean']:.4f}" in popularity
        assert page.locator("#training polyline").count() >= 3
        whole = evaluation["ablation"]["all products"]
        assert page.locator("#ablation > .wide tr").count() == len(whole["recall_drop"]) + 1
        photos = page.locator("#ablation > .wide tr", has_text="Photos").inner_text()
        assert f"{100 * whole['recall_drop']['image']['mean'] / whole['recall']['mean']:.1f} %" in photos
        shown = [" ".join(text.split()) for text in page.locator("#answers .answer p").all_text_contents()]
        assert shown == [answer.sentence for answer in headline(rec)]
        assert page.locator("#answers .answer").last.bounding_box()["y"] < 900, "all on the first screen"
        assert page.locator("#products .example").count() == 20
        assert page.locator("#users .example").count() == 20
        assert page.locator("#users h3", has_text="events").first.inner_text().split(" ")[0] in histories

        card = page.locator("#products .example ol:not(.seeds) .card").first
        assert card.locator(".more").is_hidden()
        card.hover()
        assert card.locator(".more").is_visible()
        assert "score" in card.locator(".more").inner_text()

        title = page.locator("#products .example .seeds b").nth(3).inner_text()
        page.fill("#search", title)
        left = page.locator(".example:visible")
        assert 0 < left.count() < 40
        words = title.lower().split()
        assert all(word in text.lower() for text in left.all_text_contents() for word in words)


def test_without_events_the_page_says_so_and_shows_precision_by_hidden_attributes(
    demo_bundles: Path, tmp_path: Path
) -> None:
    rec = recommender.load(demo_bundles)
    color = {"precision": 0.42, "low": 0.4, "high": 0.44, "chance": 0.05, "queries": 80}
    metrics = {"recall": rec.manifest.metrics["recall"], "training": {"label_precision": {"color": color}}}
    rec.manifest = replace(rec.manifest, metrics=metrics)
    write_report(rec, tmp_path / "report.html")
    page = " ".join((tmp_path / "report.html").read_text(encoding="utf-8").split())
    first_screen, rest = page.split('<section id="data">')
    assert "Not measured: there are no events. Of 10 similar products 4.2 share the color" in first_screen
    assert "Events: 0 were read" in first_screen
    assert "index" not in first_screen.split('<section id="answers">')[1]
    assert "Too few events" not in page
    assert "<td>color</td><td>4.2</td>" in rest
    assert "Defaults: nothing was learned." in rest
    assert "earned weights" not in page


def test_rows_of_the_index_show_every_setting() -> None:
    point = {"width": 0, "seeds": 32, "search_k": 300, "entries": 8, "recall": 0.9}
    curves = {"single": [{**point, "steps": steps} for steps in (1, 2, 3)]}
    rows = report._operating_points({"curves": curves})
    shown = ["width", "seeds", "steps", "search_k"]
    assert len({tuple(row[name] for name in shown) for row in rows}) == 3
    source = (Path(report.__file__).parent / "report.html").read_text(encoding="utf-8")
    assert all(f"point.{name}" in source for name in shown)


def test_the_command_writes_synthetic_users(
    demo_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    monkeypatch.setattr(sys, "argv", ["recommender", "report", str(demo_bundles), "--out", str(out), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "bytes": out.stat().st_size}
    assert out.read_text(encoding="utf-8").count("synthetic ") == 20
