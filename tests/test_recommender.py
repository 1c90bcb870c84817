"""Results on the demo bundle: their properties, and every form of request."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recommender
from recommender.core.scoring import Scorer
from recommender.errors import BundleError, RequestError, UnknownItemError
from recommender.events import Event
from recommender.ranking import rerank
from recommender.ranking.request import Request
from recommender.recommender import Recommender
from recommender.retrieval.planner import Planner, RowQuery, RowResult
from recommender.stores.base import OverlayEntry


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


class Overlay:
    """Changes held in memory."""

    def __init__(self, changes: Mapping[str, Mapping[str, object]]) -> None:
        self._changes = {
            item_id: OverlayEntry(item_id, change, time.time()) for item_id, change in changes.items()
        }

    def revision(self) -> int:
        return len(self._changes)

    def put(self, item_id: str, attributes: Mapping[str, object]) -> int:
        raise NotImplementedError

    def read(self, since: int = 0) -> Mapping[str, OverlayEntry]:
        return self._changes

    def close(self) -> None:
        pass


FILTERS = [
    None,
    "price < 20",
    'product_type = "Kitchen > Mugs"',
    "price > 100000",
    'NOT color: ANY("black", "white")',
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, 79),
    k=st.sampled_from([1, 5, 60, 1_000_000]),
    filter=st.sampled_from(FILTERS),
    weights=st.none()
    | st.dictionaries(st.sampled_from(["image", "text", "prior"]), st.floats(0.1, 5), max_size=3),
    plan=st.sampled_from(["auto", "annoy", "exact"]),
    variants=st.sampled_from(["collapse", "all"]),
)
def test_similar_properties(rec, place, k, filter, weights, plan, variants) -> None:  # type: ignore[no-untyped-def]
    seed = rec.ids[place % rec.n]
    answer = rec.similar(seed, k, filter=filter, weights=weights, plan=plan, variants=variants, explain=True)
    assert len(answer) == min(k, answer.eligible)
    group = rec.product(seed)["item_group_id"]
    allowed = (
        None
        if filter is None
        else set(rec.recommend(k=10**6, strategy="popular", filter=filter, variants="all").item_ids)
    )
    for item in answer:
        assert item.item_id != seed
        assert group is None or rec.product(item.item_id)["item_group_id"] != group
        assert allowed is None or item.item_id in allowed
        assert sum(item.parts.values()) == pytest.approx(item.score, abs=1e-12)
    order = [(-item.score, item.item_id) for item in answer]
    assert order == sorted(order)
    if plan == "exact" or not answer.plan.startswith("annoy"):
        exact = rec.similar(seed, k, filter=filter, weights=weights, plan="exact", variants=variants)
        assert answer.item_ids == exact.item_ids


def test_a_table_equals_single_results(rec: Recommender) -> None:
    table = rec.similar_many(k=7)
    assert table.rows.shape == (rec.n, 7)
    for line, item_id in enumerate(rec.ids):
        single = rec.similar(item_id, 7)
        assert [i for i in table.item_ids[line] if i is not None] == single.item_ids
        assert table.scores[line][: len(single)].tolist() == [item.score for item in single]


@pytest.mark.parametrize(
    "rules",
    [
        {"k": 5},
        {"k": 9, "weights": {"prior": 0.0}},
        {"k": 4, "weights": {"text": 1.0}, "filter": "price < 60", "plan": "annoy"},
    ],
)
def test_resolved_requests_are_answered_under_other_rules(rec: Recommender, rules: dict) -> None:
    seeds, template = Request(strategy="for_you", k=2, plan="exact"), Request(strategy="for_you", **rules)
    histories = [
        rec.ids[:3],
        rec.ids[7:8],
        [Event(rec.ids[4], "dismiss", datetime(2026, 1, 1, tzinfo=UTC))],
        ["unknown"],
    ]
    resolved = rec.resolve_many([seeds.for_history(history) for history in histories])
    once = rec.run_resolved(resolved, template)
    each = rec.run_many([template.for_history(history) for history in histories])
    np.testing.assert_array_equal(once.rows, each.rows)
    np.testing.assert_array_equal(once.scores, each.scores)
    assert once.strategies == each.strategies


def test_a_table_pads_where_a_list_is_short(rec: Recommender) -> None:
    table = rec.similar_many(rec.ids[:2], k=200)
    short = int((table.rows[0] >= 0).sum())
    assert 0 < short < 200
    assert (table.rows[0, short:] == -1).all()
    assert np.isnan(table.scores[0, short:]).all()
    assert table.item_ids[0, short] is None


def test_a_history_that_is_asked_for_again_gets_the_answer_of_a_new_recommender(
    rec: Recommender, demo_bundles: Path
) -> None:
    day, more = datetime(2026, 6, 1, 8, tzinfo=UTC), {"weights": {"prior": 2}}
    events = [Event(rec.ids[row], "purchase", day, user_id="u", event_id=str(row)) for row in (3, 9, 3, 20)]
    requests: list[dict] = [
        {"history": events, "now": day + timedelta(days=40)},
        {"history": events, "now": day + timedelta(days=40, hours=3)},
        {"history": events, "now": day + timedelta(days=70)},
        {"history": events[:3], "now": day + timedelta(days=40)},
        {"history": events, "history_weights": [1, 1, 0, 5], "now": day + timedelta(days=40)},
        {"history": events, "items": [rec.ids[50]], "now": day + timedelta(days=40), **more},
    ]
    for request in [*requests, *requests]:
        wanted = recommender.load(demo_bundles).run(Request(strategy="for_you", explain=True, **request))
        assert rec.run(Request(strategy="for_you", explain=True, **request)).items == wanted.items


def test_a_cap_that_nothing_satisfies_is_relaxed_without_sorting_all(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    search = Planner.search

    def counted(self: Planner, scorer: Scorer, row_query: RowQuery, *rest: Any) -> RowResult:
        sizes.append(row_query.k)
        return search(self, scorer, row_query, *rest)

    monkeypatch.setattr(Planner, "search", counted)
    monkeypatch.setattr(rerank, "MAX_POOL", 55)
    result = rec.recommend(rec.ids[:2], k=9, diversity={"max_per": {"availability": 1}}, variants="all")
    assert sizes == [50, 55]
    assert len(result.items) == 9
    assert any("relaxed" in warning for warning in result.warnings)


def test_a_cached_query_holds_no_events(rec: Recommender) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    events = [Event(item_id, "view_item", start, "held by nobody") for item_id in rec.ids[:9]]
    rec.recommend(events)
    del events
    gc.collect()
    held = [each for each in gc.get_objects() if type(each) is Event and each.user_id == "held by nobody"]
    assert held == []


def test_another_time_name_or_value_of_an_event_is_another_query(rec: Recommender) -> None:
    base = Event(rec.ids[0], "rate", datetime(2026, 1, 1, tzinfo=UTC), value=5.0)
    later, other = replace(base, timestamp=datetime(2026, 1, 9, tzinfo=UTC)), replace(base, item_id=rec.ids[1])
    histories = [
        [base, other],
        [replace(base, value=4.0), other],
        [replace(base, event_name="purchase"), other],
        [later, other],
    ]
    first = [rec.recommend(history, 5) for history in histories]
    again = [rec.recommend(history, 5) for history in reversed(histories)]
    fresh = [recommender.load(rec.bundle.root).recommend(history, 5) for history in histories]
    for one, two, three in zip(first, reversed(again), fresh, strict=True):
        assert one.items == two.items == three.items


def test_every_form_of_a_history_gives_the_same_result(rec: Recommender) -> None:
    ids = rec.ids[3:6]
    times = pd.to_datetime(["1970-01-01T00:00:00", "1970-01-01T00:00:01", "1970-01-01T00:00:02"])
    frame = pd.DataFrame({"item_id": ids, "event_name": "view_item", "timestamp": times})
    events = [
        Event(i, "view_item", t.to_pydatetime().replace(tzinfo=None).astimezone())
        for i, t in zip(ids, times, strict=True)
    ]
    expected = rec.recommend(ids, 5).item_ids
    assert rec.recommend(frame, 5).item_ids == expected
    assert rec.recommend(frame.to_dict("records"), 5).item_ids == expected
    assert rec.recommend(events, 5).item_ids == expected
    assert rec.recommend_many([ids, frame], 5).item_ids.tolist() == [expected, expected]


def test_a_history_is_not_recommended_again_unless_wanted(rec: Recommender) -> None:
    ids = rec.ids[:4]
    assert not set(rec.recommend(ids, 500).item_ids) & set(ids)
    assert set(rec.recommend(ids, 500, exclude_history=False, variants="all").item_ids) >= set(ids)


def test_excluded_items_stay_out(rec: Recommender) -> None:
    first = rec.similar(rec.ids[0], 3).item_ids
    assert not set(rec.similar(rec.ids[0], 500, exclude=first).item_ids) & set(first)


def test_an_unknown_user_gets_popular_items_with_a_warning(rec: Recommender) -> None:
    answer = rec.recommend([], 5)
    assert (answer.strategy, answer.fallback_used, len(answer)) == ("popular", "popular", 5)
    assert answer.item_ids == rec.recommend(k=5, strategy="popular").item_ids


def test_popular_is_the_strategy_of_that_name(rec: Recommender) -> None:
    assert rec.popular(5) == rec.recommend(k=5, strategy="popular")
    expected = rec.recommend(k=5, strategy="popular", filter="price > 20").item_ids
    assert rec.popular(5, filter="price > 20").item_ids == expected != rec.popular(5).item_ids


def test_in_a_batch_an_empty_history_gets_popular_items(rec: Recommender) -> None:
    table = rec.recommend_many([[], rec.ids[:2], ["no-such"]], 5)
    assert table.strategies == ["popular", "for_you", "popular"]
    assert (
        table.item_ids[0].tolist() == table.item_ids[2].tolist() == rec.recommend(k=5, strategy="popular").item_ids
    )


def test_unknown_products_of_a_history_are_named(rec: Recommender) -> None:
    answer = rec.recommend(["no-such", rec.ids[0]], 3)
    assert answer.strategy == "for_you"
    assert "no-such" in answer.warnings[0]
    assert rec.recommend(["no-such"], 3).fallback_used == "popular"


def test_an_unknown_product_is_an_error(rec: Recommender) -> None:
    with pytest.raises(UnknownItemError, match="unknown item 'no-such'"):
        rec.similar("no-such")
    for ask in (rec.similar, rec.product, lambda item_id: rec.similar_many([item_id])):
        with pytest.raises(UnknownItemError, match=f"did you mean '{rec.ids[0]}'?"):
            ask(f" {rec.ids[0]}.0")


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", True])
def test_k_must_be_a_positive_whole_number(rec: Recommender, k: object) -> None:
    with pytest.raises(RequestError, match="expected a whole number"):
        rec.similar(rec.ids[0], k)  # type: ignore[arg-type]


def test_a_filter_on_an_unknown_field_names_the_nearest(rec: Recommender) -> None:
    with pytest.raises(RequestError, match="did you mean 'price'"):
        rec.similar(rec.ids[0], filter="pirce < 3")


def test_the_weights_change_the_list_and_explain_it(rec: Recommender) -> None:
    only = dict.fromkeys(rec.weights["item"], 0.0) | {"image": 1.0}
    answer = rec.similar(rec.ids[0], 5, weights=only, explain=True)
    for item in answer:
        assert {name for name, part in item.parts.items() if part} <= {"image"}
        assert item.reasons[0].code == "visual_similarity"
        assert item.reasons[0].seed == rec.ids[0]
        assert item.text.startswith("Similar look to")


def test_shares_of_reasons_sum_to_at_most_one(rec: Recommender) -> None:
    for item in rec.recommend(rec.ids[:3], 5, explain=True):
        assert 0 < sum(reason.share for reason in item.reasons) <= 1 + 1e-12


def test_a_product_of_the_overlay_uses_its_category(demo_bundles: Path) -> None:
    plain = recommender.load(demo_bundles)
    like = next(p for p in map(plain.product, plain.ids) if p["product_type"] == "Kitchen > Mugs")
    new = {
        "title": "Brand new",
        "product_type": like["product_type"],
        "color": like["color"],
        "brand": like["brand"],
    }
    rec = recommender.load(demo_bundles, Overlay({"new-1": new, "new-2": {"title": "only a title"}}))
    answer = rec.similar("new-1", 5)
    assert answer.strategy == answer.fallback_used == "similar_by_category"
    kinds = [rec.product(item_id)["product_type"] for item_id in answer.item_ids]
    assert kinds.count(like["product_type"]) >= 3
    assert rec.similar("new-2", 5).strategy == "popular"


def test_a_changed_price_is_filtered_at_once(demo_bundles: Path) -> None:
    other = recommender.load(demo_bundles).ids[1]
    rec = recommender.load(demo_bundles, Overlay({other: {"price": 123456.0}}))
    assert rec.recommend(k=10, strategy="popular", filter="price > 100000").item_ids == [other]
    assert rec.product(other)["price"] == 123456.0


def test_frames_and_notebooks_show_titles_and_pictures(rec: Recommender) -> None:
    answer = rec.similar(rec.ids[0], 4, explain=True)
    frame = answer.to_frame()
    assert frame["item_id"].tolist() == answer.item_ids
    assert frame["title"].str.len().gt(0).all()
    assert frame.columns[:5].tolist() == ["rank", "item_id", "title", "price", "score"]
    assert frame["price"].tolist() == [rec.product(item_id)["price"] for item_id in answer.item_ids]
    assert "image" in frame
    assert answer._repr_html_().count("<img") + answer._repr_html_().count("no photo") == 4


def test_a_condition_on_a_frame_is_a_filter(rec: Recommender) -> None:
    mask = rec.products()["price"] < 30
    assert 0 < mask.sum() < len(mask)
    seed, *others = rec.ids[:3]
    assert rec.similar(seed, 8, filter=mask) == rec.similar(seed, 8, filter="price < 30")
    shuffled = mask.sample(frac=1, random_state=0)
    for same in (shuffled, mask.astype("boolean").mask(~mask), mask[mask]):  # missing and absent are not true
        assert rec.similar(seed, 8, filter=same).item_ids == rec.similar(seed, 8, filter=mask).item_ids
    table, expected = (rec.similar_many(others, 5, filter=each).to_frame() for each in (mask, "price < 30"))
    pd.testing.assert_frame_equal(table, expected)
    boosted, text = ([{"when": when, "add": 3.0}] for when in (mask, "price < 30"))
    assert rec.similar(seed, 8, boost=boosted).item_ids == rec.similar(seed, 8, boost=text).item_ids


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda mask: mask.reset_index(drop=True),
            "indexed by 0 and others, of type int; expected ids.*set_index",
        ),
        (lambda mask: mask.to_numpy(), "is of type ndarray; expected a boolean Series indexed by id"),
        (lambda mask: mask.to_frame(), "is of type DataFrame; expected a boolean Series indexed by id"),
        (lambda mask: mask.astype(int), "a Series of int64; expected one of booleans"),
    ],
)
def test_a_mask_that_is_not_indexed_by_id_is_refused(
    rec: Recommender, change: Callable[[Any], Any], message: str
) -> None:
    mask = change(rec.products()["price"] < 30)
    with pytest.raises(RequestError, match=message):
        rec.similar(rec.ids[0], filter=mask)


def test_an_id_that_is_a_number_is_named(rec: Recommender) -> None:
    with pytest.raises(RequestError, match=r"item id 1042 is of type int; ids are strings.*; did you mean '1042'"):
        rec.similar(1042)  # type: ignore[arg-type]


def test_an_empty_result_is_a_frame(rec: Recommender) -> None:
    answer = rec.similar(rec.ids[0], filter="price > 1000000")
    assert len(answer.to_frame()) == len(answer) == answer.eligible == 0


def test_text_queries_find_images_and_texts(rec: Recommender) -> None:
    answer = rec.search("mug", k=5)
    assert answer.strategy == "search"
    assert sum("mug" in str(rec.product(item_id)["title"]) for item_id in answer.item_ids) >= 4


def test_an_image_query_may_be_the_bytes_of_a_file(rec: Recommender) -> None:
    item_id = next(item_id for item_id in rec.ids if rec.thumbnail(item_id))
    picture = rec.thumbnail(item_id)
    assert picture is not None
    assert len(rec.search(image=picture, k=5)) == 5
    with pytest.raises(RequestError, match="3 bytes are no image; expected a JPEG"):
        rec.search(image=b"xyz")


def test_a_folder_without_a_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        recommender.load(tmp_path)


def test_no_user_id_is_in_a_bundle(demo_bundles: Path) -> None:
    user = pd.read_csv(demo_bundles.parent / "events.csv", dtype=str)["user_id"].iloc[0]
    files = [path for path in demo_bundles.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if user.encode() in path.read_bytes()]
