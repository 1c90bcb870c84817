"""Two generations compared: planted differences are found, equal ones are not, and the page shows what changed."""

import json
import shutil
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recommender
from recommender.bundle import Staging, open_bundle
from recommender.cli import main
from recommender.errors import RequestError
from recommender.evaluation.bootstrap import Interval
from recommender.evaluation.comparison import CHANGED, earlier_evaluated, overlap, verdict
from recommender.evaluation.stored import PART, StoredEvaluation
from recommender.events import as_events
from recommender.pages import write_report
from recommender.recommender import Recommender
from tests.browser import quiet_page

LOST = 0.5  # of the shoppers who found something, so many find nothing in the later generation


@pytest.fixture(scope="module")
def two(demo_bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recommender, Recommender]:
    """The demo's generation, and one that lost half of the hits and compares items by category alone."""
    root = shutil.copytree(demo_bundles, tmp_path_factory.mktemp("two") / "bundles")
    first = recommender.load(root)
    stored = first.evaluation_queries()
    values, hybrid = stored.values.copy(), stored.rankers.index("hybrid")
    lost = np.random.default_rng(0).random(len(stored)) < LOST
    values[hybrid, :, lost] = np.where(np.isnan(values[hybrid, :, lost]), np.nan, 0.0)
    later = StoredEvaluation(stored.k, stored.users, stored.rankers, stored.candidates, stored.metrics, values)
    with Staging(root) as staging:
        fields = deepcopy(first.manifest.to_dict())
        fields["weights"]["item"] = {name: float(name == "category") for name in fields["weights"]["item"]}
        later.save(staging.part(PART))
        staging.publish(fields, parent=open_bundle(root), reuse=[n for n in first.manifest.parts if n != PART])
    return first, recommender.load(root)


def test_a_planted_loss_is_found_with_an_interval_and_no_difference_is_none(
    two: tuple[Recommender, Recommender],
) -> None:
    first, second = two
    found = first.compare(second)
    before, after = (rec.evaluation_queries().of_ranker("hybrid", "hit_rate") for rec in two)
    difference = found.metrics["hit rate"].difference
    assert difference.mean == pytest.approx((after - before).mean(), abs=1e-9)
    frame = found.to_frame()
    assert frame.loc["hit rate", "verdict"] == "lower"
    assert frame.loc["hit rate", "low"] < difference.mean < frame.loc["hit rate", "high"]
    same = first.compare(first)
    assert set(same.to_frame()["verdict"]) == {"not told apart"}
    assert same.overlap == {"product": 1.0, "user": 1.0}
    assert same.changed == ()


def test_overlap_and_what_changed_most_are_those_of_the_answers(two: tuple[Recommender, Recommender]) -> None:
    first, second = two
    found = first.compare(second)
    lists = {item: [rec.similar(item, 12, plan="exact").item_ids for rec in two] for item in second.ids}
    shares = {item: len({*a} & {*b}) / max(len(a), len(b)) for item, (a, b) in lists.items()}
    assert found.compared["product"] == len(second)
    assert found.overlap["product"] == pytest.approx(np.mean([*shares.values()]), abs=1e-4)
    products = [answer for answer in found.changed if answer.kind == "product"]
    assert len(products) == CHANGED
    assert [each.overlap for each in products] == pytest.approx(sorted(shares.values())[:CHANGED], abs=1e-4)
    for answer in products:
        assert [list(answer.before), list(answer.after)] == [[*each] for each in lists[answer.name]]


def test_users_are_those_that_are_given(two: tuple[Recommender, Recommender]) -> None:
    first, second = two
    histories = {"ann": as_events(first.ids[:3]), "nobody": as_events(["unknown"])}
    found = first.compare(second, histories)
    assert (found.compared["user"], found.synthetic) == (1, False)
    changed = [answer for answer in found.changed if answer.kind == "user"]
    assert {answer.name for answer in changed} <= {"ann"}


def test_verdicts_and_overlap() -> None:
    assert verdict(Interval(0.1, 0.01, 0.05, 0.2)) == "higher"
    assert verdict(Interval(-0.1, 0.01, -0.2, -0.05)) == "lower"
    assert verdict(Interval(0.1, 0.1, -0.05, 0.2)) == "not told apart"
    assert overlap(["a", "b"], ["b", "c", "d", "e"]) == 0.25
    assert overlap([], []) == 1.0


def test_the_reason_without_an_evaluation_is_told(two: tuple[Recommender, Recommender], bundles: Path) -> None:
    with Staging(bundles) as staging:
        first = open_bundle(bundles)
        fields = first.manifest.to_dict()
        staging.publish(fields, parent=first, reuse=[part for part in first.manifest.parts if part != PART])
    found = two[0].compare(recommender.load(bundles))
    assert found.metrics == {}
    assert "published without an evaluation" in found.unmeasured
    assert found.to_frame().empty


def test_a_shop_of_other_products_is_refused(
    two: tuple[Recommender, Recommender], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recommender, "ids", ["other"])
    with pytest.raises(RequestError, match="share no product"):
        two[0].compare(two[1])


def test_the_command_writes_text_json_and_a_page_with_pictures(
    two: tuple[Recommender, Recommender],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    browser: Any,
) -> None:
    first, second = two
    page_file = tmp_path / "compare.html"

    def shown(*options: object) -> str:
        command = ("recommender", "compare", first.bundle.root, first.generation, *options)
        monkeypatch.setattr(sys, "argv", [*map(str, command)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    text = shown(second.generation)
    assert max(map(len, text.splitlines())) <= 80
    assert "LOWER" in next(line for line in text.splitlines() if line.startswith("hit rate"))
    document = json.loads(shown("--json", "--html", page_file))
    assert (document["before"], document["after"]) == (first.generation, second.generation)
    names = [answer["name"] for answer in document["changed"]]
    for width in (390, 1440):
        with quiet_page(browser, page_file.as_uri(), viewport={"width": width, "height": 900}) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert [text.split(" ")[0] for text in page.locator(".cmp-answer h3").all_text_contents()] == [
                name.split(" ")[0] for name in names
            ]
            assert page.locator(".cmp img").count() > 100
    html = first.compare(second)._repr_html_()
    assert html.count('class="cmp-answer"') == len(names)
    assert "<html" not in html


def test_the_report_and_the_list_show_the_fit_before(
    two: tuple[Recommender, Recommender],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = two
    assert earlier_evaluated(first) is None
    assert earlier_evaluated(second) == first.generation
    write_report(second, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    section = page.split('<section id="earlier">')[1].split("</section>")[0]
    assert first.generation in section
    assert f"{first.compare(second).metrics['hit rate'].difference.mean:+.4f}" in section
    monkeypatch.setattr(sys, "argv", ["recommender", "bundles", "list", str(first.bundle.root)])
    with pytest.raises(SystemExit):
        main()
    found = 100 * first.evaluation_queries().of_ranker("hybrid", "hit_rate").mean()
    assert f"{found:.1f} of 100 shoppers find, " in capsys.readouterr().out.splitlines()[0]
