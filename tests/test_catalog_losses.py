from contextlib import nullcontext

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recommender
from recommender.catalog import validate
from recommender.catalog.losses import Loss, loss_line, refuse_losses
from recommender.config import Config
from recommender.errors import DataError
from tests.test_fitting import EVENTS, PRODUCTS


@given(st.integers(0, 50), st.integers(0, 50), st.booleans())
def test_most_products_must_be_usable(used, lost, strict):
    loss = Loss("products", "p.csv", used + lost, used, {"no id": lost})
    if lost > used:
        with pytest.raises(DataError, match="no id"):
            refuse_losses([loss], strict)
    else:
        refuse_losses([loss], strict)


@pytest.mark.parametrize(
    ("loss", "refused", "refused_strictly"),
    [
        (Loss("events", "e.csv", 100, 1, {"event of an unknown product": 99}), False, True),  # delisted ones
        (Loss("events", "e.csv", 100, 60, {"bad timestamp": 40}), False, False),
        (Loss("events", "e.csv", 100, 49, {"event of an unclear product id": 51}), True, True),
        (Loss("events", "e.csv", 100, 51, {"event of an unclear product id": 49}), False, False),
        (Loss("events", "e.csv", 1, 0, {"bad timestamp": 1}), True, True),
        (Loss("events", "e.csv", 0, 0), False, False),
        (Loss("photos", "p.csv", 10, 0, {"missing photo": 10}), False, True),
    ],
)
def test_what_is_refused(loss, refused, refused_strictly):
    for strict, expected in ((False, refused), (True, refused_strictly)):
        with pytest.raises(DataError, match="recommender validate") if expected else nullcontext():
            refuse_losses([loss], strict)


def test_one_line_says_what_was_lost_and_why():
    losses = [
        Loss("products", "p.csv", 200, 200),
        Loss("events", "e.csv", 31_700, 27_000, {"event of an unknown product": 4_500, "bad timestamp": 200}),
        Loss("photos", "p.csv", 1_000_000, 999_999, {"missing photo": 1}),
    ]
    assert loss_line(losses) == (
        "LOST: 15% of 31,700 events (14% event of an unknown product, 0.63% bad timestamp); "
        "under 0.01% of 1,000,000 photos (under 0.01% missing photo)"
    )
    assert loss_line(losses[:1]) == loss_line([]) == ""


def shop(tmp_path, products, events=None):
    products.to_csv(tmp_path / "products.csv", index=False)
    if events is not None:
        events.to_csv(tmp_path / "events.csv", index=False)
    return Config.from_files(tmp_path / "products.csv", None, None if events is None else tmp_path / "events.csv")


def test_half_of_the_products_lost_is_a_failure_and_less_is_one_line(tmp_path):
    ids = PRODUCTS["id"].astype(str)
    report = validate(shop(tmp_path, PRODUCTS.assign(id=ids.where(PRODUCTS.index < 30, "130"))))
    assert report.lines()[-1] == "LOST: 22% of 40 products (22% duplicate id)"
    with pytest.raises(
        DataError, match=r"products.csv: lost 72% of 40 products \(72% duplicate id\); expected one"
    ):
        validate(shop(tmp_path, PRODUCTS.assign(id=ids.where(PRODUCTS.index < 10, "1E+5"))))


def test_copies_of_a_row_are_no_loss(tmp_path):
    report = validate(shop(tmp_path, pd.concat([PRODUCTS] * 3)))
    assert report.counts == {"repeated row": 80}
    assert loss_line(report.losses) == ""


def test_events_of_which_none_is_left_are_a_failure(tmp_path):
    gone = EVENTS.assign(item_id="gone")
    with pytest.raises(DataError, match=r"100% event of an unknown product.*none is left"):
        validate(shop(tmp_path, PRODUCTS, gone))
    with pytest.raises(DataError, match="none is left"):
        recommender.fit(PRODUCTS, gone, out=tmp_path / "bundles", encoder="tfidf")


def test_events_that_name_products_in_an_unclear_form_are_a_failure(tmp_path):
    prefixed = EVENTS.assign(item_id="sku-" + EVENTS["item_id"].astype(str))
    prefixed.loc[:99, "item_id"] = "101"
    with pytest.raises(DataError, match="look like the catalogue's in another form"):
        recommender.fit(PRODUCTS, prefixed, out=tmp_path / "bundles", encoder="tfidf")


def test_floats_of_a_whole_shop_are_matched(tmp_path):
    floats = EVENTS.assign(item_id=EVENTS["item_id"].astype(float).astype(str))
    report = validate(shop(tmp_path, PRODUCTS, floats))
    assert report.facts["events"] == len(EVENTS)
    assert not report.errors
