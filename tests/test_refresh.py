"""`recommender refresh`: new events are counted as a fit counts them, by parts or at once."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommender
from recommender.bundle import current, generations, open_bundle, rollback
from recommender.bundle.delta import REFRESH
from recommender.core.segment import Segment
from recommender.errors import BundleError, DataError
from recommender.events import PLAYED, Event
from recommender.retrieval.planner import Budget
from recommender.stores import Store
from tests.made_bundles import draw_product, publish_products
from tests.refreshable import (
    ITEM_WEIGHTS,
    USER_WEIGHTS,
    Line,
    draw_lines,
    frame_of,
    ids_of,
    interactions_of,
    publish_shop,
    refresher,
    write,
)
from training.cooccurrence import pairs
from training.new_products.factors import with_events
from training.refresh import neighbours
from training.refresh.statistics import CountStatistics
from training.retrieval.neighbours import with_neighbours
from training.update.compact import compact
from training.update.delta import EmbeddedProducts, publish_delta

N = 20
BUDGET = Budget(width=8, seeds=8, search_k=50, steps=2, entries=4)
LOG: list[Line] = [(0, 0, 0, "purchase"), (0, 1, 1, "purchase"), (1, 1, 2, "view_item"), (1, 2, 3, "purchase")]
NEW: list[Line] = [(user, row, 10 + user, "purchase") for user in range(2, 6) for row in (4, 17)]


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bundle whose fit had the events of `LOG`."""
    publish_shop(tmp_path / "bundles", write(tmp_path / "log.csv", LOG))
    return tmp_path / "bundles"


def assert_counted_alike(found: Segment, expected: Segment) -> None:
    for name in ("cooccurrence", "complements"):
        table, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(table.indptr, other.indptr, name)
        np.testing.assert_array_equal(table.indices, other.indices, name)
        np.testing.assert_allclose(table.values, other.values, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(found.prior, expected.prior, rtol=1e-6)


def counted_at_once(root: Path, frame: pd.DataFrame) -> Segment:
    """Return the products of a bundle with the counts that a fit on these events would publish."""
    rec, statistics = recommender.load(root), CountStatistics.open(open_bundle(root))
    interactions = interactions_of(frame, N)
    segment, _ = statistics.with_counts(rec.segment, statistics.count(interactions, N), interactions)
    known = with_events(interactions, N)
    return statistics.new_products.applied_to_counts(rec.item_tower, segment, known, rec.manifest.seed)[1]


def assert_lists_begin_the_ranking(segment: Segment) -> None:
    """The neighbour table has the beginning of the exact ranking of each product."""
    full = with_neighbours(replace(segment, neighbours=None), {"item": ITEM_WEIGHTS})
    for row in range(segment.n):
        retained = segment.neighbours[row] >= 0
        size = int(retained.sum())
        assert retained[:size].all()
        np.testing.assert_array_equal(segment.neighbours[row][:size], full.neighbours[row][:size])
        np.testing.assert_array_equal(segment.neighbour_scores[row][:size], full.neighbour_scores[row][:size])


@given(st.integers(0, 10_000), st.lists(st.integers(1, 60), min_size=1, max_size=3), st.booleans())
@settings(max_examples=25)
def test_a_refresh_by_parts_equals_counting_at_once(seed: int, cuts: list[int], in_order: bool) -> None:
    generator = np.random.default_rng(seed)
    lines = [*dict.fromkeys(draw_lines(generator, N, 60))]
    if not in_order:  # late events, too
        lines = [lines[place] for place in generator.permutation(len(lines))]
    first = max(lines, key=lambda line: line[3] == "purchase")
    parts = [part.tolist() for part in np.split(np.array(lines, dtype=object), sorted(cuts)) if len(part)]
    parts[0] = [first, *parts[0]] if first not in map(tuple, parts[0]) else parts[0]
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "MAX_RISEN", 3)
        patch.setattr(neighbours, "MIN_SHARE", 0.0)
        folder = Path(name)
        log = write(folder / "log.csv", parts[0])
        publish_shop(folder / "parts", log, seed)
        publish_shop(folder / "once", log, seed)
        for number, part in enumerate(parts[1:]):
            refresher(folder / "parts", write(folder / f"{number}.csv", part)).refresh()
        everything = [*dict.fromkeys(tuple(line) for part in parts for line in part)]
        refresher(folder / "once", write(folder / "all.csv", everything)).refresh()
        by_parts, once = recommender.load(folder / "parts"), recommender.load(folder / "once")
        assert_counted_alike(by_parts.segment, once.segment)
        frame = frame_of(everything)
        assert_counted_alike(by_parts.segment, counted_at_once(folder / "parts", frame))
        assert_lists_begin_the_ranking(by_parts.segment)
        described = [rec.manifest.extra[REFRESH]["events"] for rec in (by_parts, once)]
        assert [each["count"] for each in described] == [len(frame)] * 2
        assert described[0]["digest"] == described[1]["digest"]


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_the_compiled_counts_are_those_of_numpy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    events = interactions_of(frame_of(draw_lines(generator, N, int(generator.integers(1, 900)))), N)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "MAX_PARTNERS", 5)
        compiled = pairs.count_pairs(events, N)
        patch.setattr(pairs, "kernels", lambda: None)
        plain = pairs.count_pairs(events, N)
        normalized = pairs.normalize_counts(plain, events)
    np.testing.assert_allclose(compiled.toarray(), plain.toarray(), rtol=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "MAX_PARTNERS", 5)
        np.testing.assert_array_equal(pairs.normalize_counts(plain, events).toarray(), normalized.toarray())


def test_an_interaction_changes_the_answers_of_other_shoppers(root: Path, tmp_path: Path) -> None:
    before = recommender.load(root)
    result = refresher(root, write(tmp_path / "new.csv", NEW)).refresh()
    after = recommender.load(root)
    assert (result.generation, result.added, result.unknown) == (after.generation, 8, 0)
    assert after.recommend(["p004"], k=1, weights=USER_WEIGHTS)[0].item_id == "p017"
    assert after.popular(2)[0].score > before.popular(2)[0].score * 0
    assert {item.item_id for item in after.popular(2)} == {"p004", "p017"}
    np.testing.assert_array_equal(after.segment.vectors, before.segment.vectors)
    assert after.weights == before.weights


@pytest.mark.parametrize("budget", [None, BUDGET])
def test_scores_are_exact_whatever_the_plan(tmp_path: Path, budget: Budget | None) -> None:
    publish_shop(tmp_path / "bundles", write(tmp_path / "log.csv", LOG), budget=budget)
    refresher(tmp_path / "bundles", write(tmp_path / "new.csv", NEW)).refresh()
    rec = recommender.load(tmp_path / "bundles")
    for item_id in ids_of(N):
        lists = [rec.similar(item_id, 5, plan=plan) for plan in ("exact", "auto")]
        assert [*lists[0].item_ids] == [*lists[1].item_ids]
        assert [item.score for item in lists[0]] == [item.score for item in lists[1]]
    assert (rec.planner.index.codes is not None) == (budget is not None)
    if (codes := rec.planner.index.codes) is not None:
        d = rec.layout.d
        exact = np.column_stack([rec.segment.vectors, rec.segment.prior])
        residual = codes.codes[:, : d + 1] * codes.scales[: d + 1] - exact
        assert np.linalg.norm(residual, axis=1).max() <= codes.error


def test_the_same_events_again_change_nothing(root: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", NEW)
    assert refresher(root).refresh().generation is None, "those of the fit are counted"
    first = refresher(root, new).refresh()
    assert refresher(root, new).refresh().generation is None
    assert refresher(root).refresh().generation is None
    overlapping = write(tmp_path / "overlapping.csv", [*LOG[2:], *NEW[3:]])
    assert refresher(root, overlapping).refresh().generation is None
    assert current(root) == first.generation


def test_equal_events_of_one_file_count_as_often_as_it_has_them(root: Path, tmp_path: Path) -> None:
    twice = [(7, 3, 20, "purchase")] * 2
    assert refresher(root, write(tmp_path / "a.csv", twice)).refresh().events == len(LOG) + 2
    assert refresher(root, write(tmp_path / "b.csv", twice[:1])).refresh().generation is None
    assert refresher(root, write(tmp_path / "c.csv", [*twice, twice[0]])).refresh().events == len(LOG) + 3


def test_a_log_that_has_grown_is_counted_again(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "log.csv", [*LOG, *NEW])
    assert refresher(root).refresh().added == len(NEW)


def test_a_return_cancels_a_purchase_of_the_log(root: Path, tmp_path: Path) -> None:
    assert refresher(root, write(tmp_path / "new.csv", [(1, 2, 9, "refund")])).refresh().added == 0
    expected = counted_at_once(root, frame_of([*LOG, (1, 2, 9, "refund")]))
    assert_counted_alike(recommender.load(root).segment, expected)


def test_events_of_unknown_products_are_counted_apart(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unknown: list[Line] = [(1, 500, 9, "purchase"), (2, 500, 9, "view_item")]
    with caplog.at_level("INFO", "recommender"):
        refreshed = refresher(root, write(tmp_path / "new.csv", [*NEW, *unknown])).refresh()
    assert (refreshed.added, refreshed.unknown) == (8, 2)
    assert "2 events of unknown products are not counted" in str(refreshed)
    assert any("event of an unknown product: 2, such as" in message for message in caplog.messages)


def test_a_bundle_that_cannot_be_refreshed_serves_on(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    name = publish_products(tmp_path / "old", [draw_product(generator, item_id, []) for item_id in ids_of(4)])
    with pytest.raises(BundleError, match=r"cannot be refreshed: it was fitted .* Fit again, with events"):
        refresher(tmp_path / "old", write(tmp_path / "new.csv", NEW)).refresh()
    assert recommender.load(tmp_path / "old").generation == name


def test_events_that_were_counted_must_still_be_there(root: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", NEW)
    refresher(root, new).refresh()
    write(new, [(2, 5, 30, "purchase")])
    with pytest.raises(DataError, match=r"new\.csv had 8 events until .* 0 of them now: was it overwritten"):
        refresher(root, new).refresh()
    new.unlink()
    with pytest.raises(DataError, match=r"new\.csv are counted in this generation, and are not there any more"):
        refresher(root).refresh()
    write(new, NEW)
    (tmp_path / "log.csv").rename(tmp_path / "moved.csv")
    with pytest.raises(DataError, match=r"log\.csv are counted .* name the events of the fit with --config"):
        refresher(root).refresh()
    assert refresher(root, log=tmp_path / "moved.csv").refresh().generation is None


def test_an_empty_fit_of_products_is_an_error(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "log.csv", [(0, 500, 0, "purchase")])
    with pytest.raises(DataError, match="nothing can be counted"):
        refresher(root).refresh()


def test_events_of_a_store_are_counted_and_those_of_erased_users_are_not(
    root: Path, tmp_path: Path, store: Store
) -> None:
    def event(user: str, row: int, day: int) -> Event:
        moment = datetime(2026, 3, day, tzinfo=UTC)
        return Event(f"p{row:03}", "purchase", moment, user_id=user, event_id=f"{user}{row}")

    store.events.add([event(user, row, 1) for user in ("a", "b", f"{PLAYED}c") for row in (5, 6)])
    assert refresher(root, store=store.events).refresh().added == 4
    with pytest.raises(DataError, match="events of a store are counted in this generation; give its URL"):
        refresher(root).refresh()
    assert refresher(root, store=store.events).refresh().generation is None
    store.events.erase("a")
    store.events.erase("b")
    gone = refresher(root, store=store.events).refresh()
    assert gone.added == -4
    unknown = write(tmp_path / "unknown.csv", [(1, 500, 9, "purchase")])
    assert refresher(root, unknown, store=store.events).refresh().unknown == 1
    assert not len(recommender.load(root).segment.complements.row(5)[0]) or gone.events == len(LOG)


def embedded(root: Path, item_id: str, title: str = "t") -> EmbeddedProducts:
    rec = recommender.load(root)
    vectors, present, prior = (getattr(rec.segment, name)[3:4] for name in ("vectors", "present", "prior"))
    return EmbeddedProducts([item_id], vectors, present, prior, {"title": [title]}, [None])


def test_an_update_keeps_what_a_refresh_learned_and_the_other_way_round(root: Path, tmp_path: Path) -> None:
    refresher(root, write(tmp_path / "new.csv", NEW)).refresh()
    learned = recommender.load(root)
    publish_delta(learned, embedded(root, "p019x"), ["p007"])
    updated = recommender.load(root)
    assert updated.recommend(["p004"], k=1, weights=USER_WEIGHTS)[0].item_id == "p017"
    np.testing.assert_array_equal(updated.segment.prior[:N], learned.segment.prior)
    again = [(user, row, 40, "purchase") for user in (8, 9) for row in (2, 7)]
    frame = frame_of(again)
    added = frame.assign(item_id=frame["item_id"].replace("p007", "p019x"))
    added.to_csv(tmp_path / "added.csv", index=False)
    assert refresher(root, tmp_path / "added.csv").refresh().added == 4, "one that an update added has events now"
    both = recommender.load(root)
    assert both.recommend(["p002"], k=1, weights=USER_WEIGHTS)[0].item_id == "p019x"
    assert both.recommend(["p004"], k=1, weights=USER_WEIGHTS)[0].item_id == "p017"
    assert "p007" not in both
    for item_id in both.ids:
        assert [*both.similar(item_id, 5).item_ids] == [*both.similar(item_id, 5, plan="exact").item_ids]
    publish_delta(both, embedded(root, "p003", "another title"), [])
    assert recommender.load(root).recommend(["p002"], k=1, weights=USER_WEIGHTS)[0].item_id == "p019x"
    compact(root)
    compacted = recommender.load(root)
    assert REFRESH in compacted.manifest.extra
    assert [*compacted.recommend(["p002"], k=5).item_ids] == [*both.recommend(["p002"], k=5).item_ids]
    write(tmp_path / "later.csv", [(11, 5, 50, "purchase"), (11, 6, 50, "purchase")])
    assert refresher(root, tmp_path / "later.csv").refresh().added == 2
    assert recommender.load(root).recommend(["p002"], k=1, weights=USER_WEIGHTS)[0].item_id == "p019x"


def test_a_rollback_takes_back_a_refresh(root: Path, tmp_path: Path) -> None:
    before = current(root)
    new = write(tmp_path / "new.csv", NEW)
    refresher(root, new).refresh()
    assert rollback(root) == before
    assert refresher(root, new).refresh().added == len(NEW), "the next refresh starts from the current generation"


def test_another_publisher_wins_and_the_refresh_says_so(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = CountStatistics.count

    def slow(self: CountStatistics, *args: object) -> object:
        publish_delta(recommender.load(root), embedded(root, "p019x"), [])
        return count(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(CountStatistics, "count", slow)
    with pytest.raises(BundleError, match="was published meanwhile"):
        refresher(root, write(tmp_path / "new.csv", NEW)).refresh()
    assert "p019x" in recommender.load(root)


def test_a_disk_that_fills_up_at_any_write_leaves_the_last_generation(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, before, left = write(tmp_path / "new.csv", NEW), current(root), [0]

    def full_in_the_end(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full_in_the_end)
    seen = []
    for step in range(100):
        left[0] = step
        with suppress(BundleError):
            refresher(root, new).refresh()
        seen.append(open_bundle(root, verify=True).generation)
        if left[0] >= 0 or seen[-1] != before:
            break
    assert seen[:-1] == [before] * (len(seen) - 1)
    assert seen[-1] != before
    assert len(seen) > 8


def test_watching_goes_on_after_an_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    new = tmp_path / "new.csv"
    naps = iter([lambda: write(new, NEW), lambda: write(new, [*NEW, (9, 9, 50, "purchase")])])

    def nap(seconds: float) -> None:
        stamp = new.stat().st_mtime_ns if new.exists() else 0
        next(naps)()
        os.utime(new, ns=(stamp + 10**9, stamp + 10**9))

    monkeypatch.setattr("training.refresh.refresher.sleep", nap)
    watching = refresher(root, new).watch(5)
    with caplog.at_level("INFO", "recommender"):
        assert next(watching).added == len(NEW)
    assert any(message.startswith("not refreshed: ") for message in caplog.messages)
    assert next(watching).added == 1


def test_python_and_the_command_line(root: Path, tmp_path: Path) -> None:
    result = recommender.refresh(root, frame_of(NEW))
    assert result.added == len(NEW)
    with pytest.raises(DataError, match="new events frame are counted"):
        recommender.refresh(root)
    assert recommender.refresh(root, frame_of([*NEW, (9, 9, 50, "purchase")])).added == 1
    assert len(generations(root)) == 3
    assert asdict(result)["generation"] == generations(root)[1].generation
    shutil.rmtree(root)
