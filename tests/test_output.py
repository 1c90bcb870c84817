"""Recommendations, metrics and the summary of a fit, as the command line shows them."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from recommender.commands.output import show_answer, show_figures
from recommender.commands.summary import FitSummary
from recommender.ranking.results import Reason, Recommendation, Recommendations

PRODUCTS = {"001": {"title": "Oak chair", "price": 64.9}, "2": {"title": "x" * 99, "price": None}}


def answer(*items: Recommendation) -> Recommendations:
    return Recommendations(
        items, "similar", "annoy+graph", 1834, 400, "20261123T101500Z-3f9ac2d1", warnings=("odd",)
    )


def test_results_are_a_table_with_plan_and_warnings() -> None:
    shown = show_answer(answer(Recommendation("001", 1, 0.5), Recommendation("2", 2, -0.25)), PRODUCTS.__getitem__)
    head, header, first, second, note = shown.splitlines()
    assert head == "similar · 2 of 1,834 eligible · annoy+graph, 400 candidates · 20261123T101500Z-3f9ac2d1"
    assert header.split() == ["score", "id", "title", "price"]
    assert first.split() == ["1", "0.5000", "001", "Oak", "chair", "64.90"]
    assert second.split() == ["2", "-0.2500", "2", "x" * 59 + "…"]
    assert first.index("Oak") == second.index("xxx")
    assert note == "note: odd"


def test_parts_are_sorted_and_reasons_are_sentences() -> None:
    item = Recommendation(
        "001",
        1,
        0.2,
        {"image": -0.1, "text": 0.3, "prior": 0.0},
        (Reason("text_similarity", "2", 1.0),),
        "Reads like 2",
    )
    lines = [line.strip() for line in show_answer(answer(item), PRODUCTS.__getitem__).splitlines()]
    assert "text +0.3000  image -0.1000" in lines
    assert "Reads like 2" in lines


def test_empty_results_are_printed() -> None:
    assert show_answer(answer(), PRODUCTS.__getitem__).startswith("similar · 0 of 1,834 eligible")


def test_mappings_of_values_make_a_table_and_others_lines() -> None:
    by = {"hybrid": {"ndcg@10": 0.25, "interval": [0.125, 0.5]}, "popularity": {"ndcg@10": None}}
    shown = show_figures({"seconds": {"encode": 12.5, "fit": 3}, "by": by, "curve": [{"a": 1}, {"a": 1234.5}]})
    assert shown.splitlines() == [
        "seconds.encode  12.5000",
        "seconds.fit  3",
        "",
        "by          ndcg@10          interval",
        "hybrid       0.2500  0.1250 to 0.5000",
        "popularity        –",
        "",
        "curve      a",
        "1          1",
        "2      1,234",
    ]


def test_a_terminal_gets_styles_and_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    shown = show_answer(
        answer(Recommendation("2", 1, 0.5, {"image": 0.5}, (), "Looks like 1")), PRODUCTS.__getitem__
    )
    assert "\x1b[" in shown
    assert max(len(line) for line in plain(shown)[1:]) <= 60


def plain(shown: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()


def test_wide_characters_keep_columns_aligned() -> None:
    products = {"1": {"title": "橡木椅", "price": 1.0}, "2": {"title": "Oak", "price": 2.0}}
    shown = show_answer(answer(Recommendation("1", 1, 0.5), Recommendation("2", 2, 0.5)), products.__getitem__)
    first, second = shown.splitlines()[2:4]
    assert len(first) + 3 == len(second)  # each of the three characters takes two columns


INTERVAL = {"mean": 0.25, "low": 0.2, "high": 0.3}
LEAD = {"mean": 0.1, "low": 0.05, "high": 0.15}


def published(metrics: dict) -> SimpleNamespace:
    return SimpleNamespace(manifest=SimpleNamespace(metrics=metrics), generation="G", ids=["a b", "c"])


def rankers(lead: dict) -> dict:
    popularity = {"mean": 0.15, "low": 0.1, "high": 0.2, "hybrid_lead": lead}
    return {
        "hybrid": {"all": dict.fromkeys(("recall", "ndcg", "hit_rate"), INTERVAL)},
        "popularity": {"all": dict.fromkeys(("recall", "ndcg", "hit_rate"), popularity)},
    }


def test_fit_ends_with_quality_time_and_the_next_command() -> None:
    metrics = {
        "evaluation": {"k": 12, "users": 400, "queries": 400, "rankers": rankers(LEAD)},
        "seconds": {"reading": 1.0, "encoding": 70.4, "towers": 3.2, "tuning": 2.0},
    }
    summary = FitSummary.of(published(metrics), Path("bundles"), 3723.0)
    assert str(summary).splitlines() == [
        "published G in bundles",
        "quality  Yes: of 100 shoppers 25.0 find something they later chose among 12 recommendations, 15.0 among"
        " 12 best sellers; the difference is +10.0 (95 % interval +5.0 to +15.0, 400 shoppers).",
        "time     1 h 2 min (encoding 1 min 10 s, towers 3 s, tuning 2 s)",
        "next     recommender similar bundles 'a b' or recommender serve bundles",
    ]
    assert summary.to_dict()["quality"]["recall@12"] == {**INTERVAL, "popularity": 0.15, "lead": LEAD}


def test_a_lead_that_is_not_significant_is_not_called_better() -> None:
    unclear = rankers({"mean": 0.1, "low": -0.1, "high": 0.3})
    metrics = {"evaluation": {"k": 12, "users": 40, "queries": 40, "rankers": unclear}}
    assert "quality  Not shown: of 100 shoppers" in str(FitSummary.of(published(metrics), Path("bundles"), 3))


def test_a_baseline_that_is_ahead_is_named_before_the_quality() -> None:
    figures = rankers({"mean": -0.01, "low": -0.02, "high": -0.005})
    figures["popularity"]["group"] = "baseline"
    summary = FitSummary.of(
        published({"evaluation": {"k": 12, "users": 40, "queries": 40, "rankers": figures}}), Path("bundles"), 3
    )
    lines = str(summary).splitlines()
    assert lines[1] == (
        "Ahead of the hybrid in recall@12: popularity by 0.0100 (significant). "
        "Ahead of the hybrid in hit_rate@12: popularity by 0.0100 (significant)."
    )
    assert lines[2].startswith("quality  No, worse: ")


def test_fit_without_events_says_so_and_shows_precision_by_hidden_attributes_but_no_recall_of_the_index() -> None:
    found = {"precision": 0.42, "low": 0.4, "high": 0.44, "chance": 0.05, "queries": 90}
    metrics = {"evaluation": {}, "recall": {"recall": 0.966}, "training": {"label_precision": {"color": found}}}
    shown = str(FitSummary.of(published(metrics), Path("bundles"), 3))
    assert shown.splitlines()[1] == (
        "quality  Not measured: there are no events. Of 10 similar products 4.2 share the color, "
        "which was hidden; 0.5 would by chance."
    )
    assert "96.6" not in shown
