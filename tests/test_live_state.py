"""The overlay's state in memory: changes by steps make the state that reading the whole makes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.filters import parse
from recommender.filters.compile import evaluate, resolve
from recommender.items import Attributes
from recommender.items.layered import ABSENT, LayeredMap
from recommender.items.overlay import OverlaySnapshot, OverlayState
from recommender.stores import Store
from recommender.stores.base import OverlayEntry
from tests.attribute_tables import attributes

IDS = ["A", "B", "C", "D"]
ROW_TIMES = np.array([100.0, 200.0, np.nan, 0.0])


def shop() -> Attributes:
    return attributes(
        IDS,
        brand=("category", ["Acme", "Best", "", "Acme"]),
        tags=("multi", [["oak"], ["oak", "red"], [], ["red"]]),
        price=("number", np.array([10.0, 20.0, 30.0, np.nan])),
        availability=("category", ["in_stock", "out_of_stock", "in_stock", ""]),
    )


SHOP = shop()
CONDITIONS = [
    *("price < 15", "price: EXISTS", 'brand = "Acme"', 'brand: ANY("New", "Best")', "brand: EXISTS"),
    *('NOT brand = "Acme"', 'tags: ANY("oak", "blue")', "tags: EXISTS", 'availability = "out_of_stock"'),
    {"field": "tags", "except": ["oak"]},
    {"field": "price", "except": [10]},
]


class Overlay:
    """Entries, as a store has them."""

    def __init__(self) -> None:
        self.entries: dict[str, OverlayEntry | None] = {}
        self.at = 0

    def revision(self) -> int:
        return self.at

    def read(self, since: int = 0) -> Mapping[str, OverlayEntry | None]:
        if since:
            raise AssertionError("only read as a whole")
        return {item_id: entry for item_id, entry in self.entries.items() if entry is not None}


values = st.fixed_dictionaries(
    {},
    optional={
        "price": st.sampled_from([5.0, 12, None]),
        "brand": st.sampled_from(["Acme", "New", None]),
        "tags": st.sampled_from([["blue"], ["oak", "red"], [], None, "red"]),
        "availability": st.sampled_from(["in_stock", "out_of_stock", "sold out", None]),
        "size": st.just("M"),  # which the bundle does not have
    },
)
times = st.sampled_from([50.0, 150.0, 250.0])
changes = st.dictionaries(
    st.sampled_from([*IDS, "new"]),
    st.one_of(
        st.none(),
        st.builds(
            OverlayEntry,
            item_id=st.just(""),
            attributes=st.one_of(st.none(), values),
            updated_at=times,
            times=st.dictionaries(st.sampled_from(["price", "tags"]), times),
        ),
    ),
    max_size=3,
)


@given(st.lists(changes, min_size=1, max_size=6))
def test_changes_by_steps_are_the_whole_overlay(steps: list[dict[str, OverlayEntry | None]]) -> None:
    overlay = Overlay()
    state = OverlayState.read(overlay, SHOP, ROW_TIMES)  # type: ignore[arg-type]
    for revision, step in enumerate(steps, 1):
        overlay.entries |= step
        overlay.at = revision
        state = state.changed(step, revision)
    whole = OverlayState.read(overlay, SHOP, ROW_TIMES)  # type: ignore[arg-type]
    assert state.by_id == whole.by_id
    for mask in ("listed", "in_stock"):
        assert (getattr(state, mask) is None) == (getattr(whole, mask) is None)
        assert np.array_equal(getattr(state, mask), getattr(whole, mask))
    for name in SHOP.names:
        assert [state.attributes.value(name, row) for row in range(4)] == [
            whole.attributes.value(name, row) for row in range(4)
        ]
    for condition in CONDITIONS:
        node = parse(condition)
        masks = [evaluate(resolve(node, each, None), each) for each in (state.attributes, whole.attributes)]
        assert np.array_equal(*masks), condition


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.one_of(st.none(), st.integers()), max_size=4)))
def test_a_layered_map_is_a_dict(steps: list[dict[str, int | None]]) -> None:
    layered: LayeredMap[int] = LayeredMap()
    known: dict[str, int] = {}
    versions = []
    for step in steps:
        versions.append((layered, known))
        layered = layered.changed({key: ABSENT if value is None else value for key, value in step.items()})
        known = {key: value for key, value in {**known, **step}.items() if value is not None}
    for version, expected in [*versions, (layered, known)]:
        assert dict(version) == expected
        assert len(version) == len(expected)
        assert [version.get(key) for key in "abcdefgh"] == [expected.get(key) for key in "abcdefgh"]
        assert [key in version for key in "abcdefgh"] == [key in expected for key in "abcdefgh"]


def _entry(item_id: str, attributes: Any, at: float, **times: float) -> OverlayEntry:
    return OverlayEntry(item_id, attributes, at, times)


def _state(*entries: OverlayEntry) -> OverlayState:
    overlay = Overlay()
    overlay.entries = {entry.item_id: entry for entry in entries}
    return OverlayState.read(overlay, SHOP, ROW_TIMES)  # type: ignore[arg-type]


def test_of_change_and_row_the_newer_counts() -> None:
    state = _state(
        _entry("A", {"price": 1.0, "brand": "New"}, 150.0, price=50.0),  # the row is of 100
        _entry("B", None, 150.0),  # of 200
        _entry("C", {"price": 3.0}, 1.0),  # not in the catalogue
        _entry("D", None, 150.0),
    )
    assert state.by_id == {"A": {"brand": "New"}, "C": {"price": 3.0}, "D": None}
    assert state.attributes.numbers("price").tolist()[:3] == [10.0, 20.0, 3.0]
    assert state.listed is not None
    assert state.listed.tolist() == [True, True, True, False]


def test_a_state_in_use_is_not_changed() -> None:
    before = _state(_entry("A", {"price": 1.0, "brand": "New", "availability": "out_of_stock"}, 300.0))
    old = (before.attributes.numbers("price").tolist()[:3], before.attributes.value("brand", 0), before.in_stock)
    before.changed({"A": _entry("A", {"price": 2.0, "brand": "Newer"}, 400.0), "B": _entry("B", None, 400.0)}, 2)
    now = (before.attributes.numbers("price").tolist()[:3], before.attributes.value("brand", 0), before.in_stock)
    assert old[:2] == now[:2]
    assert np.array_equal(old[2], now[2])  # type: ignore[arg-type]


def test_a_change_of_one_product_reads_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [_entry(item_id, {"price": 1.0}, 300.0) for item_id in IDS]
    state, seen = _state(*many), []
    current = OverlayState._current
    monkeypatch.setattr(
        OverlayState, "_current", lambda self, entry, *more: (seen.append(entry), current(self, entry, *more))[1]
    )
    state.changed({"B": _entry("B", {"price": 2.0}, 400.0)}, 2)
    assert [entry.item_id for entry in seen] == ["B"]


def test_a_snapshot_gives_what_has_changed_since(store: Store) -> None:
    snapshot = OverlaySnapshot(store.overlay)
    snapshot.put({"A": {"price": 1}, "B": {"price": 2}})
    first = snapshot.revision()
    snapshot.put({"A": {"price": 3}})
    assert {item_id: entry and entry.attributes for item_id, entry in snapshot.read(first).items()} == {
        "A": {"price": 3}
    }
    assert snapshot.read(snapshot.revision()) == {}
    entries = [entry for entry in snapshot.read().values() if entry is not None]
    second = snapshot.revision()
    snapshot.absorb(entries, "g2")
    snapshot.refresh()
    assert snapshot.read(second) == {"A": None, "B": None}
    assert snapshot.read() == {}
    assert snapshot.get("A") is None
    snapshot.refresh("g1")  # rolled back
    assert {*snapshot.read()} == {"A", "B"}
