"""Batch files hold exactly the results, or do not exist."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recommender
from recommender.batch import by_user, chunks, write_similar, write_users
from recommender.errors import RequestError
from recommender.events import Event
from recommender.ranking.request import Request
from recommender.ranking.results import RecommendationTable
from recommender.recommender import Recommender

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


class Neighbours:
    """A recommender by rule: similar to item i are i+1, i+2 …, as far as there are any."""

    def __init__(self, n: int) -> None:
        self.ids = [f"{row:03d}" for row in range(n)]  # leading zeros must survive
        self.calls: list[int] = []

    def run_many(self, requests: Sequence[Request]) -> RecommendationTable:
        self.calls.append(len(requests))
        table = RecommendationTable.empty(["similar"] * len(requests), requests[0].k)
        for position, request in enumerate(requests):
            first = self.ids.index(request.events[-1].item_id) + 1
            rows = np.arange(first, min(first + request.k, len(self.ids)), dtype=np.int32)
            table.put(position, rows, 1 / (1 + np.arange(len(rows))), None, ())
        return table.with_ids(self.ids.__getitem__)


def read(path: Path) -> pd.DataFrame:
    readers = {
        ".parquet": pd.read_parquet,
        ".csv": lambda p: pd.read_csv(p, dtype={"seed_item_id": str, "item_id": str}),
        ".jsonl": lambda p: pd.DataFrame([json.loads(line) for line in p.read_text().splitlines()]),
    }
    return readers[path.suffix](path)


@pytest.mark.parametrize("extension", ["parquet", "csv", "jsonl"])
def test_every_format_holds_the_same_results(tmp_path: Path, extension: str) -> None:
    out = tmp_path / f"recs.{extension}"
    assert write_similar(Neighbours(4), out, k=2, chunk=3) == 5  # 2 + 2 + 1 + 0
    assert read(out).to_dict("list") == {
        "seed_item_id": ["000", "000", "001", "001", "002"],
        "rank": [1, 2, 1, 2, 1],
        "item_id": ["001", "002", "002", "003", "003"],
        "score": [1.0, 0.5, 1.0, 0.5, 1.0],
        "strategy": ["similar"] * 5,
    }
    assert list(tmp_path.iterdir()) == [out]


def test_requests_go_in_chunks(tmp_path: Path) -> None:
    rec = Neighbours(10)
    write_similar(rec, tmp_path / "recs.csv", k=1, chunk=4)
    assert rec.calls == [4, 4, 2]


def test_users_get_recommendations_from_their_histories(tmp_path: Path) -> None:
    events = [
        Event("003", "view_item", DAY.replace(day=2), "u2"),
        Event("001", "view_item", DAY.replace(day=3), "u1"),
        Event("000", "view_item", DAY, "u1"),
        Event("002", "view_item", DAY),
    ]
    histories = by_user(events)
    assert {user: [e.item_id for e in history] for user, history in histories.items()} == {
        "u1": ["000", "001"],
        "u2": ["003"],
    }
    write_users(Neighbours(5), histories, tmp_path / "recs.parquet", k=1)
    frame = read(tmp_path / "recs.parquet")
    assert frame[["user_id", "item_id"]].to_numpy().tolist() == [["u1", "002"], ["u2", "004"]]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    class Failing(Neighbours):
        def run_many(self, requests: Sequence[Request]) -> RecommendationTable:
            if self.calls:
                raise RuntimeError("half way")
            return super().run_many(requests)

    out = tmp_path / "recs.jsonl"
    out.write_text("old")
    with pytest.raises(RuntimeError, match="half way"):
        write_similar(Failing(10), out, k=1, chunk=4)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_an_unknown_extension_is_refused_before_any_request(tmp_path: Path) -> None:
    rec = Neighbours(3)
    with pytest.raises(RequestError, match=r"recs\.xlsx.*\.parquet, \.csv, \.jsonl"):
        write_similar(rec, tmp_path / "recs.xlsx")
    assert rec.calls == []
    assert list(tmp_path.iterdir()) == []


def test_no_results_make_a_file_with_the_columns(tmp_path: Path) -> None:
    assert write_similar(Neighbours(0), tmp_path / "recs.parquet") == 0
    assert list(read(tmp_path / "recs.parquet").columns)[:2] == ["seed_item_id", "rank"]


@given(st.lists(st.integers()), st.integers(1, 5))
def test_chunks_concatenate_to_the_items(items: list[int], size: int) -> None:
    some = list(chunks(items, size))
    assert [item for part in some for item in part] == items
    assert all(len(part) == size for part in some[:-1])
    assert all(0 < len(part) <= size for part in some)


@pytest.mark.parametrize(
    "options",
    [
        {"diversity": {"mmr": 0.5}},
        {"diversity": {"max_per": {"brand": 1}}},
        {"filter": "brand: SAME_AS_SEED"},
        {"filter": "price < 60", "explain": True},
        {"boost": [{"when": "brand: SAME_AS_SEED", "add": 0.3}], "variants": "all"},
    ],
    ids=str,
)
def test_a_batch_honours_what_a_single_request_does(rec: Recommender, tmp_path: Path, options: dict) -> None:
    out = tmp_path / "recs.parquet"
    write_similar(rec, out, k=4, item_ids=rec.ids[::7], **options)
    for seed, lines in read(out).groupby("seed_item_id"):
        single = rec.similar(seed, 4, plan="exact", **options)
        assert lines["item_id"].tolist() == single.item_ids
        assert lines["score"].tolist() == [item.score for item in single]
        if options.get("explain"):
            assert lines["reason"].tolist() == [item.text for item in single]
            assert [json.loads(parts) for parts in lines["parts"]] == [item.parts for item in single]


@pytest.mark.parametrize("strategy", ["complementary", "cart", "session", "recently_viewed", "popular", "new"])
def test_a_batch_of_users_takes_every_strategy(rec: Recommender, tmp_path: Path, strategy: str) -> None:
    history = [Event(item_id, "add_to_cart", DAY) for item_id in rec.ids[:3]]
    out = tmp_path / "recs.parquet"
    write_users(rec, {"u": history, "nobody": []}, out, k=3, strategy=strategy)
    lines = read(out)
    for user, events in (("u", history), ("nobody", [])):
        single = rec.recommend(events, 3, strategy=strategy, plan="exact")
        own = lines[lines["user_id"] == user]
        assert own["item_id"].tolist() == single.item_ids
        assert set(own["strategy"]) == {single.strategy}


def test_what_a_batch_cannot_honour_is_refused_by_name(rec: Recommender, tmp_path: Path) -> None:
    out = tmp_path / "recs.parquet"
    with pytest.raises(RequestError, match="history cannot be used in a batch"):
        write_similar(rec, out, history=["a"])
    with pytest.raises(RequestError, match="strategy search cannot be used in a batch"):
        write_users(rec, {}, out, strategy="search")
    with pytest.raises(TypeError, match="weigths"):
        write_similar(rec, out, weigths={})
    assert not out.exists()
