"""Updates and fits that would empty the shop are refused: truncated, foreign and sold-out files."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recommender
from recommender.bundle import current, generations
from recommender.catalog import Catalog
from recommender.cli import app
from recommender.config import Config
from recommender.demo.shop import Shop
from recommender.encoders.registry import create_for
from recommender.errors import DataError, RequestError
from recommender.stores import Store
from tests.attribute_tables import attributes
from tests.made_bundles import draw_product, publish_products
from training.update.guard import FEW, MAX_REMOVED, check_fit, check_losses
from training.update.updater import Updater


@given(st.data(), st.integers(1, 60), st.sampled_from([0.0, 0.07, MAX_REMOVED, 0.5, 1.0]))
def test_only_the_share_is_allowed_and_the_message_names_one(data: st.DataObject, n: int, share: float) -> None:
    ids = [f"p{number:02}" for number in range(n)]
    lost = data.draw(st.lists(st.sampled_from([*ids, "unknown"]), unique=True))
    known = len({*lost} - {"unknown"})
    availability = data.draw(st.lists(st.sampled_from(["in_stock", "out_of_stock"]), min_size=n, max_size=n))
    table = attributes(ids, availability=("category", availability))
    sold = sum(availability[ids.index(item_id)] == "in_stock" for item_id in lost if item_id != "unknown")
    for number, removed, unavailable in ((known, lost, []), (sold, [], lost)):
        allowed = number / n <= share or (share > 0 and number <= min(FEW, n / 2))
        if allowed:
            check_losses("file", table, removed, unavailable, share)
            continue
        with pytest.raises(DataError, match=f"{number} of {n} products, such as p") as raised:
            check_losses("file", table, removed, unavailable, share)
        remedy = float(re.search(r"--max-removed ([\d.]+)", str(raised.value)).group(1))
        assert number / n <= remedy < number / n + 0.01 + 1e-9
        check_losses("file", table, removed, unavailable, remedy)


@pytest.fixture
def table(demo_shop: Shop) -> pd.DataFrame:
    frame = pd.read_csv(demo_shop.config.parent / "products.csv", dtype=str, keep_default_na=False)
    return frame.assign(availability="in_stock", item_group_id="")


@pytest.fixture
def updater(bundles: Path, demo_shop: Shop, demo_bundles: Path) -> Updater:
    home = demo_shop.config.parent
    encoder = create_for(recommender.load(demo_bundles).bundle)
    config = Config.load(demo_shop.config)
    return Updater(bundles, config, complete=True, cache_dir=home / "cache", encoder=encoder)


def refused(updater: Updater, table: pd.DataFrame, message: str) -> None:
    """Update with a table that is refused: nothing is published."""
    updater.changed, before = table, [each.generation for each in generations(updater.root)]
    with pytest.raises(DataError, match=message):
        updater.update()
    assert [each.generation for each in generations(updater.root)] == before


def test_a_truncated_file_is_refused_unless_it_is_allowed(updater: Updater, table: pd.DataFrame) -> None:
    refused(updater, table.head(3), "the products frame would remove 77 of 80 products.*20 %.*--max-removed 0.97")
    updater.max_removed = 0.97
    assert updater.update().removed == 77
    assert len(recommender.load(updater.root)) == 3


def test_the_share_is_of_the_products_that_are_listed_now(updater: Updater, table: pd.DataFrame) -> None:
    updater.changed = table.head(66)
    assert updater.update().removed == 14
    updater._stamp = 0.0
    refused(updater, table.head(50), "16 of 66 products")


def test_other_ids_and_files_without_products_are_refused(updater: Updater, table: pd.DataFrame) -> None:
    refused(updater, table.assign(id="other-" + table["id"]), "80 of 80 .*no product is left.*another shop's")
    updater.max_removed = 1.0
    refused(updater, table.head(0), "no rows")
    refused(updater, table.assign(id=""), "no row has an id")


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("rewritten", [lambda ids: "'" + ids, lambda ids: ids.str.lstrip("0")])
def test_ids_in_another_form_are_refused(
    updater: Updater, table: pd.DataFrame, complete: bool, rewritten: Callable[[pd.Series], pd.Series]
) -> None:
    updater.complete = complete
    refused(
        updater, table.assign(id=rewritten(table["id"])), "in another form, 80 of 80, such as .* for .*write them"
    )
    few = pd.concat([table.head(60), table.tail(9).assign(id=rewritten(table["id"].tail(9)))])
    updater.changed, updater.complete = few, False
    assert updater.update().embedded >= 9


def test_a_file_in_which_all_is_sold_out_is_refused(updater: Updater, table: pd.DataFrame) -> None:
    updater.complete = False
    refused(updater, table.assign(availability="out_of_stock"), r"would make unavailable \d\d of 80 products")
    sold_out = table.head(40).assign(availability="out_of_stock")
    refused(updater, sold_out, "would make unavailable")
    updater.changed = sold_out.head(10)
    assert updater.update().generation is not None


def test_what_was_removed_over_http_is_not_counted(updater: Updater, table: pd.DataFrame, store: Store) -> None:
    updater.store, updater.changed = store, table.head(45)
    removed = table["id"][50:].tolist()
    store.overlay.put(dict.fromkeys(removed), queue=removed)
    assert updater.update().removed == 35
    assert len(recommender.load(updater.root)) == 45


def test_a_watch_goes_on_and_publishes_the_queue(
    updater: Updater, table: pd.DataFrame, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[str] = []
    monkeypatch.setattr("training.update.updater.notice", notices.append)
    path = updater.root.parent / "all.csv"
    steps = iter([lambda: None, lambda: table[table["id"] != table["id"][7]].to_csv(path, index=False)])
    monkeypatch.setattr("training.update.updater.sleep", lambda seconds: next(steps)())
    table.head(3).to_csv(path, index=False)
    updater.store, updater.changed = store, path
    first = table["id"][0]
    store.overlay.put({first: {"title": "Something else"}}, queue=[first])
    results = updater.watch(1)
    assert next(results).embedded == 1  # while the file is refused
    assert next(results).removed == 1
    refusals = [line for line in notices if line.startswith("not updated: all.csv would remove 77 of 80")]
    assert len(refusals) == 2
    assert not store.overlay.queued()


def made(root: Path, n: int = 40) -> list[str]:
    products = [draw_product(np.random.default_rng(number), f"p{number:02}", []) for number in range(n)]
    publish_products(root, products)
    return [product.item_id for product in products]


def catalogue(ids: list[str], **columns: str) -> Catalog:
    titles = [f"title of {item_id}" for item_id in ids]
    return Catalog.from_frame(pd.DataFrame({"id": ids, "title": titles, **columns}))


def test_a_fit_is_compared_with_the_current_generation(tmp_path: Path) -> None:
    ids = made(tmp_path)
    check_fit(tmp_path, catalogue([*ids[:35], "new"]), "products.csv")
    with pytest.raises(DataError, match=r"products.csv, published in .*, would remove 10 of 40 products"):
        check_fit(tmp_path, catalogue(ids[10:]), "products.csv")
    check_fit(tmp_path, catalogue(ids[10:]), "products.csv", 0.25)
    with pytest.raises(DataError, match="another shop's"):
        check_fit(tmp_path, catalogue(["a", "b"]), "products.csv")
    with pytest.raises(DataError, match=r'another form, 40 of 40, such as "P00" for "p00"'):
        check_fit(tmp_path, catalogue([item_id.upper() for item_id in ids]), "products.csv")
    with pytest.raises(DataError, match="would make unavailable"):
        check_fit(tmp_path, catalogue(ids, availability="out_of_stock"), "products.csv")


def test_a_first_fit_and_one_over_a_broken_generation_are_not_compared(tmp_path: Path) -> None:
    check_fit(tmp_path / "nothing", catalogue(["a"]), "products.csv")
    made(tmp_path)
    (tmp_path / "generations" / f"{current(tmp_path)}.json").write_text("{")
    check_fit(tmp_path, catalogue(["a"]), "products.csv")


def test_a_fit_is_refused_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = made(tmp_path / "bundles")
    monkeypatch.setattr("training.fit.encode_catalog", lambda *arguments: pytest.fail("it has begun"))
    frame = pd.DataFrame({"id": ids[:9], "title": "a mug"})
    with pytest.raises(DataError, match=r"products frame, published in .* would remove 31 of 40"):
        recommender.fit(frame, out=tmp_path / "bundles", encoder="tfidf")
    frame.to_csv(tmp_path / "cut.csv", index=False)
    command = ["fit", "--catalog", str(tmp_path / "cut.csv"), "--out", str(tmp_path / "bundles")]
    with pytest.raises(DataError, match=r"cut\.csv, published in .* would remove 31 of 40"):
        app(command, standalone_mode=False)
    assert len(generations(tmp_path / "bundles")) == 1


def test_a_share_is_from_0_to_1(demo_bundles: Path, tmp_path: Path) -> None:
    for call in (
        lambda: recommender.update(demo_bundles, pd.DataFrame({"id": ["a"]}), max_removed=20),
        lambda: recommender.fit(pd.DataFrame({"id": ["a"]}), out=tmp_path, max_removed=-0.1),
    ):
        with pytest.raises(RequestError, match="expected a share from 0 to 1"):
            call()
