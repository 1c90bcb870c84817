"""Three answers, first in the report and in `evaluate`, recomputed from the bundle."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from evaluation_events import events

import recommender
from recommender.cli import main
from recommender.core.blocks import Layout
from recommender.demo.shop import Shop
from recommender.evaluation import evaluate
from recommender.evaluation.beyond_accuracy import cold_share
from recommender.evaluation.data_quality import missing_parts
from recommender.evaluation.headline import better_than_best_sellers, fix_first, headline, new_products, unmeasured
from recommender.evaluation.table import AMONG_NEW, OF_NEW, new_product_lines, short_table
from recommender.recommender import Recommender
from recommender.retrieval.planner import Budgets


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


def test_the_lead_over_best_sellers_is_that_of_the_stored_queries(rec: Recommender) -> None:
    stored = rec.evaluation_queries()
    found, other = (stored.of_ranker(name, "hit_rate") for name in ("hybrid", "popularity"))
    answer = better_than_best_sellers(rec.manifest.metrics)
    assert answer.figures["found"] == pytest.approx(found.mean(), abs=1e-6)
    assert answer.figures["lead"] == pytest.approx((found - other).mean(), abs=1e-6)
    for figure in (100 * found.mean(), 100 * other.mean()):
        assert f" {figure:.1f} " in answer.sentence
    assert f"the difference is {100 * (found - other).mean():+.1f} " in answer.sentence
    draws = np.random.default_rng(1).integers(len(found), size=(4000, len(found)))
    low, high = np.quantile((found - other)[draws].mean(axis=1), [0.025, 0.975])
    step = 1 / len(found)  # one shopper more
    assert (answer.figures["low"], answer.figures["high"]) == pytest.approx((low, high), abs=1.5 * step)
    assert answer.good is (True if answer.figures["low"] > 0 else False if answer.figures["high"] < 0 else None)


def test_places_of_new_products_are_those_of_the_stored_lists(rec: Recommender) -> None:
    shares, evaluation = (
        rec.evaluation_queries().of_ranker("hybrid", "cold_share"),
        rec.manifest.metrics["evaluation"],
    )
    answer = new_products(rec.manifest.metrics)
    assert answer.figures["places"] == pytest.approx(shares.mean(), abs=1e-6)
    assert answer.figures["chosen"] == evaluation["cold_share"]
    places = shares * evaluation["k"]
    np.testing.assert_allclose(places, np.round(places), atol=1e-9)  # a share of 12 places
    if answer.figures["range"]:
        assert f"get {100 * shares.mean():.1f} % of the recommended places" in answer.sentence


def test_what_most_products_lack_is_counted_in_the_shop(rec: Recommender, demo_shop: Shop) -> None:
    lacking = sum(not product.has_photo for product in demo_shop.products)
    assert missing_parts(rec) == {"image": lacking, "text": 0, "category": 0}
    sentence = headline(rec)[2].sentence
    assert sentence == f"Photos: {lacking} of 80 products ({100 * lacking / 80:.1f} %) have no photo."


def test_new_products_are_counted_in_lists() -> None:
    """Rows 2 and 3 are new: half of the first list, none of the second, one of the single place of the third."""
    rows = np.array([[0, 2], [0, 1], [3, -1], [-1, -1]])
    shares = cold_share(rows, np.array([False, False, True, True]))
    np.testing.assert_array_equal(shares, [0.5, 0.0, 1.0, np.nan])


def test_an_engine_that_is_behind_says_no() -> None:
    def figure(mean: float, lead: tuple[float, float, float]) -> dict[str, Any]:
        named = dict(zip(("mean", "low", "high"), lead, strict=True))
        return {"all": {"hit_rate": {"mean": mean, "hybrid_lead": named}}}

    rankers = {"hybrid": figure(0.1, (0, 0, 0)), "popularity": figure(0.2, (-0.1, -0.15, -0.05))}
    answer = better_than_best_sellers({"evaluation": {"k": 12, "users": 9, "rankers": rankers}})
    assert answer.good is False
    assert answer.sentence.startswith("No, worse: of 100 shoppers 10.0 find")
    rankers["popularity"] = figure(0.2, (-0.1, -0.25, 0.05))
    assert better_than_best_sellers({"evaluation": {"k": 12, "users": 9, "rankers": rankers}}).good is None


def test_the_reason_without_figures_is_the_true_one() -> None:
    assert unmeasured({"training": {}}) == "there are no events"
    assert unmeasured({"training": {"until": "2026-01-01"}}).startswith("too few events")
    assert unmeasured({"warm_start": {"starts": []}, "training": {"until": "2026-01-01"}}).startswith(
        "a warm start"
    )
    nothing = fix_first({"training": {}}, 100, {"image": 7, "text": 0, "category": 9})
    assert nothing.sentence.startswith("Events: 0 were read")
    assert "categories: 9 of 100 products (9.0 %) have no category" in nothing.sentence
    complete = fix_first({"training": {"until": "2026"}}, 100, dict.fromkeys(("image", "text", "category"), 0))
    assert complete.good


def test_the_terminal_leads_with_the_answers_in_80_columns(
    demo_bundles: Path, rec: Recommender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["recommender", "evaluate", str(demo_bundles), *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    short = shown()
    assert max(map(len, short.splitlines())) <= 80
    words = " ".join(short.split())
    for answer in headline(rec):
        assert f"{answer.question} {answer.sentence}" in words
    assert words.index(headline(rec)[0].question) < words.index("recall@12 95 % interval")
    assert "training.category.loss" not in short
    assert "training.category.loss" in shown("--verbose")


def test_the_two_figures_of_new_products_have_one_sentence_each(rec: Recommender) -> None:
    evaluation = rec.manifest.metrics["evaluation"]
    lines = new_product_lines(evaluation)
    assert lines
    for line in lines:
        assert line.endswith((OF_NEW, AMONG_NEW))
        assert line in " ".join(short_table(evaluation).split())


def test_lists_of_an_evaluation_count_new_products() -> None:
    """Everybody's future is a new product; of four places one is new in the lists that are drawn here."""
    train = events([("a", 0, 0), ("b", 1, 1)])
    test = events([("a", 5, 9), ("b", 6, 9)])

    class Fixed:
        n, layout = 10, Layout({"image": 2})
        weights: dict[str, Any] = {"user": {"image": 1.0}}  # noqa: RUF012
        manifest = SimpleNamespace(metrics={}, extra={})
        segment = SimpleNamespace(vectors=np.ones((10, 2), np.float32), present=np.ones((10, 1), bool))
        attributes = SimpleNamespace(id_of="{:04}".format, names=[])
        planner = SimpleNamespace(budgets=Budgets())

        def resolve_many(self, requests: Any) -> Any:
            return list(requests)

        def run_resolved(self, resolved: Any, rules: Any) -> Any:
            rows = np.full((len(resolved), rules.k), -1, np.int32)
            rows[:, :2] = [0, 9]
            return SimpleNamespace(rows=rows)

    figures = evaluate(Fixed(), train, test, k=4, baselines=[]).to_dict()
    assert figures["cold_product_share"] == 0.8
    assert figures["rankers"]["hybrid"]["cold_share"] == 0.5
