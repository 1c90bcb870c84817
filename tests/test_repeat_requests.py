"""What was bought before is returned where the bundle has the term, explained, and never against the request."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import recommender
from recommender.events import Event
from recommender.ranking.request import Request
from recommender.recommender import Recommender
from recommender.retrieval.planner import Budget
from recommender.towers.repeat import RepeatModel
from tests.made_bundles import draw_product, publish_products
from tests.test_delta import embedded
from training.update.delta import publish_delta

NOW = datetime(2025, 6, 1, tzinfo=UTC)
IDS = [f"P{number:03}" for number in range(60)]


def publish(folder: Path, repeat: bool) -> Recommender:
    """Publish 60 products, of which the usual interval is 10 days, with or without the term."""
    generator = np.random.default_rng(0)
    products = [draw_product(generator, item_id, IDS[:number]) for number, item_id in enumerate(IDS)]
    for product in products:
        product.cells.update(availability="in_stock", item_group_id="g1" if product.item_id in IDS[:2] else "")
    values = np.stack([np.full(60, 10.0), np.ones(60)]).astype(np.float32)
    due = (0.1,) * 6 + (1.0,) * 8
    model = RepeatModel(60.0, 5.0, due, 2.0, latest=NOW.timestamp(), products=values)
    publish_products(folder, products, Budget(20, 20, 400), repeat=model if repeat else None)
    return recommender.load(folder)


@pytest.fixture(scope="module")
def rec(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    return publish(tmp_path_factory.mktemp("bundles"), repeat=True)


def event(item_id: str, days: float, name: str = "purchase") -> Event:
    """Return an event of so many days ago."""
    return Event(item_id, name, NOW - timedelta(days=days))


HISTORY = [
    event(IDS[0], 60),
    event(IDS[9], 45),
    event(IDS[0], 40),
    event(IDS[7], 30, "view_item"),
    event(IDS[9], 21.5),
]
JUST = [event(IDS[20], 30), event(IDS[21], 0.1)]


def ids(rec: Recommender, history: list[Event], **options: object) -> list[str]:
    request = Request(strategy="for_you", k=50, history=history, now=NOW, **options)  # type: ignore[arg-type]
    return rec.run(request).item_ids


def test_purchases_are_returned_by_default_and_views_are_not(rec: Recommender) -> None:
    found = ids(rec, HISTORY)
    assert set(found[:2]) == {IDS[0], IDS[9]}
    assert not {IDS[1], IDS[7]} & set(found), "a variant of what was bought, and a view"
    assert not {IDS[0], IDS[1], IDS[7], IDS[9]} & set(ids(rec, HISTORY, exclude_history=True))
    assert {IDS[0], IDS[7], IDS[9]} <= set(ids(rec, HISTORY, exclude_history=False))


def test_exclusions_of_the_request_have_precedence(rec: Recommender) -> None:
    assert IDS[9] not in ids(rec, HISTORY, exclude_purchased_days=30)
    assert IDS[0] in ids(rec, HISTORY, exclude_purchased_days=30)
    assert IDS[0] not in ids(rec, HISTORY, exclude=[IDS[0]])
    assert IDS[0] not in ids(rec, HISTORY, weights={"repeat": 0})


def test_without_the_term_the_history_is_excluded(tmp_path: Path) -> None:
    rec = publish(tmp_path, repeat=False)
    assert "repeat" not in rec.weights["user"]
    assert not {IDS[0], IDS[7], IDS[9]} & set(ids(rec, HISTORY))
    assert ids(rec, HISTORY) == ids(rec, HISTORY, exclude_history=True)


def test_only_the_session_counts_in_a_session(rec: Recommender) -> None:
    session = {"strategy": "session", "history": HISTORY, "session": JUST, "k": 50, "now": NOW}
    found = rec.run(Request(**session)).item_ids  # type: ignore[arg-type]
    assert {IDS[20], IDS[21]} <= set(found)
    assert not {IDS[0], IDS[9]} & set(found)
    excluded = rec.run(Request(**session, exclude_history=True)).item_ids  # type: ignore[arg-type]
    assert not {IDS[0], IDS[9], IDS[20], IDS[21]} & set(excluded)


def test_the_reason_says_how_often_and_when(rec: Recommender) -> None:
    result = rec.run(Request(strategy="for_you", history=HISTORY, now=NOW, explain=True))
    items = {item.item_id: item for item in result}
    assert items[IDS[9]].text == "Bought 2 times, last 3 weeks ago"
    assert items[IDS[9]].reasons[0].code == "bought_before"
    for item in result:
        assert item.parts is not None
        assert sum(item.parts.values()) == pytest.approx(item.score)
        assert (item.parts["repeat"] > 0) == (item.item_id in (IDS[0], IDS[9]))
    status = rec.why_not(Request(history=HISTORY, k=1, now=NOW), [IDS[0], IDS[7]])
    assert [each.left_out for each in status] == [(), ("excluded",)]


def test_plans_and_batches_agree_on_what_was_bought(rec: Recommender) -> None:
    template = Request(strategy="for_you", k=8, now=NOW, exclude_history=None)
    histories = [HISTORY, JUST, [event(item_id, 20) for item_id in IDS[30:36]], [event(IDS[4], 20)]]
    table = rec.run_many([template.for_history(history) for history in histories])
    for history, line in zip(histories, table.item_ids, strict=True):
        assert rec.run(template.for_history(history)).item_ids == line.tolist()
        exact = rec.run(Request(strategy="for_you", k=8, now=NOW, history=history, plan="exact"))
        annoy = rec.run(Request(strategy="for_you", k=8, now=NOW, history=history, plan="annoy"))
        assert annoy.plan.startswith("annoy")
        owned = {each.item_id for each in history}
        assert [i for i in exact.item_ids if i in owned] == [i for i in annoy.item_ids if i in owned]


def test_buy_again_ranks_by_what_is_due(rec: Recommender, tmp_path: Path) -> None:
    fresh = [event(IDS[3], 12), event(IDS[5], 1), event(IDS[6], 40), event(IDS[6], 39, "refund")]
    request = Request(strategy="buy_again", history=fresh, now=NOW, explain=True)
    assert rec.run(request).item_ids == [IDS[3], IDS[5]]
    assert rec.run(request)[0].text == "Bought 12 days ago"
    assert publish(tmp_path, repeat=False).run(request).item_ids == [IDS[5], IDS[3]]


def test_products_of_a_delta_have_the_interval_of_the_shop(tmp_path: Path) -> None:
    rec = publish(tmp_path, repeat=True)
    added = draw_product(np.random.default_rng(9), "A-new", [])
    added.cells.update(availability="in_stock", item_group_id="")
    publish_delta(rec, embedded([added]), [IDS[59]])
    live = recommender.load(tmp_path)
    history = [event("A-new", 40), event(IDS[0], 20)]
    assert set(ids(live, history)[:2]) == {"A-new", IDS[0]}
    model = live.user_tower.repeat
    assert model is not None
    rows = np.array([live.attributes.row_of(each) for each in ("A-new", IDS[0])], dtype=np.int32)
    assert [values.tolist() for values in model.of_products(rows)] == [[30.0, 10.0], [1.0, 1.0]]
    renumbered = model.of_rows(rows)
    assert renumbered.products.tolist() == [[30.0, 10.0], [1.0, 1.0]]
