"""Batch files hold exactly what was answered, or are not there at all."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.batch import by_user, chunks, write_similar, write_users
from recommender.errors import RequestError
from recommender.events import Event
from recommender.ranking.results import RecommendationTable

DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Neighbours:
    """A recommender by rule: like item i are i+1, i+2 … as far as there are any; for a user, after the last."""

    def __init__(self, n: int) -> None:
        self.ids = [f"{row:03d}" for row in range(n)]  # leading zeros must survive
        self.calls: list[int] = []

    def similar_many(self, item_ids: Sequence[str], k: int, **options: Any) -> RecommendationTable:
        self.calls.append(len(item_ids))
        firsts = np.array([self.ids.index(item_id) + 1 for item_id in item_ids])
        rows = firsts[:, None] + np.arange(k)
        known = rows < len(self.ids)
        rows = np.where(known, rows, -1).astype(np.int32)
        names = np.array([[self.ids[row] if row >= 0 else None for row in line] for line in rows], dtype=object)
        scores = np.where(known, 1 / (1 + np.arange(k)), np.nan)
        return RecommendationTable(rows, scores, names, ["similar"] * len(item_ids))

    def recommend_many(self, histories: Sequence[list[Event]], k: int, **options: Any) -> RecommendationTable:
        return self.similar_many([history[-1].item_id for history in histories], k, **options)


def read(path: Path) -> pd.DataFrame:
    readers = {
        ".parquet": pd.read_parquet,
        ".csv": lambda p: pd.read_csv(p, dtype={"seed_item_id": str, "item_id": str}),
        ".jsonl": lambda p: pd.DataFrame([json.loads(line) for line in p.read_text().splitlines()]),
    }
    return readers[path.suffix](path)


@pytest.mark.parametrize("extension", ["parquet", "csv", "jsonl"])
def test_every_format_holds_the_same_answers(tmp_path: Path, extension: str) -> None:
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


def test_questions_go_in_chunks(tmp_path: Path) -> None:
    rec = Neighbours(10)
    write_similar(rec, tmp_path / "recs.csv", k=1, chunk=4)
    assert rec.calls == [4, 4, 2]


def test_users_are_answered_from_their_histories(tmp_path: Path) -> None:
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
        def similar_many(self, item_ids: Sequence[str], k: int, **options: Any) -> RecommendationTable:
            if self.calls:
                raise RuntimeError("half way")
            return super().similar_many(item_ids, k)

    out = tmp_path / "recs.jsonl"
    out.write_text("old")
    with pytest.raises(RuntimeError, match="half way"):
        write_similar(Failing(10), out, k=1, chunk=4)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_an_unknown_extension_is_refused_before_any_question(tmp_path: Path) -> None:
    rec = Neighbours(3)
    with pytest.raises(RequestError, match=r"recs\.xlsx.*\.parquet, \.csv, \.jsonl"):
        write_similar(rec, tmp_path / "recs.xlsx")
    assert rec.calls == []
    assert list(tmp_path.iterdir()) == []


def test_no_answers_make_a_file_with_the_columns(tmp_path: Path) -> None:
    assert write_similar(Neighbours(0), tmp_path / "recs.parquet") == 0
    assert list(read(tmp_path / "recs.parquet").columns)[:2] == ["seed_item_id", "rank"]


@given(st.lists(st.integers()), st.integers(1, 5))
def test_chunks_are_the_items_again(items: list[int], size: int) -> None:
    some = list(chunks(items, size))
    assert [item for part in some for item in part] == items
    assert all(len(part) == size for part in some[:-1])
    assert all(0 < len(part) <= size for part in some)
