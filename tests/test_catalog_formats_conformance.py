"""What holds for every format: it is in the configuration, and no row is lost unreported."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.catalog.files.tables import Table
from recommender.catalog.formats import (
    EVENTS,
    PRODUCTS,
    as_events,
    as_products,
    format_of_events,
    format_of_products,
)
from recommender.catalog.report import DataReport
from recommender.config import EventFormat, ProductFormat
from recommender.errors import DataError

# The least that a product, and an event, of each format has.
PRODUCT = {
    "bigcommerce": {"Item Type": "Product", "Product ID": "1", "Product Name": "Mug", "Product Visible?": "Y"},
    "google_merchant": {"id": "1", "title": "Mug", "link": "https://s.example", "gtin": "1"},
    "heureka": {"ITEM_ID": "1", "PRODUCTNAME": "Mug", "PRICE_VAT": "9"},
    "magento": {"sku": "1", "name": "Mug", "attribute_set_code": "Default", "product_online": "1"},
    "prestashop": {
        "Product ID": "1",
        "Name": "Mug",
        "Reference": "m",
        "Active": "1",
        "Quantity": "1",
        "Price": "9",
    },
    "recbole": {"item_id:token": "1", "title:token": "Mug"},
    "shopify": {"Handle": "1", "Title": "Mug", "Variant Price": "9", "Published": "true"},
    "woocommerce": {
        "ID": "1",
        "Type": "simple",
        "Name": "Mug",
        "Published": "1",
        "Regular price": "9",
        "SKU": "m",
    },
    "yml": {"id": "1", "name": "Mug", "price": "9", "currencyId": "RUB"},
}
UNSOLD = {
    "bigcommerce": {"Product Visible?": "N"},
    "magento": {"product_online": "2"},
    "prestashop": {"Active": "0"},
    "shopify": {"Published": "false"},
    "woocommerce": {"Published": "-1"},
}
EVENT = {
    "ga4": {
        "event_name": "view_item",
        "event_timestamp": 1761984000000000,
        "user_pseudo_id": "1.2",
        "items": "[]",
    },
    "personalize": {"USER_ID": "u", "ITEM_ID": "1", "TIMESTAMP": "1761984000"},
    "recbole": {"user_id:token": "u", "item_id:token": "1", "timestamp:float": "1761984000"},
    "segment": {"event": "Product Viewed", "userId": "u", "messageId": "", "properties.product_id": "1"},
    "snowplow": {"collector_tstamp": "2025-11-01", "domain_userid": "d", "event_id": "", "ti_sku": "1"},
}
EVENT["ga4"]["items"] = '[{"item_id": "1"}]'
NEEDED = {"shopify": {"Handle"}, "snowplow": {"ti_sku"}}


def table(rows):
    return Table("file", pd.DataFrame(rows), np.arange(2, 2 + len(rows)))


def test_every_format_is_tried_here_and_in_the_configuration():
    assert set(PRODUCT) == set(PRODUCTS) == set(get_args(ProductFormat))
    assert set(EVENT) == set(EVENTS) == set(get_args(EventFormat))
    assert all(name == format.name for name, format in (PRODUCTS | EVENTS).items())


@pytest.mark.parametrize("name", PRODUCT)
def test_products_are_read_and_found_out(name):
    for format in (name, None):
        report = DataReport()
        rows = table([PRODUCT[name]])
        read = as_products(rows, format or format_of_products(rows, report), report)
        assert read.frame["id"].tolist() == ["1"]
        assert read.frame["title"].tolist() == ["Mug"]
        assert not report.counts


@pytest.mark.parametrize("name", EVENT)
def test_events_are_read_and_found_out(name):
    for format in (name, None):
        report = DataReport()
        rows = table([EVENT[name]])
        read = as_events(rows, format or format_of_events(rows, report), report)
        items = read.frame["items"].explode() if "items" in read.frame else None
        ids = read.frame["item_id"] if items is None else items.map(lambda item: item["item_id"])
        assert ids.tolist() == ["1"]
        assert not report.counts


@pytest.mark.parametrize("name", UNSOLD)
def test_what_is_not_for_sale_is_counted(name):
    report = DataReport()
    second = {
        key: value.replace("1", "2") if key in ("Handle", "ID", "Product ID", "sku") else value
        for key, value in PRODUCT[name].items()
    }
    read = as_products(table([PRODUCT[name], second | UNSOLD[name]]), name, report)
    assert read.frame["id"].tolist() == ["1"]
    assert report.facts["products not for sale"] == 1
    with pytest.raises(DataError, match="none of its 1 products is for sale"):
        as_products(table([second | UNSOLD[name]]), name, DataReport())


@pytest.mark.parametrize("name", PRODUCT)
@settings(max_examples=30)
@given(data=st.data())
def test_no_row_is_lost_whatever_its_other_cells(name, data):
    """Empty cells, missing and unknown columns cost no product and raise nothing."""
    known = PRODUCT[name]
    fixed = {*list(known)[:2], *UNSOLD.get(name, {}), "name", "title", "Name", "Product Name", "price", "id"}
    dropped = data.draw(st.sets(st.sampled_from(sorted(known)))) - fixed
    emptied = data.draw(st.sets(st.sampled_from(sorted(known)))) - fixed
    extra = data.draw(st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=8), max_size=3))
    row = {key: "" if key in emptied else value for key, value in known.items() if key not in dropped}
    row = {key: value for key, value in extra.items() if key.casefold() not in {k.casefold() for k in known}} | row
    report = DataReport()
    read = as_products(table([row]), name, report)
    accounted = len(read.frame) + report.facts.get("products not for sale", 0) + sum(report.counts.values())
    assert accounted >= 1
    assert not len(read.frame) or read.frame["id"].tolist() == ["1"]
