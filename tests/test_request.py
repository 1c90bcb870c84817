"""A request is checked once, at the door; one path answers one request and many."""

import inspect
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommender
from recommender import Recommender
from recommender.errors import RequestError, UnknownItemError
from recommender.ranking.request import STRATEGIES, Request

METHODS = ("similar", "recommend", "search", "explain", "similar_many", "recommend_many")


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"k": 0}, "k is 0; expected a whole number of at least 1"),
        ({"k": True}, "k is True"),
        ({"plan": "fast"}, "plan is 'fast'; expected one of auto, exact, annoy"),
        ({"stock": "yes"}, "stock is 'yes'; expected one of available, all"),
        ({"variants": "colapse"}, "did you mean 'collapse'"),
        ({"strategy": "caart"}, "did you mean 'cart'"),
        ({"fallback": ["populer"]}, "did you mean 'popular'"),
        ({"explain": "summary"}, "explain is 'summary'; expected True or False"),
        ({"weights": [1, 2]}, "weights is"),
        ({"exclude": "SKU-1"}, "exclude is one string, 'SKU-1'; expected a list of ids"),
        ({"exclude": [7]}, "item id 7 is of type int; ids are strings: read the column with dtype=str"),
        ({"items": [np.int64(7)]}, "item id .*7.* is of type int64"),
        ({"items": ["a"], "item_weights": [1.0, 2.0]}, "2 item_weights for 1 items"),
        ({"boost": [{"wen": "price < 5", "add": 1}]}, "boost is .*expected such as"),
        ({"boost": [{"when": "price < 5", "add": float("nan")}]}, "add is nan; expected a finite number"),
        ({"boost": [{"when": "price <", "add": 1}]}, "filter, character"),
        ({"filter": "price <"}, "filter, character"),
        ({"diversity": {"mrr": 0.3}}, "did you mean 'mmr'"),
        ({"pin": {0: "a"}}, "position of pin is 0; expected a whole number of at least 1"),
        ({"pin": ["a"]}, r"pin is \['a'\]; expected such as \{1: 'SKU-7'\}"),
        ({"diversity": "mmr"}, "diversity is 'mmr'; expected such as"),
        ({"text": ""}, "text is ''; expected a text that is not empty"),
        ({"text": 5}, "text is 5"),
        ({"exclude_purchased_days": 0}, "exclude_purchased_days is 0; expected a whole number of at least 1"),
        ({"fallback": "popular"}, "fallback is one string, 'popular'; expected a list"),
        ({"items": "SKU-1"}, "items is one string, 'SKU-1'; expected a list of ids"),
        ({"pin": {1: 5}}, "item id 5 is of type int; ids are strings: .*; did you mean '5'"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_when_the_request_is_made(members: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Request(**members)


@pytest.mark.parametrize("method", METHODS)
def test_public_methods_have_explicit_keyword_parameters(method: str) -> None:
    function = getattr(Recommender, method)
    parameters = inspect.signature(function).parameters.values()
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters)
    documented = inspect.getdoc(function) or ""
    for parameter in parameters:
        if parameter.name == "self":
            continue
        assert parameter.annotation is not parameter.empty, parameter.name
        assert parameter.name in documented, f"{method} does not document {parameter.name}"
    with pytest.raises(TypeError, match="weigths"):
        function(None, [], [], weigths={})


def test_an_integer_id_is_refused_with_the_remedy(rec: Recommender) -> None:
    frame = pd.DataFrame({"item_id": [3, 5]})
    for call in (
        lambda: rec.similar(5),  # type: ignore[arg-type]
        lambda: rec.recommend([5]),
        lambda: rec.recommend(frame),
        lambda: rec.similar_many([5]),  # type: ignore[list-item]
        lambda: rec.explain([5], []),  # type: ignore[list-item]
        lambda: rec.product(5),  # type: ignore[arg-type]
    ):
        with pytest.raises(RequestError, match="dtype=str"):
            call()


def test_strategies_in_python(rec: Recommender) -> None:
    seed = rec.ids[0]
    for strategy in STRATEGIES:
        if strategy == "search":
            continue
        items = [seed] if "similar" in strategy else []
        result = rec.recommend([] if items else [seed], 5, strategy=strategy, items=items)
        assert len(result) == 5 or strategy in ("recently_viewed", "buy_again")
        assert result.strategy in (strategy, "popular")


def test_a_session_alone_counts_for_the_session_strategy(rec: Recommender) -> None:
    history, session = [rec.ids[3]], [rec.ids[40], rec.ids[41]]
    result = rec.recommend(history, 8, strategy="session", session=session)
    alone = rec.recommend(session, 8, exclude=history)
    assert result.item_ids == alone.item_ids
    assert rec.recommend(session, 8, strategy="session").item_ids == rec.recommend(session, 8).item_ids


def test_recent_purchases_are_excluded(rec: Recommender) -> None:
    now = pd.Timestamp("2026-06-01", tz="UTC").to_pydatetime()
    history = [
        {"item_id": rec.ids[0], "event_name": "purchase", "timestamp": "2026-05-30T00:00:00Z"},
        {"item_id": rec.ids[1], "event_name": "purchase", "timestamp": "2026-03-01T00:00:00Z"},
    ]
    request = Request(strategy="popular", k=80, history=history, exclude_history=False, now=now, variants="all")
    assert rec.ids[0] in rec.run(request).item_ids
    request = Request(
        strategy="popular",
        k=80,
        history=history,
        exclude_history=False,
        exclude_purchased_days=7,
        now=now,
        variants="all",
    )
    ids = rec.run(request).item_ids
    assert rec.ids[0] not in ids
    assert rec.ids[1] in ids


def test_the_only_item_must_be_known(rec: Recommender) -> None:
    with pytest.raises(UnknownItemError):
        rec.similar("nowhere")
    with pytest.raises(UnknownItemError):
        rec.recommend(items=["nowhere"])
    assert rec.recommend(["nowhere"]).fallback_used == "popular"


def test_iterators_and_arrays_are_read_once(rec: Recommender) -> None:
    seed, *others = rec.similar(rec.ids[0], 4, variants="all").item_ids
    assert rec.recommend(iter(rec.ids[:2]), 5).item_ids == rec.recommend(rec.ids[:2], 5).item_ids
    for excluded in (iter(others), np.array(others), pd.Series(others), set(others)):
        # the strategy makes a second request of the first
        request = Request(strategy="visually_similar", items=iter([seed]), exclude=excluded, k=80, variants="all")
        assert not set(others) & set(rec.run(request).item_ids)
    trending = iter([(rec.ids[5], 1.0)])
    assert rec.recommend(k=1, strategy="trending", trending=trending, variants="all").item_ids == [rec.ids[5]]


def test_a_moment_without_a_zone_is_utc() -> None:
    now = datetime(2026, 6, 1)
    assert Request(now=now).moment == datetime(2026, 6, 1, tzinfo=UTC)


def test_tables_are_frames(rec: Recommender) -> None:
    frame = rec.products()
    assert frame["id"].tolist() == rec.ids
    assert len(frame) == len(rec)
    vectors = rec.vectors("category")
    assert vectors.shape == (len(rec), rec.layout.dims["category"])
    assert vectors.index.tolist() == rec.ids
    with pytest.raises(RequestError, match="did you mean 'category'"):
        rec.vectors("categroy")
    table = rec.similar_many(rec.ids[:2], 3).to_frame(rec.ids[:2], "seed")
    assert table.columns.tolist() == ["seed", "rank", "item_id", "title", "price", "score", "strategy"]
    assert len(table) == 6
    assert all(rec.product(row.item_id)["title"] == row.title for row in table.itertuples())
    assert all(rec.product(row.item_id)["price"] == row.price for row in table.itertuples())
    assert f"{len(rec)} products" in repr(rec)


requests = st.fixed_dictionaries(
    {
        "k": st.integers(1, 12),
        "filter": st.sampled_from([None, "price < 60", "brand: SAME_AS_SEED", "NOT product_type: EXISTS"]),
        "weights": st.sampled_from([None, {"image": 1.0}, {"prior": 3.0, "text": 0.5}]),
        "explain": st.booleans(),
        "variants": st.sampled_from(["collapse", "all"]),
        "stock": st.sampled_from(["available", "all"]),
        "boost": st.sampled_from([(), [{"when": "price < 40", "add": 0.2}]]),
        "diversity": st.sampled_from([None, {"mmr": 0.4}, {"max_per": {"brand": 1}}]),
        "pin": st.sampled_from([None, {2: "PIN"}]),
    }
)


@settings(max_examples=40)
@given(st.lists(st.tuples(requests, st.integers(0, 79)), min_size=1, max_size=5))
def test_many_requests_equal_single_requests(rec: Recommender, drawn: list[tuple[dict, int]]) -> None:
    made = []
    for members, row in drawn:
        pin = members["pin"] and {2: rec.ids[30]}
        made.append(Request(**{**members, "pin": pin}, strategy="similar", items=[rec.ids[row]], plan="exact"))
    table = rec.run_many(made)
    for line, request in enumerate(made):
        single = rec.run(request)
        ids = [item_id for item_id in table.item_ids[line].tolist() if item_id is not None]
        assert ids == single.item_ids
        assert table.scores[line, : len(ids)].tolist() == [item.score for item in single]
        assert table.strategies[line] == single.strategy
        assert table.warnings[line] == single.warnings
        if request.explain:
            assert table.items[line] == single.items
