"""What the command line shows of answers and figures."""

from recommender.commands.output import align, show_answer, show_figures
from recommender.ranking.results import Reason, Recommendation, Recommendations

PRODUCTS = {"001": {"title": "Oak chair", "price": 64.9}, "2": {"title": "x" * 99, "price": None}}


def answer(*items: Recommendation) -> Recommendations:
    return Recommendations(
        items, "similar", "annoy+graph", 1834, 400, "20261123T101500Z-3f9ac2d1", warnings=("odd",)
    )


def test_an_answer_is_a_table_with_its_plan_and_warnings() -> None:
    shown = show_answer(answer(Recommendation("001", 1, 0.5), Recommendation("2", 2, -0.25)), PRODUCTS.__getitem__)
    head, first, second, note = shown.splitlines()
    assert head == "similar · 2 of 1,834 eligible · annoy+graph, 400 candidates · 20261123T101500Z-3f9ac2d1"
    assert first.split() == ["1", "0.5000", "001", "Oak", "chair", "64.90"]
    assert second.split() == ["2", "-0.2500", "2", "x" * 59 + "…"]
    assert first.index("Oak") == second.index("xxx")
    assert note == "note: odd"


def test_parts_are_shown_largest_first_and_reasons_in_words() -> None:
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


def test_no_items_still_make_an_answer() -> None:
    assert show_answer(answer(), PRODUCTS.__getitem__).startswith("similar · 0 of 1,834 eligible")


def test_alike_figures_make_a_table_and_others_lines() -> None:
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


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert align([["a", "1"], ["bbb", "22"]], right={1}) == ["a     1", "bbb  22"]
    assert align([], right={0}) == []
