"""Sales: the price in force in files, in updates, and in a served bundle across the start and end of a sale."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

import recommender
from recommender.catalog import Catalog
from recommender.config import Config
from recommender.errors import ConfigError
from recommender.items import sales
from recommender.items.columns import posix
from recommender.items.sales import OFFER, SalePrices, complete_offer, current_offer
from recommender.recommender import Recommender
from recommender.stores import open_store
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from tests.made_bundles import KINDS, DemoProduct, draw_product, publish_products
from training.update.embed import complete_catalog

START, END = "2026-11-24T00:00:00Z", "2026-11-30T00:00:00Z"
BEFORE, DURING, AFTER = ("2026-11-23T23:59:59Z", "2026-11-24T00:00:00Z", "2026-11-30T00:00:00Z")
SALE_KINDS = {
    **KINDS,
    "regular_price": "number",
    "sale_price": "number",
    "sale_starts": "date",
    "sale_ends": "date",
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_to(moment: str) -> None:
        monkeypatch.setattr(sales, "now", lambda: posix(moment))

    set_to(BEFORE)
    return set_to


# files


def prices_at(clock: Any, moment: str, **columns: Any) -> list[float]:
    clock(moment)
    n = len(next(iter(columns.values())))
    frame = pd.DataFrame({"id": [f"p{i}" for i in range(n)], **columns})
    prices: list[float] = Catalog.from_frame(frame).frame["price"].tolist()
    return prices


@pytest.mark.parametrize(
    "columns",
    [
        {"sale_price_effective_date": ["2026-11-24T00:00+0000/2026-11-29T23:00-0100"]},
        {"sale_price_effective_date": ["2026-11-24/2026-11-29"]},
        {"sale_price_effective_date": ["2026-11-24T00:00Z/P6D"]},
        {"sale_price_effective_date": ["2026-11-24 - 2026-11-29"]},
        {"sale_starts": ["2026-11-24"], "sale_ends": ["2026-11-29"]},
        {"special_from_date": ["2026-11-24"], "special_to_date": ["2026-11-29"]},
        {"sale_starts": ["2026-11-24T02:00:00+02:00"], "sale_ends": ["2026-11-30T00:00:00Z"]},
        {"sale_starts": pd.to_datetime(["2026-11-24"]), "sale_ends": pd.to_datetime(["2026-11-29"])},
    ],
)
def test_a_sale_price_holds_in_its_period(clock: Any, columns: dict[str, Any]) -> None:
    table = {"price": ["100.00 USD"], "sale_price": ["80.00 USD"], **columns}
    found = [prices_at(clock, moment, **table) for moment in (BEFORE, DURING, "2026-11-29T23:59:59Z", AFTER)]
    assert found == [[100.0], [80.0], [80.0], [100.0]]


def test_a_sale_without_dates_holds_and_one_of_no_period_does_not(clock: Any) -> None:
    periods = ["", "2026-11-29/2026-11-24", "next week/2026-11-24", "2026-01-01/", "/2026-01-01", "whenever"]
    table = {"price": 6 * [100], "sale_price": 6 * [80], "sale_price_effective_date": periods}
    assert prices_at(clock, DURING, **table) == [80, 100, 100, 80, 100, 100]
    catalog = Catalog.from_frame(pd.DataFrame({"id": list("abcdef"), **table}))
    assert catalog.report.counts["bad period of a sale"] == 3


def test_sale_prices_that_cannot_be_are_reported_and_ignored(clock: Any) -> None:
    frame = pd.DataFrame({"id": list("abc"), "price": [10, 10, 10], "sale_price": [12, 0, 8]})
    catalog = Catalog.from_frame(frame)
    assert catalog.frame["price"].tolist() == [10, 10, 8]
    assert catalog.report.counts == {"sale price above the price": 1, "sale price of 0": 1}


def test_a_price_in_force_beside_the_regular_price(clock: Any) -> None:
    frame = pd.DataFrame({"id": list("ab"), "price": [8, 9], "regular_price": [10, 12], "sale_price": [8, None]})
    frame["sale_ends"] = ["2026-11-23", ""]
    assert Catalog.from_frame(frame).frame["price"].tolist() == [8, 9]
    clock(DURING)
    assert Catalog.from_frame(frame).frame["price"].tolist() == [10, 9]


def test_currencies_stay_beside_prices_and_mixed_ones_are_reported() -> None:
    frame = pd.DataFrame({"id": list("abc"), "price": ["5 EUR", "$6", "7"]})
    catalog = Catalog.from_frame(frame)
    assert catalog.frame["currency"].tolist() == ["EUR", "USD", ""]
    assert catalog.report.counts == {"mixed currencies": 1}
    assert not any(column.learn for column in catalog.columns if column.name == "currency")
    assert Catalog.from_frame(frame, currency="CAD").frame["currency"].tolist() == ["EUR", "CAD", "CAD"]
    with pytest.raises(ConfigError, match="neither a column nor a currency"):
        Catalog.from_frame(frame, currency="money")
    coded = frame.assign(money=["eur", "AUD", "gold"])
    catalog = Catalog.from_frame(coded, currency="money")
    assert catalog.frame["currency"].tolist() == ["EUR", "AUD", ""]
    assert catalog.report.counts["bad currency"] == 1


NUMBERS = st.none() | st.integers(1, 9).map(float)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6), st.integers(0, 10))
def test_prices_change_at_boundaries_only(rows: list[tuple[float | None, ...]], moment: int) -> None:
    prices = SalePrices(*np.array(rows, np.float64).T)
    until = prices.until(moment)
    assert until > moment
    for later in range(moment, 12):
        same = np.array_equal(prices.at(later), prices.at(moment), equal_nan=True)
        assert same or later >= until
    for row, price in zip(rows, prices.at(moment).tolist(), strict=True):
        regular, sale, start, end = row
        holds = sale is not None and (start is None or moment >= start) and (end is None or moment < end)
        expected = sale if holds else regular
        assert price == expected or (expected is None and price != price)


# a served bundle


def product(item_id: str, **cells: Any) -> DemoProduct:
    drawn = draw_product(np.random.default_rng(3), item_id, [])
    plain = {**drawn.cells, "availability": "in_stock", "item_group_id": "", "price": 100.0}
    empty = {"regular_price": 100.0, "sale_price": None, "sale_starts": None, "sale_ends": None}
    vector = np.random.default_rng(ord(item_id)).normal(size=drawn.vector.shape).astype(np.float32)
    return replace(drawn, vector=vector, present=np.ones_like(drawn.present), cells={**plain, **empty, **cells})


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    on_sale = {"sale_price": 80.0, "sale_starts": START, "sale_ends": END}
    products = [
        product("a"),
        product("b", **on_sale),
        product("c"),
        product("d", **on_sale, availability="In Stock"),
    ]
    publish_products(tmp_path / "bundles", products, own=False, kinds_of_cells=SALE_KINDS)
    return tmp_path / "bundles"


@pytest.fixture
def client(bundles: Path, tmp_path: Path, clock: Any) -> Iterator[FlaskClient]:
    settings = Settings(store=f"sqlite:///{tmp_path}/store.db", rate=1e6, burst=10**6)
    app = create_app(bundles, settings, watch_seconds=None)
    yield app.test_client()
    app.extensions[KEY].close()


def found(client: FlaskClient, filter_text: str) -> dict[str, float]:
    """Return the prices of the products like "a" that match a filter."""
    query = {"item_id": "a", "filter": filter_text, "fields": "price"}
    answer = client.get("/v1/similar", query_string=query).json
    return {item["item_id"]: item["fields"]["price"] for item in answer["items"]}


def test_a_served_bundle_crosses_a_sale(client: FlaskClient, clock: Any) -> None:
    cheap, dear = "price < 90", "price >= 90"
    assert (found(client, cheap), found(client, dear)) == ({}, {"b": 100.0, "c": 100.0, "d": 100.0})
    etag = client.get("/v1/items/a/similar").headers["ETag"]
    assert client.get("/v1/items/a/similar", headers={"If-None-Match": etag}).status_code == 304
    clock(DURING)
    assert (found(client, cheap), found(client, dear)) == ({"b": 80.0, "d": 80.0}, {"c": 100.0})
    assert client.get("/v1/items/b").json["price"] == 80.0
    assert client.get("/v1/items/a/similar", headers={"If-None-Match": etag}).status_code == 200
    clock(AFTER)
    assert (found(client, cheap), found(client, dear)) == ({}, {"b": 100.0, "c": 100.0, "d": 100.0})
    clock(DURING)
    assert found(client, cheap) == {"b": 80.0, "d": 80.0}


def test_a_patched_price_ends_the_sale_and_a_patched_sale_starts_one(client: FlaskClient, clock: Any) -> None:
    clock(DURING)
    client.patch("/v1/items/b", json={"price": 95})
    client.patch("/v1/items/c", json={"sale_price": "70.00", "sale_ends": "2026-11-25"})
    assert found(client, "price < 97") == {"b": 95.0, "c": 70.0, "d": 80.0}
    client.patch("/v1/items/d", json={"sale_price": None})
    clock("2026-11-25T23:59:59Z")
    assert found(client, "price < 97") == {"b": 95.0, "c": 70.0}
    clock("2026-11-26T00:00:00Z")
    assert found(client, "price < 97") == {"b": 95.0}
    client.patch("/v1/items/b", json={"sale_price": 60})
    assert client.get("/v1/items/b").json["price"] == 60
    client.patch("/v1/items/b", json={"price": 65})
    assert client.get("/v1/items/b").json["price"] == 65
    client.patch("/v1/items/b", json={"price": 90, "sale_price": 85, "sale_starts": "2026-12-01"})
    assert client.get("/v1/items/b").json["price"] == 90
    clock("2026-12-01T00:00:00Z")
    assert client.get("/v1/items/b").json["price"] == 85


def test_a_new_product_on_sale_before_it_is_embedded(client: FlaskClient, clock: Any) -> None:
    client.put("/v1/items/new", json={"title": "New", "price": 50, "sale_price": 40, "sale_starts": "2026-11-25"})
    assert client.get("/v1/items/new").json["price"] == 50
    clock("2026-11-25T00:00:00Z")
    assert client.get("/v1/items/new").json["price"] == 40


@pytest.mark.parametrize("word", ["In Stock", "https://schema.org/InStock", "auf Lager", "1"])
def test_filters_understand_words_of_availability(client: FlaskClient, word: str) -> None:
    client.patch("/v1/items/b", json={"availability": "Sold out"})
    assert set(found(client, f'availability = "{word}"')) == {"c", "d"}
    assert set(found(client, 'availability = "sold-out"')) == {"b"}
    answer = client.get("/v1/similar", query_string={"item_id": "a", "filter": 'availability = "in_stok"'})
    assert answer.status_code == 422
    assert "did you mean" in answer.get_data(as_text=True) or "in_stock" in answer.get_data(as_text=True)


def test_a_bundle_and_overlay_rows_with_other_words(bundles: Path, tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/other.db") as store:
        store.overlay.put({"b": {"availability": "Sold Out"}, "c": {"availability": "https://schema.org/InStock"}})
        rec = recommender.load(bundles, overlay=store.overlay)
        assert rec.product("d")["availability"] == "in_stock"
        assert rec.product("b")["availability"] == "out_of_stock"
        assert set(rec.similar("a").item_ids) == {"c", "d"}


def test_products_and_fields_show_the_price_of_now(bundles: Path, clock: Any) -> None:
    rec = recommender.load(bundles)
    frame = rec.products().set_index("id")
    assert frame["price"].to_dict() == {"a": 100.0, "b": 100.0, "c": 100.0, "d": 100.0}
    revision = rec.revision
    clock(DURING)
    assert rec.products().set_index("id")["price"].to_dict() == {"a": 100.0, "b": 80.0, "c": 100.0, "d": 80.0}
    assert rec.fields("b", ["price"]) == {"price": 80.0}
    assert rec.attributes.numbers("price").tolist() == [100.0, 80.0, 100.0, 80.0]
    assert rec.revision != revision


def changed_cells(rec: Recommender, **cells: Any) -> dict[str, Any]:
    config = Config.from_mapping({"catalog": {"path": "p.csv"}})
    frame = complete_catalog(rec, {"b": cells}, config).frame
    return {name: value if value == value else None for name, value in frame[["price", *OFFER]].iloc[0].items()}


def test_updates_keep_a_sale_or_end_it(bundles: Path, clock: Any) -> None:
    rec = recommender.load(bundles)
    sale = {"sale_price": 80.0, "sale_starts": START, "sale_ends": END}
    assert changed_cells(rec, brand="Acme") == {"price": 100.0, "regular_price": 100.0, **sale}
    ended = {"sale_price": None, "sale_starts": "", "sale_ends": ""}
    assert changed_cells(rec, price=90.0) == {"price": 90.0, "regular_price": 90.0, **ended}
    again = changed_cells(rec, price=90.0, sale_price=70.0)
    assert again == {"price": 90.0, "regular_price": 90.0, **sale, "sale_price": 70.0}


@given(st.dictionaries(st.sampled_from(["price", "sale_price"]), st.integers(1, 9).map(float)), st.integers(0, 9))
def test_the_last_price_that_comes_alone_is_the_price(change: dict[str, float], moment: int) -> None:
    known = {"price": 5.0, "regular_price": 5.0, "sale_price": 2.0}
    completed = complete_offer(change)
    current, until = current_offer(completed, known, moment) if completed else (known, np.inf)
    assert until == np.inf
    if set(change) == {"price"}:
        assert current["price"] == change["price"]
    elif change:
        regular = change.get("price", 5.0)
        assert current["price"] == min(regular, change["sale_price"])


def test_the_clock_of_now_is_the_system_clock() -> None:
    assert abs(sales.now() - datetime.now(UTC).timestamp()) < timedelta(seconds=5).total_seconds()
