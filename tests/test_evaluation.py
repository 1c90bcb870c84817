"""`evaluate` on a recommender with known lists."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_events import events

from recommender.core.blocks import Layout
from recommender.evaluation import EvaluationReport, evaluate, frames, ranking_task, table
from recommender.evaluation.ablation_text import describe_ablation
from recommender.evaluation.beyond_accuracy import diversity, popular_share
from recommender.evaluation.table import AMONG_NEW
from recommender.retrieval.planner import Budget, Budgets

N, CLUB = 80, 20  # four clubs of twenty rows; the later half of each has no event yet


class Product:
    """Recommends the items of the history's club in order of row; by Annoy, nothing."""

    n = N
    weights = {"user": {"image": 0.5, "behaviour": 0.5, "prior": 0.1}}  # noqa: RUF012
    attributes = SimpleNamespace(id_of="{:04}".format, names=[])
    layout = Layout({"image": 4, "behaviour": 1})
    planner = SimpleNamespace(budgets=Budgets(learned=Budget(16, 32, 300)))
    manifest = SimpleNamespace(metrics={}, extra={})
    segment = SimpleNamespace(
        vectors=np.hstack([np.repeat(np.eye(4, dtype=np.float32), CLUB, axis=0), np.ones((N, 1), np.float32)]),
        present=np.ones((N, 2), bool),
    )

    def resolve_many(self, requests):
        assert all(request.variants == "all" for request in requests)
        assert {event.event_name for request in requests for event in request.history} <= {"purchase"}
        return [request.history for request in requests]

    def run_resolved(self, histories, rules):
        k, only = rules.k, rules.filter
        allowed = set(range(N)) if only is None else {int(item_id) for item_id in only["must"][0]["ids"]}
        blind = rules.plan == "annoy" or (rules.weights or {}).get("behaviour") == 0
        rows = np.full((len(histories), k), -1, np.int32)
        for line, history in enumerate(histories):
            seen = {int(event.item_id) for event in history}
            start = min(seen) // CLUB * CLUB
            club = set() if blind else set(range(start, start + CLUB))
            best = sorted((club & allowed) - seen)[:k]
            rows[line, : len(best)] = best
        return SimpleNamespace(rows=rows)


def shop(users=200):
    """Each user has two of the club's first ten items, and then interacts with one old and one new item of it."""
    rng = np.random.default_rng(0)
    past, future = [], []
    for user in range(users):
        start = CLUB * (user % 4)
        old = start + rng.permutation(10)
        past += [(f"u{user:03}", old[0], 0), (f"u{user:03}", old[1], 1)]
        future += [(f"u{user:03}", old[2], 9), (f"u{user:03}", start + 10 + rng.integers(10), 9)]
    return events(past), events(future)


@pytest.fixture(scope="module")
def report():
    return evaluate(Product(), *shop(), k=18)


def test_a_perfect_recommender_has_recall_one(report):
    for candidates in ("all", "cold", "warm"):
        assert np.nanmean(report["hybrid"].values[candidates][:, 1]) == 1.0


def test_the_index_is_no_ranker_where_every_request_is_a_scan():
    product = Product()
    product.planner = SimpleNamespace(budgets=Budgets())
    assert "hybrid, annoy" not in {ranker.name for ranker in evaluate(product, *shop(20), k=18).rankers}


def test_metrics_do_not_depend_on_the_partition_size(report, monkeypatch):
    monkeypatch.setattr(ranking_task, "PARTITION_SIZE", 7)
    parts = evaluate(Product(), *shop(), k=18)
    for whole, part in zip(report.rankers, parts.rankers, strict=True):
        for kind, values in whole.values.items():
            np.testing.assert_array_equal(part.values[kind], values)
        assert part.coverage == whole.coverage


def test_components_and_baselines_are_rankers(report):
    assert report.names == [
        "hybrid",
        "hybrid, annoy",
        "hybrid, no prior",
        "image alone",
        "behaviour alone",
        "prior alone",
        "popularity",
        "popularity, last 30 days",
        "popularity, last 7 days",
        "ItemKNN + recency",
        "EASE + recency",
    ]
    assert np.nanmean(report["behaviour alone"].values["all"][:, 1]) == 1.0
    assert np.nanmean(report["hybrid, annoy"].values["all"][:, 1]) == 0.0


def test_the_summary_counts_queries_and_interactions(report):
    figures = report.to_dict()
    assert (figures["queries"], figures["users"], figures["n"]) == (200, 200, N)
    assert (figures["interactions"], figures["cold_share"]) == (400, 0.5)
    assert figures["rankers"]["hybrid"]["coverage"] == 1.0


def test_the_hybrids_lead_has_an_interval(report):
    figures = report.to_dict()["rankers"]
    assert figures["popularity"]["all"]["recall"]["hybrid_lead"]["low"] > 0
    assert figures["behaviour alone"]["all"]["recall"]["hybrid_lead"] == {"mean": 0, "low": 0, "high": 0}
    # events alone cannot tell cold items apart; among the warm, ItemKNN knows the clubs
    assert figures["ItemKNN + recency"]["cold"]["recall"]["mean"] < 0.7
    assert figures["ItemKNN + recency"]["warm"]["recall"]["mean"] > 0.9


def test_the_ablation_by_slice(report):
    ablation = report.to_dict()["ablation"]
    whole = ablation["all products"]
    assert (whole["queries"], whole["interactions"], whole["recall"]["mean"]) == (200, 400, 1.0)
    assert whole["recall_drop"]["behaviour"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert whole["recall_drop"]["image"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert ablation["new products"]["interactions"] == 200
    assert "products without a photo" not in ablation  # there are none
    sentences = report.ablation.describe()
    assert sentences["behaviour"].startswith(
        "The behaviour model adds 100% of the recall over all products: 100% in"
    )
    assert sentences["image"] == "Photos have no significant effect on the recall over all products."


def test_an_ablation_is_described_in_sentences():
    def slice_(recall, mean, low, high):
        return {"recall": {"mean": recall}, "recall_drop": {"image": {"mean": mean, "low": low, "high": high}}}

    slices = {
        "all products": slice_(0.11, 0.01, 0.005, 0.015),
        "product_type: Dresses": slice_(0.2, 0.04, 0.02, 0.06),
        "product_type: Socks": slice_(0.2, 0.015, 0.001, 0.029),
        "new products": slice_(0.1, -0.025, -0.04, -0.01),
    }
    assert describe_ablation(slices) == {
        "image": "Photos add 9% of the recall over all products: 20% in Dresses, it costs 25% in new products, "
        "no significant effect in Socks."
    }
    assert describe_ablation({}) == {}


def test_beyond_accuracy():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    assert diversity(np.array([[0, 1, -1], [0, 2, -1], [0, 3, -1], [0, -1, -1]]), vectors) == pytest.approx(1.0)
    assert diversity(np.array([[0, 1, 2]]), vectors) == pytest.approx(2 / 3)
    counts = np.array([9.0, *range(9)])
    assert popular_share(np.array([[0, 1], [0, -1]]), counts) == pytest.approx(2 / 3)


def test_lists_of_one_category_have_no_diversity(report):
    hybrid = report.to_dict()["rankers"]["hybrid"]
    assert hybrid["diversity"] == pytest.approx(0.0, abs=1e-6)
    assert hybrid["popular_share"] < report.to_dict()["rankers"]["popularity"]["popular_share"]


def test_metrics_are_json_and_print_as_a_table(report):
    figures = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert table(figures) == report.to_table()
    lines = {line.split("  ")[0]: line for line in report.to_table().splitlines()}
    assert "<" in lines["popularity (all time)"]
    assert "<" not in lines["hybrid"]
    header = next(line for line in report.to_table().splitlines() if "coverage" in line)
    columns = re.findall(r"recall@18(?: among \w+)?", header)
    assert columns == ["recall@18", *(f"recall@18 among {of}" for of in ("new", "known"))]
    assert AMONG_NEW in report.to_table()
    first, *_, details = report.to_table().splitlines()
    assert first == "Nothing is ahead of the hybrid in recall@18."
    assert details.startswith("chosen on validation: popularity all time; ItemKNN + recency recency")


def test_what_is_ahead_of_the_hybrid_is_named_first(report):
    figures = json.loads(json.dumps(report.to_dict()))
    bounds = {"popularity": (-0.02, -0.03, -0.01), "EASE + recency": (-0.001, -0.01, 0.008)}
    for name, (mean, low, high) in {**bounds, "hybrid, annoy": (-1, -1, -1)}.items():
        lead = {"mean": mean, "low": low, "high": high}
        figures["rankers"][name]["all"]["recall"]["hybrid_lead"] = lead
    assert table(figures).splitlines()[0] == (
        "Ahead of the hybrid in recall@18: popularity by 0.0200 (significant), "
        "EASE + recency by 0.0010 (not significant)."
    )


def test_metrics_and_ablation_as_frames(report):
    frame = report.to_frame("recall", "cold")
    assert list(frame.index) == report.names
    assert frame.loc["hybrid", ["recall", "hybrid_lead"]].tolist() == [1.0, 0.0]
    assert frame.loc["popularity", "lead_low"] > 0
    assert "popularity" in report._repr_html_()
    assert repr(report) == "<EvaluationReport: 11 rankers, 200 queries, k=18>"
    ablation = report.ablation.to_frame().set_index(["slice", "term"])
    assert ablation.loc[("all products", "behaviour"), "recall_drop"] == 1.0
    assert ablation.loc[("all products", "behaviour"), "significant"]
    assert not ablation.loc[("all products", "image"), "significant"]
    assert "significant" in report.ablation._repr_html_()
    slices = frames.slices(report.to_dict())
    assert slices.index[0] == "all products"
    assert slices.loc["new products", "interactions"] == 200
    assert frames.beyond_accuracy(report.to_dict()).loc["hybrid", "coverage"] == 1.0


def test_pooled_splits_keep_the_user_as_the_unit(report):
    twice = EvaluationReport.pool([report, report])
    once, both = report.to_dict(), twice.to_dict()
    assert (both["queries"], both["users"], both["interactions"]) == (400, 200, 800)
    assert len(both["split_dates"]) == 2
    for name in report.names:
        figure, pooled = (each["rankers"][name]["all"]["recall"] for each in (once, both))
        assert pooled["mean"] == pytest.approx(figure["mean"], abs=1e-6)
        assert pooled["std_error"] == pytest.approx(figure["std_error"], abs=1e-6)


def test_no_queries_are_an_empty_report():
    past, _ = shop(4)
    report = evaluate(Product(), past, events([("stranger", 0, 9)]))
    assert report.to_dict()["queries"] == 0
    assert report["hybrid"].values["all"].shape == (0, 4)
    assert "0 queries" in report.to_table()
    assert EvaluationReport.pool([report, report]).to_dict()["queries"] == 0
    json.dumps(report.to_dict(), allow_nan=False)
